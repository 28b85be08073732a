"""pooling: the first and last steps of audio branches."""

from __future__ import annotations

import numpy as np
import pytest

from emorec_tf.errors import UserError
from emorec_tf.models.layers import Tokens
from emorec_tf.models.pooling import masked_audio, one_token, pooled

MASK = np.array([[1, 1, 0], [0, 0, 0]], np.float32)
VALUES = np.arange(12, dtype=np.float32).reshape(2, 3, 2) + 1


def test_audio_is_masked_beyond_its_end():
    values, mask = masked_audio({"audio": VALUES, "audio_mask": MASK})
    np.testing.assert_array_equal(values, VALUES * MASK[..., None])
    np.testing.assert_array_equal(mask, MASK)


def test_a_clip_is_one_token_if_any_frame_is_real():
    values, mask = one_token(VALUES[:, 0], MASK)
    assert values.shape == (2, 1, 2)
    np.testing.assert_array_equal(mask, [[1], [0]])


def test_mean_and_deviation_of_the_real_frames():
    values, mask = pooled(Tokens(VALUES, MASK), "mean_std")
    real = VALUES[0, :2]
    deviation = np.sqrt(real.var(axis=0) + 1e-5)
    np.testing.assert_allclose(values[0, 0], [*real.mean(axis=0), *deviation], rtol=1e-6)
    assert np.isfinite(values).all()
    np.testing.assert_array_equal(mask, [[1], [0]])


def test_no_pooling_and_an_unknown_one():
    tokens = Tokens(VALUES, MASK)
    assert pooled(tokens, "none") is tokens
    with pytest.raises(UserError, match="pool is 'max'; it must be attention, mean_std or none"):
        pooled(tokens, "max")
