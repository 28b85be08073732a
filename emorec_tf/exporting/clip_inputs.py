"""The arrays that a run's exported files take for a clip."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from emorec_tf.errors import UserError
from emorec_tf.exporting import parity
from emorec_tf.exporting.parity import Arrays
from emorec_tf.inference import predictor
from emorec_tf.inference.model_inputs import batch_of, clip_of, silenced
from emorec_tf.storage.files import write_atomically

SUFFIX = ".npz"


def check_place(out: str) -> None:
    """Refuse a place that the arrays cannot be written to.

    Raises:
        UserError: another ending, or no such folder.
    """
    place = Path(out)
    if place.suffix.lower() != SUFFIX:
        raise UserError(f"--out {out} must end in {SUFFIX}")
    if not place.parent.is_dir():
        raise UserError(f"--out {out}: cannot write there, no folder {place.parent}")


def of_clip(loaded: predictor.Predictor, path: str, speech_check: bool = True) -> Arrays:
    """Decode the middle of a clip, as ``predict`` does, to an exported file's inputs.

    Args:
        loaded: the run.
        path: of the clip.
        speech_check: ``samples`` is 0 where no speech is found.

    Returns:
        {input: [1, ...]}, the inputs that docs/export.md describes. ``samples`` is 0 also of
        digital silence, which ``predict`` does not count as audio.

    Raises:
        UserError: a clip that cannot be read, or a run that cannot be exported.
    """
    from emorec_tf.exporting.export_graph import serving
    from emorec_tf.features.examples import window_waveform

    served = serving(loaded.run, loaded.model)
    audio, faces = loaded.reader.read(clip_of(path))
    example, seen = loaded.assemble(audio, faces, path)
    waveform = window_waveform(audio, loaded.run.config.features) if audio is not None else None
    heard = np.zeros(0) if waveform is None else waveform
    arrays = parity.case(served, path, heard, batch_of(example)).raw
    checked = speech_check and audio is not None and seen.audio_present
    if silenced(example, seen) or (checked and audio and not loaded.has_speech(audio)):
        arrays |= {"samples": np.zeros(1, np.int32)} if "samples" in arrays else {}
    return arrays


def write(arrays: Arrays, out: str) -> None:
    """Write arrays as .npz, whole or not at all.

    Raises:
        UserError: it cannot be written.
    """
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    try:
        write_atomically(Path(out), file.getvalue())
    except OSError as error:
        raise UserError(f"{error.filename or out}: cannot write ({error.strerror})") from error


def described(arrays: Arrays) -> str:
    """Name the arrays with their types and shapes."""
    return ", ".join(f"{name} {array.dtype} {list(array.shape)}" for name, array in arrays.items())
