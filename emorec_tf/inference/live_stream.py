"""What somebody expresses right now: an answer every half second, of the last seconds.

Threads read sound and pictures as they come; whoever answers takes the newest and leaves out what
there was no time for, so that it never falls behind. One face, the main one, is followed.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import av
import numpy as np

from emorec_tf.errors import UserError
from emorec_tf.features import face_detection, face_tracks
from emorec_tf.features.decoded import Film, Sound
from emorec_tf.features.face_tracks import TRACK_RATE_HZ, Look
from emorec_tf.inference import predictor
from emorec_tf.inference.predictor import Opened, batch_of
from emorec_tf.media import container, decode, samplers, voice_activity
from emorec_tf.media.decode_windows import FRAMES_AT_MOST
from emorec_tf.storage.quiet import quiet

STEP_SECONDS = 0.5
PARTING_SECONDS = 2.0  # a device that gives nothing any more is not waited for
PENDING_PICTURES = 3  # that wait to be looked at; an older one makes room for a newer one
# So late behind its own time, a film's pictures are decoded but for those that fewer others need.
SKIPS = ((2.0, "NONKEY"), (0.3, "NONREF"), (-math.inf, "DEFAULT"))
DEVICES = {"camera": "v4l2", "microphone": "alsa"}
ALSA_SETTINGS = "/usr/share/alsa/alsa.conf"  # PyAV's own ALSA looks for it where it was built


class HasReady(Protocol):
    """A model as ``emorec_tf.load`` gives it."""

    @property
    def ready(self) -> Opened:
        """The run behind it."""


@dataclass
class Feed:
    """What has come of late, by seconds since the start; threads fill it."""

    keep_seconds: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop: threading.Event = field(default_factory=threading.Event)
    start: float = 0.0
    sounds: deque[tuple[float, np.ndarray]] = field(default_factory=deque)  # end, mono samples
    rate_hz: int = 0
    pictures: deque[tuple[float, Any]] = field(
        default_factory=lambda: deque(maxlen=PENDING_PICTURES)
    )
    end_seconds: float = 0.0
    error: Exception | None = None

    def now(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.start

    def hear(self, end_seconds: float, samples: np.ndarray, rate_hz: int) -> None:
        """Add mono samples that end at a time; forget those too old to matter."""
        with self.lock:
            self.rate_hz = rate_hz
            self.sounds.append((end_seconds, samples))
            while self.sounds[0][0] < end_seconds - self.keep_seconds:
                self.sounds.popleft()

    def voice(self, start_seconds: float, end_seconds: float) -> np.ndarray | None:
        """Float32 [samples] of a time, silence where nothing came; None: there never was any."""
        with self.lock:
            if not self.sounds:
                return None
            found = np.zeros(round((end_seconds - start_seconds) * self.rate_hz), np.float32)
            for end, samples in self.sounds:
                last = round((end - start_seconds) * self.rate_hz)
                first = last - len(samples)
                low, high = max(0, first), min(last, len(found))
                if low < high:
                    found[low:high] = samples[low - first : high - first]
            return found

    def take_pictures(self) -> list[tuple[float, Any]]:
        """Take the frames that wait."""
        with self.lock:
            taken = list(self.pictures)
            self.pictures.clear()
        return taken


class Stream:
    """Iterate to get ``(t, probabilities)`` every half second until the source ends.

    ``t`` are seconds since the start. The probabilities, of each class, or the value of a rating,
    are those of the last ``clip_seconds``, {} where there is nothing to see or hear. After each,
    ``told`` is the whole answer and ``lags`` holds how late it came, in seconds.

    Args:
        source: number of a camera, whose sound is the default microphone's, or a film, a sound:
            it is played at its own speed.
        model: what ``emorec_tf.load`` gives, or an opened run.
        step_seconds: from answer to answer.

    Raises:
        UserError: at the first step: no such device or file.
    """

    def __init__(
        self, source: int | str, model: Opened | HasReady, step_seconds: float = STEP_SECONDS
    ) -> None:
        """Keep the settings; nothing is opened yet."""
        self.source, self.step_seconds = source, step_seconds
        self.ready = model if isinstance(model, Opened) else model.ready
        self.features = self.ready.run.config.features
        self.told: dict[str, Any] = {}
        self.lags: list[float] = []
        self.skipped = 0
        self._looks: list[Look] = []
        self._face: face_detection.Face | None = None
        self._convert = samplers.converter(str(source))
        self._detect = face_detection.FACE_DETECTORS[self.features.face_detector](
            self.ready.face_model
        )

    def __iter__(self) -> Iterator[tuple[float, dict[str, float]]]:
        """Answer until the source ends; leaving the loop closes it."""
        feed = Feed(self.features.clip_seconds + 2 * self.step_seconds)
        with ExitStack() as stack:
            readers = opened(self.source, feed, stack)
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
        sound = Sound(silence, self.features.clip_seconds, ())
        self.ready.tell(batch_of(self.ready.assemble(sound, None, "silence")[0]))
        noise = np.random.default_rng(0).normal(0, 0.1, voice_activity.RATE_HZ)
        voice_activity.has_speech(noise.astype(np.float32), voice_activity.RATE_HZ)
        self._detect(np.zeros((720, 1280, 3), np.uint8))

    def _answer(self, feed: Feed, now: float) -> dict[str, float]:
        """Say what the last seconds before ``now`` show."""
        start = max(0.0, now - self.features.clip_seconds)
        self._see(feed, start)
        voice, sound = feed.voice(start, now), None
        speech = voice is not None and voice_activity.has_speech(voice, feed.rate_hz)
        if voice is not None and speech:
            heard = samplers.resampled(voice, feed.rate_hz, self.features.sample_rate_hz)
            sound = Sound(heard, now - start, ())
        looks = [replace(look, seconds=look.seconds - start) for look in self._looks]
        film = Film(looks, now - start, (), "") if looks and self.features.face_frames else None
        if sound is None and film is None:
            self.told = {**self.ready.told_nothing}
        else:
            held = replace(self.ready, read=lambda _: (sound, film))
            self.told = predictor.clip_answer(held, str(self.source), speech_check=False).as_dict()
        self.told |= {"speech": speech}
        rating = self.ready.run.task.rating
        if rating:
            return {} if self.told["value"] is None else {rating: self.told["value"]}
        nothing = sound is None and not self.told.get("face_present")
        return {} if nothing else dict(self.told["probabilities"])

    def _see(self, feed: Feed, start: float) -> None:
        """Look at the newest pictures; forget what was before ``start``."""
        for seconds, frame in feed.take_pictures():
            picture = self._convert(frame)
            seen = face_detection.pick(self._detect(picture), self._face)
            self._face = seen or self._face
            self._looks.append(face_tracks.look_at(picture, seen, seconds))
        self._looks = [look for look in self._looks if look.seconds >= start]


def opened(source: int | str, feed: Feed, stack: ExitStack) -> list[Any]:
    """Open a film, or camera and microphone; return what reads them, each for a thread.

    Raises:
        UserError: there is no such file, or neither device.
    """
    if isinstance(source, str):
        av.logging.set_level(None)
        with decode.blamed(source):
            film = container.source_of(source, stack.enter_context(container.opened(source)))
        return [lambda: reading(film, feed, is_live=False)]
    readers, missing = [], []
    av.logging.set_level(None)
    os.environ.setdefault("ALSA_CONFIG_PATH", ALSA_SETTINGS)
    for what, place in (("camera", f"/dev/video{source}"), ("microphone", "default")):
        try:
            with quiet():  # ALSA writes by itself
                device = stack.enter_context(av.open(place, format=DEVICES[what]))
        except container.FOREIGN_ERRORS as error:
            reason = getattr(error, "strerror", None) or str(error)
            missing.append(f"no {what} {place} ({reason})")
            continue
        audio = next(iter(device.streams.audio), None)
        video = next(iter(device.streams.video), None)
        made = container.Source(place, device, audio, video, 0.0, math.inf, {})
        readers.append(lambda made=made: reading(made, feed, is_live=True))
    if not readers:
        raise UserError(f"{'; '.join(missing)}; give --live FILE to play a film instead")
    for line in missing:
        print(f"note: {line}", file=sys.stderr)
    return readers


def reading(source: container.Source, feed: Feed, is_live: bool) -> None:
    """Read a source into the feed: a device as it comes, a film at its own speed."""
    try:
        with decode.blamed(source.path):
            read(source, feed, is_live)
    except UserError as error:
        feed.error = error


def read(source: container.Source, feed: Feed, is_live: bool) -> None:
    """Pass on all sound, and so many pictures as a track holds.

    Raises:
        UserError: the source is damaged beyond what decoders bear.
    """
    mixer, next_picture = None, 0.0
    wanted = {stream.index: stream for stream in source.streams}
    for index, frame in decode.frames_of(source, wanted, decode.Progress(), FRAMES_AT_MOST):
        seconds = feed.now() if is_live else decode.seconds_of(source, frame)
        if feed.stop.wait(max(0.0, seconds - feed.now())):
            return
        if source.audio is not None and index == source.audio.index:
            mixer = mixer or av.AudioResampler("flt", "mono", frame.sample_rate)
            length = 0.0 if is_live else frame.samples / frame.sample_rate
            for part in mixer.resample(frame):
                feed.hear(seconds + length, part.to_ndarray()[0], part.sample_rate)
        else:
            if seconds >= next_picture:
                with feed.lock:
                    feed.pictures.append((seconds, frame))
                next_picture = seconds + 0.9 / TRACK_RATE_HZ
            late = feed.now() - seconds
            skip = next(skip for least, skip in SKIPS if late >= least)
            source.video.codec_context.skip_frame = skip
        feed.end_seconds = max(feed.end_seconds, seconds)
