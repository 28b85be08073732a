"""Clip to example: the dict of fixed-shape arrays that models eat (see ``schema``).

``prepare`` and ``predict`` both come through here, so training and use cannot drift apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emorec_tf import faces, media
from emorec_tf.audio_features import fit_length, log_mel_layer
from emorec_tf.clip import Clip, UserError
from emorec_tf.config import FeaturesConfig
from emorec_tf.schema import schema


@dataclass(frozen=True)
class Seen:
    """What was found in a clip, for the report."""

    audio_present: bool
    faces_found: int
    frames: int
    seconds: float
    audio_sha256: str
    notes: tuple[str, ...]


def maker(
    features: FeaturesConfig, face_model: str | None = None, mesh_model: str | None = None
) -> Callable[[Clip], tuple[dict[str, np.ndarray], Seen]]:
    """Load detector, mesh and log-mel once; return the function that makes examples.

    Raises:
        UserError: by the returned function, for a clip that cannot be read or holds nothing.
    """
    faces.single_thread()
    detect = faces.FACE_DETECTORS[features.face_detector](face_model)
    mesh = faces.face_mesh(mesh_model) if features.face_mesh else None
    log_mel = log_mel_layer(features)

    def make(clip: Clip) -> tuple[dict[str, np.ndarray], Seen]:
        sound, pictures = decode(clip, features)
        waveform = sound.waveform if sound else None
        if waveform is None and not (pictures and pictures.frames):
            raise UserError(f"{clip.audio or clip.video} holds neither sound nor pictures")
        example = {name: np.zeros(s.shape, s.dtype) for name, s in schema(features).items()}
        digest = ""
        if waveform is not None and len(waveform):
            padded, example["audio_mask"] = fit_length(waveform, features)
            spectrum = np.asarray(log_mel(padded[None])[0])
            example["audio"] = spectrum * example["audio_mask"][:, None]
            if waveform.any():  # silence is the same in many clips, and no leak
                digest = hashlib.sha256(waveform.tobytes()).hexdigest()
        notes = sound.notes if sound else ()
        if pictures is not None and pictures.frames:
            see(pictures, features, detect, mesh, example)
            notes = notes if pictures is sound else notes + pictures.notes
        seen = Seen(
            audio_present=bool(example["audio_mask"].any()),
            faces_found=int(example["face_mask"].sum()),
            frames=len(pictures.frames) if pictures else 0,
            seconds=(sound or pictures).seconds,  # type: ignore[union-attr]
            audio_sha256=digest,
            notes=notes,
        )
        return example, seen

    return make


def decode(
    clip: Clip, features: FeaturesConfig
) -> tuple[media.Recording | None, media.Recording | None]:
    """Read sound and pictures: one pass where one file holds both."""

    def read(path: str, audio: bool, video: bool) -> media.Recording:
        return media.decode(
            path,
            sample_rate_hz=features.sample_rate_hz,
            clip_seconds=features.clip_seconds,
            frame_count=features.face_frames if video else 0,
            start_seconds=clip.start_seconds,
            end_seconds=clip.end_seconds,
            want_audio=audio,
            want_video=video,
            sparse=True,
        )

    if clip.audio == clip.video and clip.audio is not None:
        both = read(clip.audio, True, features.face_frames > 0)
        return both, both
    sound = read(clip.audio, True, False) if clip.audio else None
    want_pictures = clip.video is not None and features.face_frames > 0
    return sound, read(str(clip.video), False, True) if want_pictures else None


def see(
    pictures: media.Recording,
    features: FeaturesConfig,
    detect: Callable[[np.ndarray], list[faces.Face]],
    mesh: Callable[..., np.ndarray | None] | None,
    example: dict[str, np.ndarray],
) -> None:
    """Fill crops, points and their masks; a picture without a face stays zero and masked."""
    previous = None
    last: tuple[np.ndarray | None, int] = (None, -1)
    for index, picture in enumerate(pictures.frames):
        if picture is last[0]:  # the same film frame serves two moments
            for name in ("faces", "face_mask", "mesh", "mesh_mask"):
                if name in example:
                    example[name][index] = example[name][last[1]]
            continue
        last = (picture, index)
        face = faces.pick(detect(picture), previous)
        if face is not None:
            previous = face
            crop = faces.crop(
                picture,
                face,
                size_pixels=features.face_pixels,
                margin=features.face_margin,
                align=features.face_align,
            )
            example["faces"][index] = to_channels(crop, features.face_channels)
            example["face_mask"][index] = 1
        points = mesh(picture, face) if mesh else None
        if points is not None:
            example["mesh"][index] = points
            example["mesh_mask"][index] = 1


def to_channels(crop: np.ndarray, channels: int) -> np.ndarray:
    """Keep RGB or make grey by ITU-R BT.601's weights.

    Shapes:
        uint8 [H, W, 3] -> uint8 [H, W, channels]
    """
    if channels == 3:
        return crop
    grey = crop.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.rint(grey).astype(np.uint8)[..., None]
