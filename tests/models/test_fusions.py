"""The contract of every fusion, looped over the table, and the averages in closed form."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax, softmax

from emorec_tf.config import choices
from emorec_tf.errors import UserError
from emorec_tf.models.fusion.fusions import FUSIONS
from emorec_tf.models.layers import Tokens

AVERAGES = ("weighted_average", "multi_frame_average")
DECISIONS = (*AVERAGES, "shared_weights", "added_logits")
FRAME_BY_FRAME = ("multi_frame_average", "shared_weights")
CASES = [
    *FUSIONS,
    *(f"{name}(audio_weight=0.3)" for name in AVERAGES),
    "face_only(average='probabilities', units=5, norm=False)",
    "audio_only(units=5, layers=2, norm=False)",
    "concat(units=5, layers=2, norm=False, presence=False)",
    "concat_deep(hidden=(9,), scale=0.5, batch_norm=True)",
    "shared_weights(frames=1, units=5)",
    "added_logits(units=5, norm=False)",
]
USES = {case: choices.facts("fusion", case).uses for case in CASES}
JOINT = [case for case, uses in USES.items() if len(uses) > 1]
ALONE = [case for case in CASES if case not in JOINT]
RANDOM = np.random.default_rng(0)
BATCH = [
    RANDOM.normal(size=(4, 2, 6)).astype(np.float32),
    np.array([[1, 1], [1, 0], [0, 0], [0, 0]], np.float32),  # both, both, face, nothing
    RANDOM.normal(size=(4, 3, 5)).astype(np.float32),
    np.array([[1, 1, 1], [1, 0, 1], [0, 1, 1], [0, 0, 0]], np.float32),
]
NO_AUDIO = [BATCH[0], np.zeros((4, 2), np.float32), *BATCH[2:]]
NO_FACE = [*BATCH[:3], np.zeros((4, 3), np.float32)]


def answer(model: keras.Model, batch: list[np.ndarray]) -> np.ndarray:
    """Logits without compiling anything; test_model compiles each fusion."""
    return np.asarray(model(batch, training=False))


def built(choice: str, outputs: int = 4, any_frames: bool = False) -> keras.Model:
    keras.utils.set_random_seed(0)
    shapes = [list(array.shape[1:]) for array in BATCH]
    for shape in shapes[2:] if any_frames else ():
        shape[0] = None
    tensors = [keras.Input(shape, name=n) for shape, n in zip(shapes, "amfn", strict=True)]
    audio, face = Tokens(*tensors[:2]), Tokens(*tensors[2:])
    return keras.Model(tensors, choices.resolve("fusion", choice)(audio, face, outputs))


@pytest.mark.parametrize("choice", CASES)
def test_contract(choice, reloaded):
    model = built(choice)
    logits = answer(model, BATCH)
    assert logits.shape == (4, 4)
    for batch in (BATCH, NO_AUDIO, NO_FACE):
        assert np.isfinite(answer(model, batch)).all()
    alone = answer(model, [a[1:2] for a in BATCH])
    np.testing.assert_allclose(alone[0], logits[1], atol=1e-5)
    masked = [BATCH[0].copy(), BATCH[1], BATCH[2].copy(), BATCH[3]]
    masked[0][BATCH[1] == 0], masked[2][BATCH[3] == 0] = 50, -50
    np.testing.assert_allclose(answer(model, masked), logits, atol=1e-5)
    np.testing.assert_array_equal(answer(reloaded(model), BATCH), logits)


@pytest.mark.parametrize("choice", CASES)
def test_any_number_of_frames(choice):
    """Training may use one frame of a clip, and evaluation all."""
    fixed, free = built(choice), built(choice, any_frames=True)
    free.set_weights(fixed.get_weights())
    logits = answer(fixed, BATCH)
    np.testing.assert_allclose(answer(free, BATCH), logits, atol=1e-5)
    one = [*BATCH[:2], BATCH[2][:, :1], BATCH[3][:, :1]]
    rest = [*BATCH[:3], BATCH[3] * [1, 0, 0]]
    np.testing.assert_allclose(answer(free, one), answer(fixed, rest), atol=1e-5)


@pytest.mark.parametrize("choice", CASES)
def test_one_token_of_each_is_enough(choice):
    alone = [BATCH[0][:, :1], BATCH[1][:, :1], BATCH[2][:, :1], BATCH[3][:, :1]]
    tensors = [keras.Input(a.shape[1:]) for a in alone]
    fuse = choices.resolve("fusion", choice)
    model = keras.Model(tensors, fuse(Tokens(*tensors[:2]), Tokens(*tensors[2:]), 3))
    assert np.isfinite(answer(model, alone)).all()


@pytest.mark.parametrize("choice", CASES)
def test_half_precision(choice):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        logits = built(choice)(BATCH, training=True)
    finally:
        keras.config.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    assert np.isfinite(np.asarray(logits)).all()


@pytest.mark.parametrize("choice", CASES)
def test_every_weight_learns(choice):
    """All but two biases without effect: of ``shared_weights``, and of pooling's scores."""
    model = built(choice)
    with tf.GradientTape() as tape:
        logits = model(BATCH, training=True)
        loss = tf.reduce_sum(tf.nn.log_softmax(logits) * RANDOM.normal(size=(4, 4)))
    learned = [v for v in model.trainable_variables if v.name != "bias" or np.size(v) > 1]
    gradients = tape.gradient(loss, [v.value for v in learned])
    assert gradients
    for variable, gradient in zip(learned, gradients, strict=True):
        assert gradient is not None, variable.path
        assert np.any(gradient), variable.path


