"""A video of any length becomes windows: in one pass forward, keeping no more than they need.

Every window is filled by the same samplers as a clip, so it is what ``decode_part`` makes of that
part of the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from emorec_tf.media.container import Source, media_errors
from emorec_tf.media.decode import Recording
from emorec_tf.media.durations import MISSING_SECONDS, MISSING_SHARE
from emorec_tf.media.frame_loop import Filling, Progress, Samplers, Window, fill
from emorec_tf.media.memory import most_frames
from emorec_tf.media.samplers import AudioSampler, FrameSampler

BEHIND_SECONDS = 10.0  # audio and video of one moment lie no farther apart in a file
STALE_SECONDS = 2.0  # a frame is not shown longer than that
LEAST_SHARE = 0.5  # of a window, where the video breaks off within it
BROKEN_SECONDS = 1.0  # less that is missing of a video is not worth a message
FRAMES_AT_MOST = 50_000_000  # of 24 hours, at any rate


@dataclass
class Windows:
    """Windows of an open file, decoded one after the other; to be iterated once.

    Args:
        source: the file.
        cuts: start and end of each window in seconds, by their starts.
        frame_rate_hz: frames a second at most; 0: none.

    After the last one, ``problem`` says what could not be read of the file, if anything.

    Raises:
        UserError: while iterating: the file cannot be read.
    """

    source: Source
    cuts: Sequence[Window]
    frame_rate_hz: float
    problem: str | None = field(init=False, default=None)

    def __iter__(self) -> Iterator[Recording]:
        """Decode window by window."""
        progress = Progress()
        with media_errors(self.source.name):
            for filling in fill(
                self.source, self.cuts, self._samplers, progress,
                patience_seconds=BEHIND_SECONDS, most_frames=FRAMES_AT_MOST,
            ):  # fmt: skip
                if filling.reached is not None:
                    self.problem = self._missing(progress)
                    if missing_share(filling.window, filling.reached) > 1 - LEAST_SHARE:
                        return
                yield recording_of(self.source, filling)

    def _samplers(self, window: Window) -> Samplers:
        samplers: Samplers = {}
        audio, video = self.source.audio, self.source.video
        if audio is not None:
            samplers[audio.index] = AudioSampler(self.source.name, window, None)
        if video is not None and self.frame_rate_hz:
            # The small share keeps windows of one length to one number of frames.
            count = int((window[1] - window[0]) * self.frame_rate_hz + 1e-6)
            # Two windows overlap.
            count = max(1, min(count, most_frames(video.codec_context) // 2))
            samplers[video.index] = FrameSampler(self.source, window, count, sparse=True)
        return samplers

    def _missing(self, progress: Progress) -> str | None:
        """Say what is missing of a file that was read to its end, if more than encoders omit."""
        source = self.source
        for stream in source.streams:
            if stream is source.video and not self.frame_rate_hz:
                continue
            # Where only the container says how long, whichever stream is longest has to fill it.
            known = stream.index in source.ends
            promised = source.ends[stream.index] if known else source.seconds
            read = progress.ends.get(stream.index, 0.0) if known else progress.reached
            missing = max(0.0, promised - read) + progress.lost.get(stream.index, 0.0)
            if missing > max(MISSING_SECONDS, min(BROKEN_SECONDS, MISSING_SHARE * promised)):
                return (
                    f"{source.name}: is cut short or damaged: {missing:.2f} s of {promised:.2f} s "
                    f"of its {stream.type} cannot be read"
                )
        return None


def missing_share(window: Window, reached: float) -> float:
    """Share of a window that lies beyond the last that was read."""
    start, end = window
    return (end - max(start, reached)) / (end - start) if reached < end else 0.0


def recording_of(source: Source, filling: Filling) -> Recording:
    """Finish a window; where the file ends clearly before it, the window ends there."""
    start, end = filling.window
    spare = max(MISSING_SECONDS, MISSING_SHARE * (end - start))
    if filling.reached is not None and end - filling.reached > spare:
        end = filling.reached
    notes = list(source.notes)
    waveform, rate_hz = None, 0
    frames: list[Any] = []
    times = np.zeros(0)
    for sampler in filling.samplers.values():
        if isinstance(sampler, AudioSampler):
            sampler.window = (start, end)
            waveform, rate_hz = sampler.finish(source, notes), sampler.rate_hz
        elif not sampler.is_empty:
            frames, times = sampler.finish()
            near = (sampler.gaps <= STALE_SECONDS) & (sampler.targets <= end)
            frames, times = [frames[i] for i in np.flatnonzero(near)], times[near]
    return Recording(
        source.name, waveform, frames, times, end - start, start, tuple(notes), (), rate_hz
    )
