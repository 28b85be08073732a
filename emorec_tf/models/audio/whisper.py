"""Whisper's encoder, and the audio branch that stands on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from emorec_tf.config.fields import check
from emorec_tf.errors import UserError
from emorec_tf.models.audio.whisper_layers import (
    MOST_TOKENS,
    LayerMix,
    Part,
    WhisperBlock,
    WhisperNorm,
    WhisperStem,
)
from emorec_tf.models.layers import Tensor, Tokens, present
from emorec_tf.models.pooling import pooled
from emorec_tf.models.pretrained import whisper_files
from emorec_tf.storage.downloads import model_path

MEL_BANDS = 80
RANGE_DB = 80.0  # below the loudest moment of a clip


@dataclass(frozen=True)
class Size:
    """Dimensions of an encoder."""

    width: int
    heads: int
    blocks: int


SIZES = {
    "tiny.en": Size(384, 6, 4),
    "tiny": Size(384, 6, 4),
    "base.en": Size(512, 8, 6),
    "base": Size(512, 8, 6),
    "small.en": Size(768, 12, 12),
    "small": Size(768, 12, 12),
    "test": Size(8, 2, 2),
}


def spectrum_of(audio: Tensor, mask: Tensor) -> Tensor:
    """Bring decibels to the scale of Whisper; padding becomes its silence, 80 dB below the loudest.

    Shapes:
        audio float32 [B, T, M], ``mel_db`` as it is, mask [B, T] -> [B, T, M]
    """
    real = ops.cast(mask, audio.dtype)[..., None]
    loudest = ops.max(audio * real + (real - 1.0) * 1e4, axis=(1, 2), keepdims=True)
    floor = (loudest - RANGE_DB) * ops.cast(present(mask), audio.dtype)[..., None]
    audio = ops.maximum(audio * real + (1.0 - real) * floor, floor)
    return (audio / 10.0 + 4.0) / 4.0


def encoder_states(
    audio: Tensor, mask: Tensor, size: str, weights: str, trainable: int = 0
) -> tuple[list[Tensor], Tensor]:
    """Run Whisper's encoder on mel spectra in decibels.

    Shapes:
        audio float32 [B, T, M], mask [B, T] -> states [B, (T + 1) // 2, width], mask of them

    Args:
        audio: ``mel_db``, neither standardised nor masked.
        mask: 1 for real frames; nothing looks at the others.
        size: one of ``SIZES``.
        weights: "none" (random, all trained), "download" or a file (see ``whisper_files``).
        trainable: how many of the last blocks are trained, with the norm after them; the rest is
            frozen.

    Returns:
        The embedding, the output of each block, the last of them normalised; and their mask.

    Raises:
        UserError: an unknown size, more than 30 s, or a file that cannot be read or is of another
            size.
    """
    check(size in SIZES, "size", size, ", ".join(SIZES))
    width, heads, blocks = vars(SIZES[size]).values()
    frames, scratch = audio.shape[1] or 0, weights == "none"
    if frames > 2 * MOST_TOKENS + 1:  # 30 s, and the frame that is centred on their end
        raise UserError(
            f"whisper takes at most 30 s of audio, not {frames} frames of 10 ms; prepare with "
            f"--clip_seconds 30"
        )
    audio, mask = audio[:, : 2 * MOST_TOKENS], mask[:, : 2 * MOST_TOKENS]
    check(trainable <= blocks, "trainable", trainable, f"at most {blocks}, the blocks of {size}")
    check(not (scratch and trainable), "trainable", trainable, "0 where weights is 'none'")
    first = 0 if scratch else blocks - trainable  # of the trained blocks
    stem = WhisperStem(width, frozen=not scratch, name="whisper_stem")
    made = [
        WhisperBlock(width, heads, frozen=n < first, name=f"whisper_block_{n}")
        for n in range(blocks)
    ]
    norm = WhisperNorm(width, frozen=first == blocks, name="whisper_norm")
    real = mask[:, ::2]
    states = [stem(spectrum_of(audio, mask))]
    for block in made:
        states.append(block(states[-1], real))
    states[-1] = norm(states[-1])
    if not scratch:
        load(weights, size, [stem, *made, norm])
    return states, real


def load(weights: str, size: str, layers: list[Part]) -> None:
    """Give built layers the weights of a file, or of the published one, downloaded once.

    Raises:
        UserError: no such file, it cannot be downloaded or read, or it is of another size.
    """
    known = whisper_files.download_of(size) if size in whisper_files.SHA256 else ("", "", "")
    check(weights != "download" or bool(known[0]), "weights", weights, f"a file for size {size}")
    option = "whisper(weights=...)"
    path = model_path(None if weights == "download" else weights, known, option)
    arrays = whisper_files.encoder_arrays(path)
    blocks = 1 + max((int(n.split(".")[1]) for n in arrays if n.startswith("layers.")), default=-1)
    if blocks != SIZES[size].blocks:
        raise UserError(
            f"{path}: has {blocks} blocks, {size} has {SIZES[size].blocks}; name its size"
        )
    for layer in layers:
        prefix = f"layers.{layer.name.split('_')[-1]}." if isinstance(layer, WhisperBlock) else ""
        own = {}
        for name, variable in layer.numbers.items():
            array = arrays.get(f"{prefix}{name}")
            wanted = tuple(variable.shape)[::-1]  # PyTorch's order of axes is the reverse
            if array is None or array.shape != wanted:
                stored = "is missing" if array is None else f"is {array.shape}"
                raise UserError(
                    f"{path}: {prefix}{name} {stored}, {size} needs {wanted}; name its size"
                )
            own[name] = array.T
        layer.load(own)


def whisper_encoder(
    size: str = "tiny.en", weights: str = "download", frames: int | None = None
) -> keras.Model:
    """Whisper's encoder as a model of its own, frozen.

    Shapes:
        {"audio": float32 [B, T, 80], "audio_mask": [B, T]} -> [states, mask]: the embedding and
        each block's output, the last one normalised, [B, (T + 1) // 2, blocks + 1, width], and
        which of the tokens are real, [B, (T + 1) // 2]

    Args:
        size: one of ``SIZES``.
        weights: see ``encoder_states``.
        frames: T, at most 3000; None: any.

    Raises:
        UserError: see ``encoder_states``.
    """
    inputs = {
        "audio": keras.Input((frames, MEL_BANDS), name="audio"),
        "audio_mask": keras.Input((frames,), name="audio_mask"),
    }
    states, real = encoder_states(inputs["audio"], inputs["audio_mask"], size, weights)
    return keras.Model(inputs, [ops.stack(states, axis=2), real], name="whisper_encoder")


def whisper(
    inputs: Mapping[str, Tensor],
    *,
    size: str = "tiny.en",
    layers: str = "last",
    trainable: int = 0,
    pool: str = "mean_std",
    weights: str = "download",
) -> Tokens:
    """Whisper's pretrained encoder, frozen or with its last blocks trained.

    Needs its own spectra: ``--audio_features mel_db --mel_bands 80 --mel_min_hz 0 --mel_max_hz
    8000`` at 16 kHz. Two frames at either end differ from Whisper's, which mirrors the audio there
    where ``mel_db`` has silence. Only real audio is looked at, where Whisper adds silence up to
    30 s. Frozen weights lie in the saved model in half precision, so that no file is needed later.

    Shapes:
        audio [B, T, 80], audio_mask [B, T] -> [B, 1, 2 width], with layers="concat"
        [B, 1, 2 (blocks + 1) width]; pool="none": half of that for each of (T + 1) // 2 tokens

    Args:
        inputs: as every audio branch takes them, not standardised.
        size: "tiny.en" or "tiny" (width 384, 4 blocks), "base.en" or "base" (512, 6), "small.en"
            or "small" (768, 12); "test" (8, 2) for tests.
        layers: "last", "all" (mean of the embedding and all blocks' outputs by learned shares),
            "concat" (all side by side) or the number of one, from '0', the embedding.
        trainable: how many of the last blocks are trained; 0: none.
        pool: "attention", "mean_std" or "none" (one token per 20 ms).
        weights: "download" (OpenAI's file, once: 76 to 484 MB), the path of OpenAI's .pt, Hugging
            Face's model.safetensors or CTranslate2's model.bin; "none": random, all trained.
    Source:
        Radford et al. 2023, Robust speech recognition via large-scale weak supervision, ICML.
    """
    check(size in SIZES, "size", size, ", ".join(SIZES))
    numbers = [str(n) for n in range(SIZES[size].blocks + 1)]
    allowed = f"last, all, concat or a number up to {numbers[-1]}"
    check(layers in ("last", "all", "concat", *numbers), "layers", layers, allowed)
    states, real = encoder_states(inputs["audio"], inputs["audio_mask"], size, weights, trainable)
    if layers == "concat":
        values = ops.concatenate(states, axis=-1)
    elif layers == "all":
        values = LayerMix(name="whisper_layers")(ops.stack(states, axis=2))
    else:
        values = states[-1 if layers == "last" else int(layers)]
    return pooled(Tokens(values, real), pool)


def is_trained(arguments: Mapping[str, Any]) -> bool:
    """Whether these arguments of ``whisper`` give it weights that training must find."""
    learned = arguments["layers"] == "all" or arguments["pool"] == "attention"
    return learned or arguments["trainable"] > 0 or arguments["weights"] == "none"
