"""The expression right now: an answer every half second, of the last seconds.

Threads read audio and video as they come; each answer takes the newest and leaves out what there
was no time for, so that it never falls behind. One face, the main one, is followed.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from emorec_tf.errors import UserError
from emorec_tf.features import face_detection, face_tracks
from emorec_tf.features.decoded import AudioTrack, FaceTrack
from emorec_tf.features.face_tracks import TRACK_RATE_HZ, TrackFrame
from emorec_tf.inference import presence
from emorec_tf.inference.model_inputs import batch_of
from emorec_tf.inference.predictor import Predictor
from emorec_tf.media import frame_loop, samplers, voice_activity
from emorec_tf.media.container import FOREIGN_ERRORS, Source, media_errors, open_media
from emorec_tf.media.decode_windows import FRAMES_AT_MOST
from emorec_tf.storage.quiet import quiet

if TYPE_CHECKING:
    from emorec_tf.inference.model import Model

log = logging.getLogger(__name__)

STEP_SECONDS = 0.5
PARTING_SECONDS = 2.0  # a device that gives nothing any more is not waited for
PENDING_FRAMES = 3  # that wait for the face detector; an older one makes room for a newer one
# Beyond this delay in seconds, frames that few or no others refer to are not decoded.
SKIPS = ((2.0, "NONKEY"), (0.3, "NONREF"), (-math.inf, "DEFAULT"))
DEVICES = {"camera": "v4l2", "microphone": "alsa"}
ALSA_SETTINGS = "/usr/share/alsa/alsa.conf"  # PyAV's own ALSA looks for it where it was built


@dataclass
class Feed:
    """What has come lately, by seconds since the start; threads fill it."""

    keep_seconds: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop: threading.Event = field(default_factory=threading.Event)
    start: float = 0.0
    blocks: deque[tuple[float, np.ndarray]] = field(default_factory=deque)  # end, mono samples
    rate_hz: int = 0
    frames: deque[tuple[float, Any]] = field(default_factory=lambda: deque(maxlen=PENDING_FRAMES))
    end_seconds: float = 0.0
    error: Exception | None = None

    def now(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.start

    def add_audio(self, end_seconds: float, samples: np.ndarray, rate_hz: int) -> None:
        """Add mono samples that end at a time; forget those too old to matter."""
        with self.lock:
            self.rate_hz = rate_hz
            self.blocks.append((end_seconds, samples))
            while self.blocks[0][0] < end_seconds - self.keep_seconds:
                self.blocks.popleft()

    def waveform(self, start_seconds: float, end_seconds: float) -> np.ndarray | None:
        """Float32 [samples] of a time, silence where nothing came; None: there never was any."""
        with self.lock:
            if not self.blocks:
                return None
            found = np.zeros(round((end_seconds - start_seconds) * self.rate_hz), np.float32)
            for end, samples in self.blocks:
                last = round((end - start_seconds) * self.rate_hz)
                first = last - len(samples)
                low, high = max(0, first), min(last, len(found))
                if low < high:
                    found[low:high] = samples[low - first : high - first]
            return found

    def take_frames(self) -> list[tuple[float, Any]]:
        """Take the frames that wait."""
        with self.lock:
            taken = list(self.frames)
            self.frames.clear()
        return taken


class Stream:
    """Iterate to get ``(t, probabilities)`` every half second until the source ends.

    ``t`` are seconds since the start. The probabilities, of each class, or the value of a rating,
    are those of the last ``clip_seconds``, {} where nothing is there that the model looks at. After
    each, ``answer`` is the whole answer, which then says what is ``missing`` and for what
    ``reason``, and ``lags`` holds how late it came, in seconds.

    Args:
        source: number of a camera, with the default microphone, or a video or audio file: it is
            played at its own speed.
        model: what ``emorec_tf.load`` or ``predictor.load`` gives.
        step_seconds: from answer to answer.

    Raises:
        UserError: at the first step: no such device or file.
    """

    def __init__(
        self, source: int | str, model: Predictor | Model, step_seconds: float = STEP_SECONDS
    ) -> None:
        """Keep the settings; nothing is opened yet."""
        self.source, self.step_seconds = source, step_seconds
        self.model = model if isinstance(model, Predictor) else model.predictor
        self.features = self.model.run.config.features
        self.answer: dict[str, Any] = {}
        self.lags: list[float] = []
        self.skipped = 0
        self._frames: list[TrackFrame] = []
        self._face: face_detection.Face | None = None
        self._size: tuple[int, ...] | None = None  # height and width of the image that shows it
        self._convert = samplers.converter(str(source))
        self._detect = self.model.reader.detector

    def __iter__(self) -> Iterator[tuple[float, dict[str, float]]]:
        """Answer until the source ends; leaving the loop closes it."""
        feed = Feed(self.features.clip_seconds + 2 * self.step_seconds)
        with ExitStack() as stack:
            readers = open_source(self.source, feed, stack)
            self._warm_up()
            feed.start = time.monotonic()
            threads = [threading.Thread(target=one, daemon=True) for one in readers]
            for thread in threads:
                stack.callback(thread.join, PARTING_SECONDS)
                thread.start()
            stack.callback(feed.stop.set)  # before they are waited for
            step = 1
            while True:
                due = step * self.step_seconds
                time.sleep(max(0.0, due - feed.now()))
                if feed.error:
                    raise feed.error
                over = not any(thread.is_alive() for thread in threads)
                if over and due > feed.end_seconds + self.step_seconds:
                    return
                probabilities = self._answer(feed, due)
                self.lags.append(feed.now() - due)
                yield due, probabilities
                following = max(step + 1, math.ceil(feed.now() / self.step_seconds))
                self.skipped += following - step - 1
                step = following

    def _warm_up(self) -> None:
        """Have everything loaded and compiled before time counts."""
        silence = np.zeros(self.features.clip_samples, np.float32)
        audio = AudioTrack(silence, self.features.sample_rate_hz, self.features.clip_seconds)
        self.model.answer(batch_of(self.model.assemble(audio, None, "silence")[0]))
        noise = np.random.default_rng(0).normal(0, 0.1, voice_activity.RATE_HZ)
        voice_activity.has_speech(noise.astype(np.float32), voice_activity.RATE_HZ)
        self._detect(np.zeros((720, 1280, 3), np.uint8))

    def _answer(self, feed: Feed, now: float) -> dict[str, float]:
        """Answer for the last seconds before ``now``."""
        start = max(0.0, now - self.features.clip_seconds)
        self._find_faces(feed, start)
        waveform = feed.waveform(start, now)
        speech = waveform is not None and voice_activity.has_speech(waveform, feed.rate_hz)
        audio = AudioTrack(waveform, feed.rate_hz, now - start) if speech else None
        frames = [replace(frame, seconds=frame.seconds - start) for frame in self._frames]
        seen = bool(frames) and self.features.face_frames > 0
        faces = FaceTrack(frames, now - start) if seen else None
        if audio is None and faces is None:
            self.answer = {**self.model.no_answer}
        else:
            clip = self.model.answer_decoded(str(self.source), audio, faces, speech_check=False)
            self.answer = clip.as_dict()
        self.answer |= {"speech": speech}
        if presence.is_empty(self.answer):
            facts = {"audio_present": waveform is not None, "speech": speech}
            facts["face_present"] = self.answer.get("face_present", False)
            self.answer |= presence.why_none(self.model.modalities, facts)
            return {}
        rating = self.model.run.task.rating
        if rating:
            return {rating: self.answer["value"]}
        return dict(self.answer["probabilities"])

    def _find_faces(self, feed: Feed, start: float) -> None:
        """Find the face in the newest frames; forget what was before ``start``."""
        for seconds, frame in feed.take_frames():
            image = self._convert(frame)
            before = face_tracks.resized(self._face, self._size, image.shape[:2])
            face = face_detection.pick(self._detect(image), before)
            self._face, self._size = face or before, image.shape[:2]
            self._frames.append(face_tracks.track_frame(image, face, seconds))
        self._frames = [frame for frame in self._frames if frame.seconds >= start]


def open_source(source: int | str, feed: Feed, stack: ExitStack) -> list[Any]:
    """Open a file, or camera and microphone; return what reads them, each for a thread.

    Raises:
        UserError: there is no such file, or neither device.
    """
    if isinstance(source, str):
        media = stack.enter_context(open_media(source))
        return [lambda: reading(media, feed, is_live=False)]
    readers, missing = [], []
    av.logging.set_level(None)
    os.environ.setdefault("ALSA_CONFIG_PATH", ALSA_SETTINGS)
    for what, place in (("camera", f"/dev/video{source}"), ("microphone", "default")):
        try:
            with quiet():  # ALSA writes by itself
                device = stack.enter_context(av.open(place, format=DEVICES[what]))
        except FOREIGN_ERRORS as error:
            reason = getattr(error, "strerror", None) or str(error)
            missing.append(f"no {what} {place} ({reason})")
            continue
        audio = next(iter(device.streams.audio), None)
        video = next(iter(device.streams.video), None)
        made = Source(place, device, audio, video, 0.0, math.inf, {})
        readers.append(lambda made=made: reading(made, feed, is_live=True))
    if not readers:
        raise UserError(f"{'; '.join(missing)}; give --live FILE to play a video instead")
    for line in missing:
        log.warning("%s", line)
    return readers


def reading(source: Source, feed: Feed, is_live: bool) -> None:
    """Read a source into the feed: a device as it comes, a file at its own speed."""
    try:
        with media_errors(source.name):
            read(source, feed, is_live)
    except UserError as error:
        feed.error = error


def read(source: Source, feed: Feed, is_live: bool) -> None:
    """Pass on all audio, and as many frames as a face track holds.

    Raises:
        UserError: the source is damaged beyond what decoders tolerate.
    """
    mixer, next_frame = None, 0.0
    wanted = {stream.index for stream in source.streams}
    progress = frame_loop.Progress()
    for index, frame, shown in frame_loop.frames_of(source, wanted, progress, FRAMES_AT_MOST):
        seconds = feed.now() if is_live else shown
        if feed.stop.wait(max(0.0, seconds - feed.now())):
            return
        if source.audio is not None and index == source.audio.index:
            mixer = mixer or av.AudioResampler("flt", "mono", frame.sample_rate)
            length = 0.0 if is_live else frame.samples / frame.sample_rate
            for part in mixer.resample(frame):
                feed.add_audio(seconds + length, part.to_ndarray()[0], part.sample_rate)
        else:
            if seconds >= next_frame:
                with feed.lock:
                    feed.frames.append((seconds, frame))
                next_frame = seconds + 0.9 / TRACK_RATE_HZ
            late = feed.now() - seconds
            skip = next(skip for least, skip in SKIPS if late >= least)
            source.video.codec_context.skip_frame = skip
        feed.end_seconds = max(feed.end_seconds, seconds)
