"""Clip to example: the dict of fixed-shape arrays that are model inputs (see ``schema``).

``prepare`` and ``predict`` both use this module, so training and prediction cannot differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from emorec_tf.config.clip import Clip
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.config.fields import check
from emorec_tf.config.schema import FRAME_ARRAYS, schema
from emorec_tf.errors import UserError
from emorec_tf.features import decoded, face_detection
from emorec_tf.features.audio_features import fit_length, layer_of
from emorec_tf.features.decode_cache import Cache
from emorec_tf.features.decoded import AudioTrack, FaceTrack
from emorec_tf.features.face_tracks import REGION_BOXES, by_mesh, crop_of
from emorec_tf.features.frame_sampling import SAMPLINGS, TrackTimes
from emorec_tf.media.samplers import resampled

TRIM_FRAME_SAMPLES, TRIM_HOP_SAMPLES = 2048, 512
TRIM_FLOOR = 1e-10  # of a frame's mean square

Example: TypeAlias = dict[str, np.ndarray]


@dataclass(frozen=True)
class Seen:
    """What was found in a clip, for the report; ``faces_found`` of the ``frames`` chosen."""

    audio_present: bool
    faces_found: int
    frames: int
    seconds: float
    audio_sha256: str
    notes: tuple[str, ...]


def maker(
    features: FeaturesConfig,
    face_model: str | None = None,
    mesh_model: str | None = None,
    cache: Cache | None = None,
    *,
    modalities: Sequence[str] = ("audio", "face"),
) -> Callable[[Clip], tuple[Example, Seen]]:
    """Return the function that makes examples; it loads detector and mesh when first needed.

    Decoded parts are read from and written to ``cache``; the arrays are the same without one.
    Without ``face`` among the ``modalities`` that the model uses no faces are looked for.

    Raises:
        UserError: a face margin larger than what is kept; and, by the returned function, a clip
            that cannot be read, is empty, or shows too few faces for adaptive sampling.
        SetupError: by the returned function: detector or mesh cannot be loaded.
    """
    most = (REGION_BOXES - 1) / 2
    check(features.face_margin <= most, "face_margin", features.face_margin, f"0 to {most}")
    face_detection.single_thread()
    reader = decoded.Reader(features, face_model, cache, modalities=modalities)
    assembler = Assembler(features, mesh_model, cache, modalities=modalities)
    return lambda clip: assembler.assemble(*reader.read(clip), str(clip.video or clip.audio))


class Assembler:
    """The second half of ``maker``: makes an example from decoded parts.

    Args:
        features: settings of the run or the records.
        mesh_model: bundle of MediaPipe's FaceLandmarker, in place of the mesh.
        cache: of mesh points; None: nothing is cached.
        modalities: that the model uses; without ``face`` faces are masked in every example.
    """

    def __init__(
        self,
        features: FeaturesConfig,
        mesh_model: str | None = None,
        cache: Cache | None = None,
        *,
        modalities: Sequence[str] = ("audio", "face"),
    ) -> None:
        """Prepare the audio features; the mesh is loaded when it is first needed."""
        meshed = features.face_mesh or features.face_align == "mesh"
        self.features, self.with_faces = features, "face" in modalities
        self.find_points = decoded.mesh_finder(mesh_model, cache) if meshed else None
        self.spectrum = compiled(layer_of(features))

    def assemble(
        self, audio: AudioTrack | None, faces: FaceTrack | None, name: str
    ) -> tuple[Example, Seen]:
        """Make an example of the file ``name``.

        Raises:
            UserError: neither audio nor video, or too few faces for adaptive sampling.
        """
        features = self.features
        has_audio = audio is not None and audio.waveform is not None
        if not has_audio and not (faces and faces.frames):
            raise UserError(f"{name} holds neither audio nor video frames")
        example = {key: np.zeros(s.shape, s.dtype) for key, s in schema(features).items()}
        frames, digest = 0, self._fill_audio(audio, example) if audio else ""
        if faces is not None and faces.frames and self.with_faces:
            frames = self._fill_faces(faces, name, example)
        parts = [part for part in (audio, faces) if part]
        seen = Seen(
            audio_present=bool(example["audio_mask"].any()),
            faces_found=int(example["face_mask"].sum()),
            frames=frames,
            seconds=window_of(parts[0].seconds, features)[1],
            audio_sha256=digest,
            notes=tuple(note for part in parts for note in part.notes),
        )
        return example, seen

    def _fill_audio(self, audio: AudioTrack, example: Example) -> str:
        """Fill in the audio features; return the hash of the waveform, "" for silence."""
        waveform = window_waveform(audio, self.features)
        if waveform is None or not len(waveform):
            return ""
        padded, example["audio_mask"] = fit_length(waveform, self.features)
        found = np.asarray(self.spectrum(padded[None]))[0]
        example["audio"] = found * example["audio_mask"][:, None]
        # Silence is the same in many clips, and no leak.
        return hashlib.sha256(waveform.tobytes()).hexdigest() if waveform.any() else ""

    def _fill_faces(self, faces: FaceTrack, name: str, example: Example) -> int:
        """Fill in crops, points and their masks; frames without a face stay zero and masked.

        Returns:
            How many frames were chosen.
        """
        chosen = choose(faces, self.features, name)
        for slot, index in enumerate(chosen):
            if index in chosen[:slot]:  # the same frame serves two moments
                for key in FRAME_ARRAYS:
                    if key in example:
                        example[key][slot] = example[key][chosen.index(index)]
            else:
                self._fill_face(faces, index, slot, example)
        return len(chosen)

    def _fill_face(self, faces: FaceTrack, index: int, slot: int, example: Example) -> None:
        features, frame = self.features, faces.frames[index]
        points = self.find_points(faces, index) if self.find_points else None
        if features.face_align == "mesh" and points is not None:
            frame = by_mesh(frame, points)
        crop = crop_of(
            frame,
            size_pixels=features.face_pixels,
            margin=0.0 if faces.is_cropped else features.face_margin,
            align=bool(features.face_align),
            channels=features.face_channels,
        )
        if crop is not None:
            example["faces"][slot] = crop
            example["face_mask"][slot] = 1
        if points is not None and features.face_mesh:
            example["mesh"][slot] = points
            example["mesh_mask"][slot] = 1


def compiled(layer: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], Any]:
    """Run a layer as one graph where TensorFlow does: the same numbers in half the time."""
    import keras
    import tensorflow as tf

    return tf.function(layer) if keras.backend.backend() == "tensorflow" else layer


def waveform_of(clip: Clip, features: FeaturesConfig) -> np.ndarray | None:
    """The waveform that a clip's audio features are computed from: float32 [samples].

    Raises:
        UserError: the clip cannot be read.
    """
    audio, _ = decoded.Reader(replace(features, face_frames=0)).read(clip)
    return window_waveform(audio, features) if audio else None


def window_of(seconds: float, features: FeaturesConfig) -> tuple[float, float]:
    """Start and length of the middle of what was decoded, in seconds."""
    length = min(seconds, features.clip_seconds)
    return (seconds - length) / 2, length


def window_waveform(audio: AudioTrack, features: FeaturesConfig) -> np.ndarray | None:
    """Resample audio and cut its middle, without the silence at its ends if asked for.

    Shapes:
        -> float32 [samples], at most ``clip_samples``
    """
    if audio.waveform is None:
        return None
    rate = features.sample_rate_hz
    waveform = resampled(audio.waveform, audio.rate_hz, rate)
    if features.trim_db:
        kept = trimmed(waveform, features.trim_db)
        first = max(0, len(kept) - features.clip_samples) // 2
        return kept[first:][: features.clip_samples]
    start, length = window_of(audio.seconds, features)
    return waveform[round(start * rate) :][: round(length * rate)]


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


def choose(faces: FaceTrack, features: FeaturesConfig, name: str) -> list[int]:
    """Indices of the frames that become the example, by ``face_sampling``.

    Raises:
        UserError: too few faces for adaptive sampling.
    """
    seconds = np.array([frame.seconds for frame in faces.frames])
    found = np.array([frame.face is not None for frame in faces.frames])
    times = TrackTimes(name, seconds, found, *window_of(faces.seconds, features))
    return SAMPLINGS[features.face_sampling](times, features)
