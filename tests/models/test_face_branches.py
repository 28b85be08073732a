"""The contract of every face branch; AlexNet against its two published layer tables."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from emorec_tf.config import choices
from emorec_tf.config.schema import MESH_POINTS
from emorec_tf.errors import UserError
from emorec_tf.models.face.face_branches import FACE_BRANCHES, standardised
from emorec_tf.models.layers import Tokens

ENTRIES = choices.entries("face")
CASES = [
    *(f"{name}({entry.facts.small})" for name, entry in ENTRIES.items()),
    "alexnet(width=0.07, layout='2012', dense=4, dense_layers=2, norm='none')",
    "alexnet(width=0.05, pixels=32, dense=4)",
    "alexnet(width=0.05, dense=4, scaling='imagenet')",
    "lrcn(cnn='mini_xception', stn=False, units=4)",
    "face_hog(units=4, block=2, mesh=False)",
    "face_hog(units=4, pool='statistics')",
    "face_statistics(cells=5, around=3, halves=True, mesh=False)",
    "face_mesh(units=4, subset='parts', deltas=False, local=False, context=0)",
]


def built(
    choice: str, frames: int = 3, pixels: int = 24, channels: int = 1, mesh: bool = True
) -> keras.Model:
    keras.utils.set_random_seed(0)
    shape = (frames, pixels, pixels, channels)
    tensors = {
        "faces": keras.Input(shape, name="faces", dtype="uint8"),
        "face_mask": keras.Input((frames,), name="face_mask"),
    }
    if mesh:
        tensors["mesh"] = keras.Input((frames, MESH_POINTS, 3), name="mesh")
        tensors["mesh_mask"] = keras.Input((frames,), name="mesh_mask")
    return keras.Model(tensors, list(choices.resolve("face", choice)(tensors)))


def batch() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    faces = random.integers(0, 256, (3, 3, 24, 24, 1), np.uint8)
    mask = np.array([[1, 1, 0], [1, 1, 1], [0, 0, 0]], np.float32)
    mesh = random.normal(100, 20, (3, 3, MESH_POINTS, 3)).astype(np.float32)
    return {
        "faces": faces * mask[..., None, None, None].astype(np.uint8),
        "face_mask": mask,
        "mesh": mesh * mask[..., None, None],
        "mesh_mask": mask,
    }


def answered(model: keras.Model, inputs: dict[str, np.ndarray]) -> Tokens:
    return Tokens(*model.predict_on_batch(inputs))


@pytest.mark.parametrize("choice", CASES)
def test_records_without_mesh_are_refused_where_it_is_needed(choice):
    if choices.facts("face", choice).needs_mesh:
        with pytest.raises(UserError, match="needs mesh points; prepare with --face_mesh"):
            built(choice, mesh=False)
    else:
        assert built(choice, mesh=False).outputs


@pytest.mark.parametrize("choice", CASES)
def test_contract(choice, reloaded):
    model, inputs = built(choice), batch()
    values, mask = answered(model, inputs)
    assert values.shape[:2] == mask.shape
    assert values.ndim == 3
    assert values.dtype == mask.dtype == np.float32
    assert np.isfinite(values).all()
    np.testing.assert_array_equal(mask.max(axis=1), [1, 1, 0])  # no face gives no token
    alone = answered(model, {name: array[1:2] for name, array in inputs.items()})
    np.testing.assert_allclose(alone.values[0], values[1], atol=1e-5)
    other = {**inputs, "faces": inputs["faces"].copy(), "mesh": inputs["mesh"].copy()}
    other["faces"][0, 2] = 99  # a frame that is masked
    other["mesh"][0, 2] = np.random.default_rng(1).normal(size=(MESH_POINTS, 3))
    np.testing.assert_allclose(answered(model, other).values[0, :2], values[0, :2], atol=1e-6)
    again = Tokens(*reloaded(model).predict_on_batch(inputs))
    np.testing.assert_array_equal(again.values, values)
    np.testing.assert_array_equal(again.mask, mask)


def trainable(choice: str) -> bool:
    return bool(choices.facts("face", choice).trainable)


@pytest.mark.parametrize("choice", [case for case in CASES if not trainable(case)])
def test_branches_listed_without_weights_have_none(choice):
    assert built(choice).weights == []


@pytest.mark.parametrize("choice", [case for case in CASES if trainable(case)])
def test_every_weight_learns(choice):
    model, inputs = built(choice), batch()
    with tf.GradientTape() as tape:
        values, mask = model(inputs, training=True)
        loss = tf.reduce_sum(values**2 * mask[..., None])
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    assert gradients
    assert all(gradient is not None for gradient in gradients)


@pytest.mark.parametrize("name", FACE_BRANCHES)
def test_documented(name):
    text = FACE_BRANCHES[name].function.__doc__ or ""
    assert "Shapes:" in text
    assert "Source:" in text
    assert all(f"{argument}:" in text for argument in ENTRIES[name].arguments)


def full_alexnet(layout: str) -> keras.Model:
    """The published net: one 224 x 224 RGB image, two dense layers of 4096, 1000 classes."""
    arguments = f"width=1.0, layout='{layout}', dense=4096, dense_layers=2, norm='none'"
    with keras.StatelessScope():  # shapes only: the 61 million weights are never made
        branch = built(f"alexnet({arguments})", frames=1, pixels=224, channels=3)
    outputs = keras.layers.Dense(1000)(branch.outputs[0])
    return keras.Model(branch.inputs, outputs)


@pytest.mark.parametrize(
    ("layout", "parameters"),
    [
        ("2014", 61_100_840),  # torchvision's table of models
        ("2012", 60_965_224),  # the paper's net, e.g. Caffe's bvlc_alexnet
    ],
)
def test_alexnet_has_the_published_number_of_parameters(layout, parameters):
    assert full_alexnet(layout).count_params() == parameters


def sizes(model: keras.Model) -> list[tuple[int, int]]:
    """Width and channels after each convolution and pooling."""
    kept = (keras.layers.Conv2D, keras.layers.MaxPooling2D)
    return [tuple(x.output.shape[2:]) for x in model.layers if isinstance(x, kept)]


def test_alexnet_has_the_published_shapes():
    model = built("alexnet(width=1.0, norm='none', dense=1)", frames=1, pixels=224, channels=3)
    assert sizes(model) == [
        (55, 64),
        (27, 64),
        (27, 192),
        (13, 192),
        (13, 384),
        (13, 256),
        (13, 256),
        (6, 256),
    ]


@pytest.mark.parametrize(("pixels", "side"), [(224, 6), (63, 6), (48, 4), (19, 1)])
def test_alexnet_at_other_sizes(pixels, side):
    assert sizes(built(f"alexnet({ENTRIES['alexnet'].facts.small})", pixels=pixels))[-1][0] == side


def test_standardised():
    images = np.random.default_rng(0).integers(0, 256, (2, 9, 9, 3), np.uint8)
    images[1] = 0
    found = np.asarray(standardised(images))
    assert found[0].mean() == pytest.approx(0, abs=1e-5)
    assert found[0].std() == pytest.approx(1, abs=0.01)
    np.testing.assert_array_equal(found[1], 0)
    darker = np.asarray(standardised(images // 2))
    np.testing.assert_allclose(darker[0], found[0], atol=0.05)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("alexnet(layout='2013')", "layout is '2013'; it must be 2012 or 2014"),
        ("alexnet(norm='layer')", "norm is 'layer'; it must be batch or none"),
        ("alexnet(pixels=18)", "is 18; it must be at least 19 pixels"),
        ("alexnet(scaling='grey')", "scaling is 'grey'; it must be picture or imagenet"),
        ("alexnet(frozen='all')", "frozen is 'all'; it must be none where weights is 'none'"),
    ],
)
def test_wrong_arguments(choice, message):
    with pytest.raises(UserError, match=message):
        built(choice)
