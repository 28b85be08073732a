"""Audio encoders in ONNX files: from the samples of one clip to its vectors, by ONNX Runtime.

Nothing in such a file can run code of its own: operations that ONNX Runtime does not have are
refused, and so are weights in further files.
"""

from __future__ import annotations

import bisect
import copy
import hashlib
import os
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emorec_tf.config.fields import nearest
from emorec_tf.errors import UserError
from emorec_tf.storage.downloads import import_package

FLOATS = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}
MASKS = {**FLOATS, "tensor(int64)": "int64", "tensor(int32)": "int32", "tensor(bool)": "bool"}
# Names of a mask, and what it has for real samples: Hugging Face's encoders, fairseq's.
MASK_NAMES = {"attention_mask": True, "padding_mask": False}
EPSILON = 1e-7  # of the variance, as in Hugging Face's feature extractor
FATAL_ONLY = 4  # log severity of ONNX Runtime: its errors are raised, too
# ONNX Runtime looks for weights in further files here, not in the current folder.
NO_FOLDER = str(Path(os.devnull, "none"))
REASON = 200  # characters of ONNX Runtime's message


@dataclass(frozen=True)
class Layout:
    """What comes out of an encoder for clips of one length."""

    output: str  # its name
    tokens: int  # of the longest clip
    width: int  # of one token
    least_samples: int  # shorter clips are padded with zeros up to here