@pytest.mark.parametrize("name", FUSIONS)
def test_documented(name):
    text = FUSIONS[name].function.__doc__ or ""
    assert "Shapes:" in text
    assert "Source:" in text
    assert all(f"{argument}:" in text for argument in choices.entry("fusion", name).arguments)


@pytest.mark.parametrize("choice", JOINT)
def test_both_modalities_matter(choice):
    model = built(choice)
    logits = answer(model, BATCH)
    for batch in (NO_AUDIO, NO_FACE):
        assert not np.allclose(answer(model, batch)[0], logits[0], atol=1e-4)


@pytest.mark.parametrize("choice", ALONE)
def test_fusions_of_one_branch_ignore_the_other(choice):
    model, other = built(choice), NO_AUDIO if USES[choice] == ("face",) else NO_FACE
    np.testing.assert_array_equal(answer(model, other), answer(model, BATCH))


def given(model: keras.Model, *first: keras.Model) -> keras.Model:
    """Copy the weights of layers with the same name from other models."""
    for other in first:
        for layer in other.layers:
            if layer.weights and layer.name in {x.name for x in model.layers}:
                model.get_layer(layer.name).set_weights(layer.get_weights())
    return model


def kept(model: keras.Model) -> set[str]:
    return {layer.name for layer in model.layers if layer.weights}


@pytest.mark.parametrize("arguments", ["", "units=5, layers=2", "units=3, norm=False"])
@pytest.mark.parametrize("name", DECISIONS)
def test_heads_trained_alone_give_the_same_answer_in_a_fusion(name, arguments):
    """Without the other modality, a decision-level fusion equals the branch alone."""
    average = "probabilities" if name in FRAME_BY_FRAME else "features"
    audio, face = (
        built(f"audio_only({arguments})"),
        built(
            f"face_only({arguments}, average='{average}')"
            if arguments
            else f"face_only(average='{average}')"
        ),
    )
    model = built(f"{name}({arguments})")
    own = kept(model) - kept(audio) - kept(face)
    assert all(layer.startswith(("joint_", "weighted_average")) for layer in own)
    assert kept(audio) | kept(face) <= kept(model)
    given(model, audio, face)
    for alone, batch, rows in ((audio, NO_FACE, [0, 1]), (face, NO_AUDIO, [0, 1, 2])):
        expected = log_softmax(answer(alone, batch), axis=1)[rows]
        found = answer(model, batch)[rows]
        if name == "shared_weights":  # probabilities, weighed with an even rest
            expected, found = np.exp(expected), (found - 4.0 / 4) / 4.0
        else:
            found = log_softmax(found, axis=1)
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["concat", "concat_deep", "gated", "cross_attention"])
def test_joint_layers_have_names_of_their_own(name):
    own = kept(built(name)) - {"audio_norm", "face_norm"}
    plain = [x for x in own if not x.startswith("joint_")]
    assert all(x.startswith("dense") for x in plain)  # of the attentive pooling
    assert bool(plain) == (name == "cross_attention")


def test_added_logits_in_closed_form():
    model = built("added_logits")
    one, other = (answer(given(built(n), model), BATCH) for n in ("audio_only", "face_only"))
    there = [np.array(rows, np.float32)[:, None] for rows in ([1, 1, 0, 0], [1, 1, 1, 0])]
    expected = there[0] * one + there[1] * other
    np.testing.assert_allclose(answer(model, BATCH), expected, atol=1e-5)


