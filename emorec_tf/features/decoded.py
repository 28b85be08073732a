"""The content of a clip, decoded once: audio, face track, mesh points of each frame.

Each part is read from the cache if possible, by the content of the clip's file and the settings
that affect it. Audio is stored at its own rate, so that all feature settings share it. Detector and
mesh are loaded when a clip first needs them, so a warm cache loads neither.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from emorec_tf.config.clip import Clip
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.features import decode_cache, face_detection, face_tracks, mediapipe_faces
from emorec_tf.features.decode_cache import Cache, Entry, key_of
from emorec_tf.features.face_tracks import TrackFrame
from emorec_tf.media import decode as media
from emorec_tf.media.container import Source, checked, open_media
from emorec_tf.storage.versions import versions as installed

LAYOUT = 3  # of entries; raised when anything is decoded or laid out in another way
KEPT_AS = {"audio": "sound", "video": "film"}  # in the keys of entries, also of older versions
PACKAGES = {"mediapipe": ("mediapipe",), "dlib": ("dlib", "dlib-bin"), "yunet": ()}
OWN_ENGINE = "LiteRT 1"  # stands for MediaPipe where that does not run its networks


@dataclass(frozen=True)
class AudioTrack:
    """Mono audio of ``seconds``: float32 [samples] at its own rate, or ``None``."""

    waveform: np.ndarray | None
    rate_hz: int
    seconds: float
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, recording: media.Recording) -> AudioTrack:
        """Take the audio of a recording."""
        notes, rate_hz = recording.audio_notes, recording.audio_rate_hz
        return cls(recording.waveform, rate_hz, recording.seconds, notes)


@dataclass(frozen=True)
class FaceTrack:
    """A few frames a second; ``key`` is their name in the cache ("": not cached)."""

    frames: list[TrackFrame]
    seconds: float
    notes: tuple[str, ...] = ()
    key: str = ""
    is_cropped: bool = False  # the whole frame is the face, without any margin


Decoded = tuple[AudioTrack | None, FaceTrack | None]  # ``None`` where there is no file for it
# makes the track of images with their seconds, by a detector: see face_tracks.track
Follow = Callable[[Iterable[tuple[float, np.ndarray]], face_detection.Detector], list[TrackFrame]]
FindPoints = Callable[[FaceTrack, int], np.ndarray | None]


class Reader:
    """Decodes clips, or takes them from the cache.

    Args:
        features: settings of the run or the records.
        face_model: model file of the face detector, in place of its own.
        cache: of decoded clips; None: nothing is cached.
        modalities: that the model uses; without ``face`` no detector is ever loaded.
    """

    def __init__(
        self,
        features: FeaturesConfig,
        face_model: str | None = None,
        cache: Cache | None = None,
        *,
        modalities: Sequence[str] = ("audio", "face"),
    ) -> None:
        """Keep the settings; nothing is loaded yet."""
        self.features, self.face_model, self.cache = features, face_model, cache
        self.with_faces = "face" in modalities
        self.window_seconds = max(face_tracks.TRACK_SECONDS, features.clip_seconds)

    @functools.cached_property
    def detector(self) -> face_detection.Detector:
        """The face detector, loaded when it is first needed."""
        if not self.with_faces:
            return face_detection.no_face
        return face_detection.FACE_DETECTORS[self.features.face_detector](self.face_model)

    def read(self, clip: Clip) -> Decoded:
        """Decode a clip; a part without a file is ``None``.

        Raises:
            UserError: it cannot be read.
        """
        videos = clip.video if self.features.face_frames else None
        paths = {what: p for what, p in (("audio", clip.audio), ("video", videos)) if p}
        contents = {path: content_of(path) if self.cache else "" for path in set(paths.values())}
        keys = {what: self._key(clip, contents[path], what) for what, path in paths.items()}
        found: dict[str, Any] = {what: self._cached(what, key) for what, key in keys.items()}
        for path in sorted({path for what, path in paths.items() if not found[what]}):
            # One pass where one file holds both.
            missing = [what for what in paths if paths[what] == path and not found[what]]
            with open_media(path) as source:
                detect = face_detection.whole_image if clip.is_cropped else self._detect
                part = clip.start_seconds, clip.end_seconds
                found |= self._decode(source, missing, *part, detect)
            for what in missing if self.cache else ():
                decode_cache.write(self.cache, keys[what], LAID_OUT[what](found[what]))
        faces = found.get("video")
        if faces:
            faces = replace(faces, key=keys["video"], is_cropped=clip.is_cropped)
        return found.get("audio"), faces

    def read_source(self, source: Source, follow: Follow | None = None) -> Decoded:
        """Decode the middle of an open file as if it were one clip; nothing is cached.

        Args:
            source: the file.
            follow: makes the track; None: ``face_tracks.track``.

        Raises:
            UserError: it cannot be read.
        """
        wanted = ["audio", "video"] if self.features.face_frames else ["audio"]
        found = self._decode(source, wanted, follow=follow or face_tracks.track)
        return found["audio"], found.get("video")

    def _detect(self, image: np.ndarray) -> list[face_detection.Face]:
        return self.detector(image)  # loaded when the first frame comes

    def _decode(
        self,
        source: Source,
        what: Sequence[str],
        start: float = 0.0,
        end: float | None = None,
        detect: face_detection.Detector | None = None,
        follow: Follow = face_tracks.track,
    ) -> dict[str, Any]:
        """Decode audio, video or both in one pass."""
        wanted = media.Wanted(
            clip_seconds=self.window_seconds,
            frame_rate_hz=face_tracks.TRACK_RATE_HZ,
            start_seconds=start,
            end_seconds=end,
            want_audio="audio" in what,
            want_video="video" in what,
            sparse=True,
        )
        recording = media.decode_part(source, wanted)
        found: dict[str, Any] = {}
        if "audio" in what:
            found["audio"] = AudioTrack.of(recording)
        if "video" in what:
            images = checked(recording.distinct_frames(), source.check)
            frames = follow(images, detect or self._detect)
            found["video"] = FaceTrack(frames, recording.seconds, recording.video_notes)
        return found

    def _cached(self, what: str, key: str) -> AudioTrack | FaceTrack | None:
        entry = decode_cache.read(self.cache, key)
        return GIVEN_BACK[what](entry) if entry else None

    def _key(self, clip: Clip, content: str, what: str) -> str:
        part = (clip.start_seconds, clip.end_seconds, self.window_seconds)
        made_by = self._made_by if what == "video" and not clip.is_cropped else ()
        made_by = ["whole image"] if what == "video" and clip.is_cropped else made_by
        return content and key_of(LAYOUT, versions(), content, *part, KEPT_AS[what], *made_by)

    @functools.cached_property
    def _made_by(self) -> list[Any]:
        """Settings and versions that affect which faces are found."""
        name, file = self.features.face_detector, self.face_model
        return [name, *made_with(*PACKAGES[name]), file and content_of(file)]


def entry_of_audio(audio: AudioTrack) -> Entry:
    """Convert audio to a cache entry."""
    facts = {"seconds": audio.seconds, "notes": audio.notes, "rate_hz": audio.rate_hz}
    return facts, {} if audio.waveform is None else {"waveform": audio.waveform}


def audio_of(entry: Entry) -> AudioTrack:
    """Convert a cache entry back to audio."""
    facts, arrays = entry
    return AudioTrack(
        arrays.get("waveform"), facts["rate_hz"], facts["seconds"], tuple(facts["notes"])
    )


def entry_of_faces(faces: FaceTrack) -> Entry:
    """Convert a face track to a cache entry."""
    facts = {"seconds": faces.seconds, "notes": faces.notes}
    return facts, face_tracks.to_arrays(faces.frames)


def faces_of(entry: Entry) -> FaceTrack:
    """Convert a cache entry back to a face track."""
    facts, arrays = entry
    return FaceTrack(face_tracks.from_arrays(arrays), facts["seconds"], tuple(facts["notes"]))


LAID_OUT: dict[str, Callable[[Any], Entry]] = {"audio": entry_of_audio, "video": entry_of_faces}
GIVEN_BACK: dict[str, Callable[[Entry], Any]] = {"audio": audio_of, "video": faces_of}


def mesh_finder(mesh_model: str | None = None, cache: Cache | None = None) -> FindPoints:
    """Make the function that finds mesh points, float32 [478, 3], in one frame of a track.

    It takes the track and the frame's index, and gives ``None`` where there is no face.
    """
    load = functools.cache(lambda: face_detection.face_mesh(mesh_model))
    made_by = functools.cache(
        lambda: ["mesh", *made_with("mediapipe"), mesh_model and content_of(mesh_model)]
    )

    def find(faces: FaceTrack, index: int) -> np.ndarray | None:
        key = faces.key and key_of(LAYOUT, faces.key, index, *made_by())
        entry = decode_cache.read(cache, key)
        if entry is None:
            points = face_tracks.points_of(faces.frames[index], load())
            entry = {}, {} if points is None else {"points": points}
            decode_cache.write(cache, key, entry)
        return entry[1].get("points")

    return find


def content_of(path: str | None) -> str:
    """Hash of a file's content; "" for no file."""
    if path is None or not Path(path).is_file():
        return ""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def made_with(*packages: str) -> list[str]:
    """Versions of the decoders, and of what finds faces."""
    own = "mediapipe" in packages and not mediapipe_faces.is_complete()
    return [*versions(*packages), *([OWN_ENGINE] if own else [])]


@functools.cache
def versions(*packages: str) -> list[str]:
    """Versions of the decoders, and of those packages that are installed."""
    others = installed(*packages).items()
    return [av.__version__, cv2.__version__, *(f"{name} {version}" for name, version in others)]
