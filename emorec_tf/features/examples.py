"""Clip to example: the dict of fixed-shape arrays that models eat (see ``schema``).

``prepare`` and ``predict`` both come through here, so training and use cannot drift apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from emorec_tf.config.clip import Clip
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.config.fields import check
from emorec_tf.config.schema import PICTURE_ARRAYS, schema
from emorec_tf.errors import UserError
from emorec_tf.features import decoded, face_detection
from emorec_tf.features.audio_features import fit_length, layer_of
from emorec_tf.features.decode_cache import Cache
from emorec_tf.features.decoded import Film, FindPoints, Sound
from emorec_tf.features.face_tracks import REGION_BOXES, by_mesh, crop_of
from emorec_tf.features.frame_sampling import SAMPLINGS, Shown

TRIM_FRAME_SAMPLES, TRIM_HOP_SAMPLES = 2048, 512
TRIM_FLOOR = 1e-10  # of a frame's mean square


@dataclass(frozen=True)
class Seen:
    """What was found in a clip, for the report; ``faces_found`` of the ``frames`` chosen."""

    audio_present: bool
    faces_found: int
    frames: int
    seconds: float
    audio_sha256: str
    notes: tuple[str, ...]


Assemble = Callable[[Sound | None, Film | None, str], tuple[dict[str, np.ndarray], Seen]]


def maker(
    features: FeaturesConfig,
    face_model: str | None = None,
    mesh_model: str | None = None,
    cache: Cache | None = None,
) -> Callable[[Clip], tuple[dict[str, np.ndarray], Seen]]:
    """Return the function that makes examples; it loads detector and mesh when first needed.

    What is decoded is taken from ``cache`` and kept there; the arrays are the same without one.

    Raises:
        UserError: room around the face that is not kept; and, by the returned function, a clip
            that cannot be read, holds nothing, or shows too few faces for adaptive sampling.
        SetupError: by the returned function: detector or mesh cannot be loaded.
    """
    most = (REGION_BOXES - 1) / 2
    check(features.face_margin <= most, "face_margin", features.face_margin, f"0 to {most}")
    face_detection.single_thread()
    read = decoded.reader(features, face_model, cache)
    assemble = assembler(features, mesh_model, cache)
    return lambda clip: assemble(*read(clip), str(clip.video or clip.audio))


def assembler(
    features: FeaturesConfig, mesh_model: str | None = None, cache: Cache | None = None
) -> Assemble:
    """Return the second half of ``maker``: what was decoded of the file named to an example.

    Raises:
        UserError: by the returned function: there is nothing, or too few faces for adaptive
            sampling.
    """
    meshed = features.face_mesh or features.face_align == "mesh"
    find_points = decoded.mesher(mesh_model, cache) if meshed else None
    spectrum = compiled(layer_of(features))

    def make(
        sound: Sound | None, film: Film | None, path: str
    ) -> tuple[dict[str, np.ndarray], Seen]:
        heard = sound is not None and sound.waveform is not None
        if not heard and not (film and film.looks):
            raise UserError(f"{path} holds neither sound nor pictures")
        example = {name: np.zeros(s.shape, s.dtype) for name, s in schema(features).items()}
        digest, frames = "", 0
        voice = voice_of(sound, features) if sound else None
        if voice is not None and len(voice):
            padded, example["audio_mask"] = fit_length(voice, features)
            found = np.asarray(spectrum(padded[None]))[0]
            example["audio"] = found * example["audio_mask"][:, None]
            if voice.any():  # silence is the same in many clips, and no leak
                digest = hashlib.sha256(voice.tobytes()).hexdigest()
        if film is not None and film.looks:
            chosen = choose(film, features, path)
            frames = len(chosen)
            see(film, chosen, features, find_points, example)
        parts = [part for part in (sound, film) if part]
        seen = Seen(
            audio_present=bool(example["audio_mask"].any()),
            faces_found=int(example["face_mask"].sum()),
            frames=frames,
            seconds=window_of(parts[0].seconds, features)[1],
            audio_sha256=digest,
            notes=tuple(note for part in parts for note in part.notes),
        )
        return example, seen

    return make


def compiled(layer: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], Any]:
    """Run a layer as one graph where TensorFlow does: the same numbers in half the time."""
    import keras
    import tensorflow as tf

    return tf.function(layer) if keras.backend.backend() == "tensorflow" else layer


def hear(clip: Clip, features: FeaturesConfig) -> np.ndarray | None:
    """The clip's sound alone, just as its spectrum is made from it: float32 [samples].

    Raises:
        UserError: the clip cannot be read.
    """
    sound, _ = decoded.reader(replace(features, face_frames=0))(clip)
    return voice_of(sound, features) if sound else None


def window_of(seconds: float, features: FeaturesConfig) -> tuple[float, float]:
    """Start and length of the middle of what was decoded, in seconds."""
    length = min(seconds, features.clip_seconds)
    return (seconds - length) / 2, length


def voice_of(sound: Sound, features: FeaturesConfig) -> np.ndarray | None:
    """Cut the middle out of the sound, without the silence at its ends where that is asked.

    Shapes:
        -> float32 [samples], at most ``clip_samples``
    """
    if sound.waveform is None:
        return None
    if features.trim_db:
        kept = trimmed(sound.waveform, features.trim_db)
        first = max(0, len(kept) - features.clip_samples) // 2
        return kept[first:][: features.clip_samples]
    start, length = window_of(sound.seconds, features)
    rate = features.sample_rate_hz
    return sound.waveform[round(start * rate) :][: round(length * rate)]


def trimmed(waveform: np.ndarray, trim_db: float) -> np.ndarray:
    """Cut both ends up to the first and from the last frame within ``trim_db`` of the loudest.

    Shapes:
        float32 [samples] -> float32 [fewer samples]
    Source:
        As ``librosa.effects.trim``: frames of 2048 samples every 512, centred, by their power.
    """
    padded = np.pad(waveform.astype(np.float64), TRIM_FRAME_SAMPLES // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, TRIM_FRAME_SAMPLES)
    power = np.maximum(np.square(frames[::TRIM_HOP_SAMPLES]).mean(1), TRIM_FLOOR)
    loud = np.flatnonzero(10 * np.log10(power / power.max()) > -trim_db)
    return waveform[loud[0] * TRIM_HOP_SAMPLES : (loud[-1] + 1) * TRIM_HOP_SAMPLES]


def choose(film: Film, features: FeaturesConfig, path: str) -> list[int]:
    """Indices of the pictures that become the example, by ``face_sampling``.

    Raises:
        UserError: too few faces for adaptive sampling.
    """
    times = np.array([look.seconds for look in film.looks])
    found = np.array([look.face is not None for look in film.looks])
    shown = Shown(path, times, found, *window_of(film.seconds, features))
    return SAMPLINGS[features.face_sampling](shown, features)


def see(
    film: Film,
    chosen: list[int],
    features: FeaturesConfig,
    find_points: FindPoints | None,
    example: dict[str, np.ndarray],
) -> None:
    """Fill crops, points and their masks; a picture without a face stays zero and masked."""
    for slot, index in enumerate(chosen):
        if index in chosen[:slot]:  # the same picture serves two moments
            for name in PICTURE_ARRAYS:
                if name in example:
                    example[name][slot] = example[name][chosen.index(index)]
            continue
        points = find_points(film, index) if find_points else None
        look = film.looks[index]
        if features.face_align == "mesh" and points is not None:
            look = by_mesh(look, points)
        crop = crop_of(
            look,
            size_pixels=features.face_pixels,
            margin=features.face_margin,
            align=bool(features.face_align),
            channels=features.face_channels,
        )
        if crop is not None:
            example["faces"][slot] = crop
            example["face_mask"][slot] = 1
        if points is not None and features.face_mesh:
            example["mesh"][slot] = points
            example["mesh_mask"][slot] = 1
