"""The audio branch that stands on an encoder from an ONNX file, which ONNX Runtime runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from emorec_tf.config.fields import check
from emorec_tf.errors import UserError
from emorec_tf.models.layers import Tensor, Tokens
from emorec_tf.models.pooling import POOLS, pooled
from emorec_tf.models.pretrained import onnx_encoders
from emorec_tf.models.pretrained.onnx_encoders import Layout

STORED = "onnx"  # name of the file's bytes in a saved model


@keras.saving.register_keras_serializable("emorec_tf")
class OnnxEncoder(keras.layers.Layer):
    """A frozen encoder that runs in ONNX Runtime, on the CPU; the saved model holds its file.

    Only the TensorFlow backend runs it, and no exported file can hold it. ``problem`` says why a
    saved model's encoder cannot run here, if so; Keras hides what is raised while it loads.

    Shapes:
        blocks of samples float32 [B, T, samples of a block], which are real [B, T] ->
        float32 [B, S, width], which tokens are real [B, S]
    """

    def __init__(
        self,
        sha256: str,
        output: str,
        tokens: int,
        width: int,
        least_samples: int,
        normalise: bool = True,
        **kwargs: Any,
    ) -> None:
        """Keep the settings; the encoder itself is loaded with the model, or open already.

        Args:
            sha256: of the ONNX file.
            output: name of its output.
            tokens: S, of the longest clip.
            width: of one token.
            least_samples: shorter clips are padded with zeros up to here.
            normalise: give each clip mean 0 and variance 1 first.
            kwargs: of every Keras layer.
        """
        super().__init__(trainable=False, dtype="float32", **kwargs)
        self.supports_jit = False
        self.sha256, self.normalise = sha256, normalise
        self.layout = Layout(output, tokens, width, least_samples)
        self.encoder = onnx_encoders.is_open(sha256)
        self.problem: UserError | None = None

    def call(self, blocks: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tokens and their mask."""
        import tensorflow as tf

        kinds = (tf.float32, tf.float32)
        values, real = tf.numpy_function(self.encoded, (blocks, there), kinds, stateful=False)
        count, tokens = blocks.shape[0], self.layout.tokens
        values.set_shape((count, tokens, self.layout.width))
        real.set_shape((count, tokens))
        return values, real

    def encoded(self, blocks: np.ndarray, there: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Encode clips one by one, each at its own length; a clip without audio has no token."""
        if self.encoder is None:
            raise self.problem or UserError("this layer has no encoder; load the whole model")
        tokens, width = self.layout.tokens, self.layout.width
        values = np.zeros((len(blocks), tokens, width), np.float32)
        real = np.zeros((len(blocks), tokens), np.float32)
        for row, own in enumerate(there > 0):
            if own.any():
                waveform = blocks[row, own].ravel()
                found = self.encoder.tokens(waveform, self.layout, self.normalise)
                values[row, : len(found)], real[row, : len(found)] = found, 1
        return values, real

    def compute_output_shape(
        self, blocks_shape: tuple[int | None, ...], there_shape: tuple[int | None, ...]
    ) -> tuple[tuple[int | None, ...], tuple[int | None, ...]]:
        """Return the output shapes."""
        tokens = self.layout.tokens
        return (blocks_shape[0], tokens, self.layout.width), (blocks_shape[0], tokens)

    def save_own_variables(self, store: dict[str, Any]) -> None:
        """Write the ONNX file into a saved model."""
        if self.encoder is not None:
            store[STORED] = np.frombuffer(self.encoder.data, np.uint8)

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Read the ONNX file from a saved model."""
        data = np.asarray(store[STORED]).tobytes() if STORED in store.keys() else b""  # noqa: SIM118
        try:
            self.encoder = onnx_encoders.of_bytes(data, "its ONNX encoder")
            if self.encoder.sha256 != self.sha256:
                raise UserError(f"its ONNX encoder has not the sha256 {self.sha256}; copy it again")
        except UserError as error:
            self.encoder, self.problem = None, error

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        config = super().get_config()
        del config["trainable"], config["dtype"]  # fixed by the constructor
        own = {"sha256": self.sha256, "normalise": self.normalise}
        return {**config, **own, **vars(self.layout)}


def encoders_of(model: keras.Model) -> list[dict[str, Any]]:
    """Name the ONNX files inside a network, once each: ``sha256`` and ``bytes``."""
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, OnnxEncoder)]
    found = {layer.sha256: layer.encoder for layer in layers}
    return [{"sha256": name, "bytes": len(e.data) if e else 0} for name, e in found.items()]


def embedding(
    inputs: Mapping[str, Tensor],
    *,
    model: str = "",
    pool: str = "mean_std",
    output: str = "",
    normalise: bool = True,
) -> Tokens:
    """Any pretrained encoder of 16 kHz waveforms in an ONNX file, frozen: wav2vec2, WavLM, HuBERT.

    Needs ``--audio_features waveform`` at 16 kHz and ONNX Runtime (``pip install
    'emorec-tf[onnx]'``), which computes it on the CPU: the branch does not run in TensorFlow, so
    ``export`` refuses it, while ``predict``, ``serve`` and the Python API run it. The file is
    stored in the saved model and not needed later. Its one input of floats [batch, samples] gets
    the samples, and an ``attention_mask`` (or ``padding_mask``), if there is one, says which are
    real. Clips are encoded
    one by one at their own length, because many encoders (wav2vec2-base) give other answers to a
    padded clip, even with a mask. Where the number of samples is fixed, zeros follow the clip. The
    last block of a clip that is not whole (less than 10 ms) is not used.

    Shapes:
        audio [B, T, samples of a block], audio_mask [B, T] -> [B, 1, 2 E]; pool="none": [B, S, E],
        with S and E of the output [1, S, E]; [B, 1, E] whatever the pool where it is [1, E]

    Args:
        inputs: as every audio branch takes them, not standardised.
        model: path of the ONNX file, with its weights inside.
        pool: "mean_std", "attention" or "none" (one token for each of the encoder's).
        output: name of the output; "": the first, mostly the last hidden state.
        normalise: give each clip mean 0 and variance 1, as the feature extractors of wav2vec2 and
            most others do; False for encoders without (their preprocessor_config.json has
            "do_normalize": false).
    Source:
        Baevski et al. 2020, wav2vec 2.0: A framework for self-supervised learning of speech
        representations, NeurIPS; the documentation of ONNX Runtime's Python API.
    """
    check(pool in (*POOLS, "none"), "pool", pool, f"{', '.join(POOLS)} or none")
    if keras.backend.backend() != "tensorflow":
        raise UserError("embedding needs Keras on TensorFlow; set KERAS_BACKEND=tensorflow")
    encoder = onnx_encoders.of_file(model)
    audio, mask = inputs["audio"], inputs["audio_mask"]
    layout = encoder.layout(output, audio.shape[1] * audio.shape[2])
    layer = OnnxEncoder(encoder.sha256, **vars(layout), normalise=normalise)
    return pooled(Tokens(*layer(audio, mask)), pool if layout.tokens > 1 else "none")


def learns_pooling(arguments: Mapping[str, Any]) -> bool:
    """Whether these arguments of ``embedding`` give it weights that training must find."""
    return bool(arguments["pool"] == "attention")
