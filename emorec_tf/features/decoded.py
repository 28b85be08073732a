"""What a clip holds, decoded once: its sound, its track of faces, the mesh in them.

Each comes from the cache where there is one, under the content of the clip's file and what was
asked. Sound is kept at its own rate, so that every feature set finds it. Detector and mesh are
loaded when a clip first needs them, so a warm cache loads neither.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from emorec_tf.config.clip import Clip
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.features import decode_cache, face_detection, face_tracks
from emorec_tf.features.decode_cache import Cache, Entry, key_of
from emorec_tf.features.face_tracks import Look
from emorec_tf.media import decode as media
from emorec_tf.media.samplers import resampled

LAYOUT = 2  # of entries; raised when anything is decoded or laid out in another way
PACKAGES = {"mediapipe": ("mediapipe",), "dlib": ("dlib", "dlib-bin"), "yunet": ()}


@dataclass(frozen=True)
class Sound:
    """Float32 [samples], mono, or ``None``, and of how many seconds it is the sound."""

    waveform: np.ndarray | None
    seconds: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Film:
    """Pictures a few times a second; ``key`` names them in the cache ("": there is none)."""

    looks: list[Look]
    seconds: float
    notes: tuple[str, ...]
    key: str


Read = Callable[[Clip], tuple[Sound | None, Film | None]]
FindPoints = Callable[[Film, int], np.ndarray | None]


def reader(
    features: FeaturesConfig, face_model: str | None = None, cache: Cache | None = None
) -> Read:
    """Make the function that decodes clips; ``None`` stands for what a clip has no file for.

    Raises:
        UserError: by the returned function, for a clip that cannot be read.
    """
    window = max(face_tracks.TRACK_SECONDS, features.clip_seconds)
    detector = functools.cache(
        lambda: face_detection.FACE_DETECTORS[features.face_detector](face_model)
    )

    @functools.cache
    def asked(what: str) -> list[Any]:
        if what == "sound":
            return []
        made_by = versions(*PACKAGES[features.face_detector])
        return [features.face_detector, *made_by, face_model and content_of(face_model)]

    def key(clip: Clip, content: str, what: str) -> str:
        part = (clip.start_seconds, clip.end_seconds, window)
        return content and key_of(LAYOUT, versions(), content, *part, what, *asked(what))

    def decode(clip: Clip, path: str, wanted: list[str]) -> dict[str, Entry]:
        recording = media.decode(
            path,
            sample_rate_hz=None,
            clip_seconds=window,
            frame_rate_hz=face_tracks.TRACK_RATE_HZ,
            start_seconds=clip.start_seconds,
            end_seconds=clip.end_seconds,
            want_audio="sound" in wanted,
            want_video="film" in wanted,
            sparse=True,
        )
        entries = {"sound": entry_of_sound(recording)}
        if "film" in wanted:
            entries["film"] = entry_of_film(recording, lambda picture: detector()(picture))
        return {what: entries[what] for what in wanted}

    def read(clip: Clip) -> tuple[Sound | None, Film | None]:
        films = clip.video if features.face_frames else None
        paths = {what: p for what, p in (("sound", clip.audio), ("film", films)) if p}
        contents = {path: content_of(path) if cache else "" for path in set(paths.values())}
        keys = {what: key(clip, contents[path], what) for what, path in paths.items()}
        found = {what: entry for what in paths if (entry := decode_cache.read(cache, keys[what]))}
        for path in sorted({path for what, path in paths.items() if what not in found}):
            # One pass where one file holds both.
            wanted = [what for what in paths if paths[what] == path and what not in found]
            for what, entry in decode(clip, path, wanted).items():
                found[what] = entry
                decode_cache.write(cache, keys[what], entry)
        sound, film = found.get("sound"), found.get("film")
        rate_hz = features.sample_rate_hz
        return sound and sound_of(sound, rate_hz), film and film_of(film, keys["film"])

    return read


def entry_of_sound(recording: media.Recording) -> Entry:
    """Lay a recording's sound out for the cache."""
    facts = {"seconds": recording.seconds, "notes": recording.sound_notes}
    facts["rate_hz"] = recording.sound_rate_hz
    return facts, {} if recording.waveform is None else {"waveform": recording.waveform}


def sound_of(entry: Entry, rate_hz: int) -> Sound:
    """Give back a sound as it was laid out, at the rate that is wanted."""
    facts, arrays = entry
    waveform = arrays.get("waveform")
    if waveform is not None:
        waveform = resampled(waveform, facts["rate_hz"], rate_hz)
    return Sound(waveform, facts["seconds"], tuple(facts["notes"]))


def entry_of_film(recording: media.Recording, detect: face_detection.Detector) -> Entry:
    """Follow the face through a recording's pictures and lay the track out for the cache."""
    facts = {"seconds": recording.seconds, "notes": recording.picture_notes}
    return facts, face_tracks.to_arrays(face_tracks.track(recording.pictures(), detect))


def film_of(entry: Entry, key: str) -> Film:
    """Give back a film as it was laid out."""
    facts, arrays = entry
    looks = face_tracks.from_arrays(arrays)
    return Film(looks, facts["seconds"], tuple(facts["notes"]), key)


def mesher(mesh_model: str | None = None, cache: Cache | None = None) -> FindPoints:
    """Make the function that finds mesh points, float32 [478, 3], in one picture of a film.

    It takes the film and the picture's index, and gives ``None`` where there is no face.
    """
    load = functools.cache(lambda: face_detection.face_mesh(mesh_model))
    asked = functools.cache(
        lambda: ["mesh", *versions("mediapipe"), mesh_model and content_of(mesh_model)]
    )

    def find(film: Film, index: int) -> np.ndarray | None:
        key = film.key and key_of(LAYOUT, film.key, index, *asked())
        entry = decode_cache.read(cache, key)
        if entry is None:
            points = face_tracks.points_of(film.looks[index], load())
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


@functools.cache
def versions(*packages: str) -> list[str]:
    """Versions of the decoders, and of those packages that are installed."""
    known = [av.__version__, cv2.__version__]
    for name in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            known.append(f"{name} {metadata.version(name)}")
    return known