class Encoder:
    """An encoder, ready to run.

    Attributes:
        data: the file.
        sha256: of it, in hexadecimal.
        samples: number of samples that it takes; None: any.
    """

    def __init__(self, data: bytes, name: str) -> None:
        """Load it.

        Args:
            data: the file.
            name: of the file, for messages.

        Raises:
            UserError: no ONNX file, one that ONNX Runtime cannot load, or one that does not take a
                waveform.
            SetupError: ONNX Runtime is not installed.
        """
        self.data, self.sha256 = data, hashlib.sha256(data).hexdigest()
        self._name = name
        self._session = session_of(data, name)
        self._waveform, self._mask = inputs_of(self._session, name)
        length = self._waveform.shape[1]
        self.samples = length if isinstance(length, int) else None
        self._layouts: dict[tuple[str, int], Layout] = {}

    def renamed(self, name: str) -> Encoder:
        """The same encoder, in the same memory, under another name for messages."""
        other = copy.copy(self)
        other._name = name
        return other

    def layout(self, output: str, samples: int) -> Layout:
        """Find out what comes out, by running it on silence.

        Args:
            output: name of the output; "": the first.
            samples: of the longest clip.

        Raises:
            UserError: no such output, one of another rank, or clips of another length.
        """
        if (output, samples) not in self._layouts:
            self._layouts[output, samples] = self._measured(output, samples)
        return self._layouts[output, samples]

    def _measured(self, output: str, samples: int) -> Layout:
        outputs = {one.name: one for one in self._session.get_outputs()}
        if output and output not in outputs:
            raise UserError(f"{self._name} has no output {output!r}; {nearest(output, outputs)}")
        output = output or next(iter(outputs))
        if outputs[output].type not in FLOATS:
            raise UserError(
                f"{self._name}: output {output!r} holds {outputs[output].type}, not floats; name "
                f"another with output=..., of {', '.join(outputs)}"
            )
        if self.samples is not None and self.samples < samples:
            raise UserError(
                f"{self._name} takes {self.samples} samples, but clips have {samples}; prepare "
                f"with shorter --clip_seconds, or export it with a free number of samples"
            )
        found = self._probed(output, self.samples or samples)
        share = samples / (self.samples or samples)
        tokens = max(1, int(len(found) * share))
        return Layout(output, tokens, found.shape[1], self._least(output, samples))

    def _probed(self, output: str, samples: int) -> np.ndarray:
        try:
            return self._states(np.zeros(samples, np.float32), output, samples)
        except UserError:
            raise
        except Exception as error:  # ONNX Runtime's have no class in common
            raise UserError(
                f"{self._name} cannot take {samples} samples ({reason_of(error)}); give an encoder "
                f"of 16 kHz waveforms [batch, samples]"
            ) from error

    def _least(self, output: str, samples: int) -> int:
        """Length of the shortest clip for which something comes out."""
        if self.samples is not None:
            return self.samples

        def answers(length: int) -> bool:
            try:
                return bool(len(self._states(np.zeros(length, np.float32), output, length)))
            except Exception:  # of a convolution that is longer than the clip
                return False

        return 1 + bisect.bisect_left(range(1, samples), True, key=answers)

    def tokens(self, waveform: np.ndarray, layout: Layout, normalise: bool) -> np.ndarray:
        """Encode one clip at its own length, so that no padding can change the answer.

        Where the number of samples is fixed, zeros follow the clip; they are masked for an encoder
        that has a mask, and the tokens that lie in the clip are returned.

        Shapes:
            float32 [samples], real ones alone -> float32 [S, width], S at most ``layout.tokens``
        """
        if normalise:
            spread = np.sqrt(waveform.var() + np.float32(EPSILON))
            waveform = (waveform - waveform.mean()) / spread
        real = len(waveform)
        padded = np.pad(waveform, (0, max(0, layout.least_samples - real)))
        found = self._states(padded, layout.output, len(padded) if self.samples is None else real)
        if self.samples is not None:
            found = found[: max(1, len(found) * real // self.samples)]
        return found[: layout.tokens].astype(np.float32)

    def _states(self, waveform: np.ndarray, output: str, real: int) -> np.ndarray:
        """Run it on one clip: [samples], of which ``real`` are not padding -> [S, width]."""
        given = {self._waveform.name: waveform[None].astype(FLOATS[self._waveform.type])}
        if self._mask is not None:
            mask = (np.arange(len(waveform)) < real) == MASK_NAMES[self._mask.name]
            given[self._mask.name] = mask[None].astype(MASKS[self._mask.type])
        found = np.asarray(self._session.run([output], given)[0])
        if found.ndim not in (2, 3) or len(found) != 1:
            raise UserError(
                f"{self._name}: output {output!r} of one clip has the shape {found.shape}, not "
                f"(1, tokens, width) or (1, width); name another with output=..."
            )
        return found[0] if found.ndim == 3 else found


_OPEN: weakref.WeakValueDictionary[str, Encoder] = weakref.WeakValueDictionary()


def is_open(sha256: str) -> Encoder | None:
    """The encoder with this checksum that something in this process holds, if any."""
    return _OPEN.get(sha256)


def of_bytes(data: bytes, name: str) -> Encoder:
    """Load an encoder; copies of one in a process share its memory.

    Each has the name it was loaded by, so that a message names the file that was given.

    Raises:
        UserError: see ``Encoder``.
    """
    found = _OPEN.get(hashlib.sha256(data).hexdigest())
    encoder = found.renamed(name) if found else Encoder(data, name)
    _OPEN[encoder.sha256] = encoder
    return encoder


def of_file(path: str) -> Encoder:
    """Load the encoder of a file.

    Raises:
        UserError: no such file; see also ``Encoder``.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file; embedding(model=...) needs an ONNX file")
    runtime()  # before a large file is read
    try:
        return of_bytes(Path(path).read_bytes(), path)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check it") from error


def runtime() -> Any:
    """Import ONNX Runtime.

    Raises:
        SetupError: it is not installed; the message has the command.
    """
    return import_package("onnxruntime", "'emorec-tf[onnx]'")


def session_of(data: bytes, name: str) -> Any:
    """Start ONNX Runtime on the CPU.

    Raises:
        UserError: no ONNX file, or one that cannot run here.
        SetupError: ONNX Runtime is not installed.
    """
    onnxruntime = runtime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", NO_FOLDER
    )
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's have no class in common
        reason = reason_of(error)
        if "external" in str(error).lower():
            raise UserError(
                f"{name} has its weights in further files; give an ONNX file that holds them "
                f"(onnx.save_model(onnx.load({Path(name).name!r}), 'whole.onnx') makes one)"
            ) from error
        if "not a registered function/op" in str(error):
            raise UserError(
                f"{name} has operations of its own ({reason}); export it with those of ONNX alone"
            ) from error
        raise UserError(
            f"{name} cannot be loaded as an ONNX model ({reason}); give an ONNX file of an audio "
            f"encoder"
        ) from error


def reason_of(error: Exception) -> str:
    """The words of ONNX Runtime's message, in one line."""
    return " ".join(str(error).split(" : ", 3)[-1].split())[:REASON].rstrip(".")


def inputs_of(session: Any, name: str) -> tuple[Any, Any | None]:
    """Find the waveform among the inputs of an encoder, and the mask, if it takes one.

    Raises:
        UserError: no waveform [batch, samples], several, or an input that cannot be filled.
    """
    inputs = session.get_inputs()
    mask = next((i for i in inputs if i.name in MASK_NAMES and i.type in MASKS), None)
    others = [one for one in inputs if one is not mask]
    fitting = [one for one in others if one.type in FLOATS and len(one.shape) == 2]
    shown = ", ".join(f"{one.name} {one.type} {list(one.shape)}" for one in inputs) or "none"
    if len(fitting) != 1 or len(others) > 1:
        raise UserError(
            f"{name} has the inputs {shown}; an encoder has one waveform of floats [batch, "
            f"samples], and at most an {' or '.join(MASK_NAMES)} beside it"
        )
    batch = fitting[0].shape[0]
    if isinstance(batch, int) and batch != 1:
        raise UserError(f"{name} takes batches of {batch} clips; export it for one, or for any")
    return fitting[0], mask