@pytest.mark.parametrize(("apart", "outputs"), [(1.0, 4), (0.0, 4), (0.5, 4), (1.0, 2)])
def test_heads_of_added_logits_have_losses_of_their_own(apart, outputs):
    """With smoothed labels too, as Keras's own cross-entropy of each head says."""
    model = built(f"added_logits(apart={apart}, dropout=0.0)", outputs)
    heads = [model.get_layer(f"{n}_head").output for n in ("audio", "face")]
    audio, face = keras.Model(model.inputs, heads)(BATCH)
    truth = np.eye(outputs, dtype=np.float32)[[0, 1, 1, 0]]
    loss = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=0.1, reduction="none"
    )
    logits = model(BATCH, training=True)
    own, both = loss(truth, audio) + loss(truth, face), loss(truth, audio + face)
    share = apart if outputs > 2 else 0.0
    rows = [*((share * own + (1 - share) * both)[:2]), loss(truth, face)[2], np.log(outputs)]
    found = np.mean(loss(truth, logits)) + sum(map(float, model.losses))
    np.testing.assert_allclose(found, np.mean(rows), rtol=1e-5)
    model(BATCH, training=False)
    assert not model.losses  # so the loss of validation is that of the answer


def test_impossible_share_of_own_losses():
    with pytest.raises(UserError, match="apart is 2"):
        built("added_logits(apart=2.0)")


def test_shared_weights_in_closed_form():
    model = built("shared_weights")
    assert model.get_layer("joint_weights").count_params() == 3
    model.get_layer("joint_weights").set_weights([np.array(w) for w in (3.29, 24.41, 0.5)])
    audio = classes_of(model, BATCH[0][1, :1].mean(0), 6)
    face = classes_of(model, BATCH[2][1, [0, 2]], 5).mean(0)
    expected = 3.29 * audio + 24.41 * face + 0.5
    np.testing.assert_allclose(answer(model, BATCH)[1], expected, atol=1e-4)


def test_shared_weights_use_the_given_number_of_frames():
    one, all_of_them = built("shared_weights(frames=1)"), built("shared_weights")
    middle = [*BATCH[:3], np.array([[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]], np.float32)]
    np.testing.assert_allclose(answer(one, BATCH), answer(all_of_them, middle), atol=1e-6)


def test_impossible_average():
    with pytest.raises(UserError, match="average is 'mean'; it must be features or probabilities"):
        built("face_only(average='mean')")


def classes_of(model: keras.Model, tokens: np.ndarray, width: int) -> np.ndarray:
    """Probabilities by the class layer that takes ``width`` features, after layer norm."""
    heads = [x for x in model.layers if isinstance(x, keras.layers.Dense)]
    kernel, bias = next(h.get_weights() for h in heads if h.kernel.shape[0] == width)
    level = tokens - tokens.mean(-1, keepdims=True)
    level = level / np.sqrt((level**2).mean(-1, keepdims=True) + 1e-3)  # Keras's epsilon
    return softmax(level @ kernel + bias, axis=-1)


def test_weighted_average_in_closed_form():
    model = built("weighted_average(audio_weight=0.3)")
    found = np.exp(log_softmax(answer(model, BATCH), axis=1))
    audio, face = BATCH[0][1, :1].mean(0), BATCH[2][1, [0, 2]].mean(0)
    mixed = 0.3 * classes_of(model, audio, 6) + 0.7 * classes_of(model, face, 5)
    np.testing.assert_allclose(found[1], mixed, atol=1e-5)
    np.testing.assert_allclose(found[2], classes_of(model, BATCH[2][2, 1:].mean(0), 5), atol=1e-5)
    np.testing.assert_allclose(found[3], 0.25, atol=1e-6)


def test_multi_frame_average_in_closed_form():
    model = built("multi_frame_average(audio_weight=0.3)")
    found = np.exp(log_softmax(answer(model, BATCH), axis=1))
    faces = classes_of(model, BATCH[2][1, [0, 2]], 5).mean(0)  # probabilities, then their mean
    mixed = 0.3 * classes_of(model, BATCH[0][1, :1].mean(0), 6) + 0.7 * faces
    np.testing.assert_allclose(found[1], mixed, atol=1e-5)


@pytest.mark.parametrize("choice", [c for c in CASES if not c.startswith("cross_attention")])
def test_order_of_the_frames_does_not_matter(choice):
    if "frames=1" in choice:
        pytest.skip("takes the middle one")
    model, order = built(choice), [2, 0, 1]
    turned = [*BATCH[:2], BATCH[2][:, order], BATCH[3][:, order]]
    np.testing.assert_allclose(answer(model, turned), answer(model, BATCH), atol=1e-5)


@pytest.mark.parametrize("weight", [-0.1, 1.5])
def test_impossible_weight(weight):
    with pytest.raises(UserError, match=rf"audio_weight is {weight}; it must be 0 to 1"):
        built(f"weighted_average(audio_weight={weight})")
