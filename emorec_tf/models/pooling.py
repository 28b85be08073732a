"""Start and end of branches: audio without its padding, pooling to one token, segments."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from keras import ops

from emorec_tf.config.fields import check
from emorec_tf.models.layers import Tensor, Tokens, attention, mean_and_deviation, present

FAR = 1e4  # beyond any value: excludes missing frames from a maximum
POOLS: dict[str, Callable[[Tokens], Tensor]] = {
    "attention": attention,
    "mean_std": mean_and_deviation,
}


def masked_audio(inputs: Mapping[str, Tensor]) -> Tokens:
    """Audio frames, zero in the padding: [B, T, M], [B, T]."""
    audio, mask = inputs["audio"], inputs["audio_mask"]
    return Tokens(audio * ops.cast(mask, audio.dtype)[..., None], mask)


def pooled(tokens: Tokens, pool: str) -> Tokens:
    """Reduce tokens to one by the named pooling; "none" leaves them as they are.

    Raises:
        UserError: an unknown name.
    """
    if pool == "none":
        return tokens
    check(pool in POOLS, "pool", pool, f"{', '.join(POOLS)} or none")
    return one_token(POOLS[pool](tokens), tokens.mask)


def pooled_frames(tokens: Tokens, pool: str) -> Tokens:
    """Frames as they are ("none"), or mean, deviation and largest over them ("statistics").

    Shapes:
        [B, F, E], mask [B, F] -> the same, or [B, 1, 3 E], [B, 1]

    Raises:
        UserError: another name.
    """
    check(pool in ("none", "statistics"), "pool", pool, "none or statistics")
    if pool == "none":
        return tokens
    values, mask = ops.cast(tokens.values, "float32"), ops.cast(tokens.mask, "float32")
    real, any_real = mask[..., None], present(mask)
    largest = ops.max(values * real - FAR * (1.0 - real), axis=1)
    found = ops.concatenate([mean_and_deviation(Tokens(values, mask)), largest], axis=-1)
    return one_token(found * any_real, mask)


def one_token(features: Tensor, mask: Tensor) -> Tokens:
    """Features of the whole clip as its only token, real if any frame is.

    Shapes:
        [B, E], mask [B, S] -> [B, 1, E], [B, 1]
    """
    return Tokens(features[:, None], present(mask))


def segments(mask: Tensor, parts: int) -> list[Tensor]:
    """Split the real tokens into segments of equal size, in order: mask [B, S] -> ``parts`` of it.

    With fewer tokens than segments, some are empty.
    """
    weights = ops.cast(mask, "float32")
    count = ops.maximum(ops.sum(weights, axis=1, keepdims=True), 1.0)
    number = ops.floor((ops.cumsum(weights, axis=1) - 0.5) * parts / count)
    return [weights * ops.cast(ops.equal(number, float(n)), "float32") for n in range(parts)]
