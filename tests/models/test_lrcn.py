"""LRCN: the published number of parameters, frames without a face, any number of frames."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from face_nets import branch, deepface_file

from emorec_tf.errors import UserError

SMALL = "width=0.05, units=4"


def classified(model: keras.Model) -> keras.Model:
    return keras.Model(model.inputs, keras.layers.Dense(8)(model.outputs[0][:, 0]))


def test_the_published_number_of_parameters(tmp_path):
    assert classified(branch("lrcn", 48)).count_params() == 3_484_950
    path = deepface_file(tmp_path / "deepface.h5")
    model = classified(branch(f"lrcn(weights='{path}', frozen=True)", 48))
    trained = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert (model.count_params(), trained) == (3_484_950, 2_006_294)


def test_batch_norm_follows_every_layer_of_the_net():
    plain, normed = branch("lrcn", 48), branch("lrcn(norm='batch')", 48)
    widths = [64, 64, 64, 128, 128, 1024, 1024]
    assert normed.count_params() - plain.count_params() == 4 * sum(widths)


def drawn(clips: int, frames: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    faces = random.integers(0, 256, (clips, frames, 48, 48, 1), np.uint8)
    return {"faces": faces, "face_mask": np.ones((clips, frames), np.float32)}


def token(model: keras.Model, inputs: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(model(inputs)[0])[:, 0]


def test_frames_without_a_face_are_skipped():
    model, inputs = branch(f"lrcn({SMALL})", 48), drawn(2, 6)
    inputs["face_mask"][:, [0, 3, 5]] = 0
    short = {name: array[:, [1, 2, 4]] for name, array in inputs.items()}
    np.testing.assert_allclose(token(model, inputs), token(model, short), atol=1e-6)


def test_order_matters_and_the_last_state_is_taken():
    model, inputs = branch(f"lrcn({SMALL})", 48), drawn(1, 4)
    turned = {name: array[:, ::-1] for name, array in inputs.items()}
    assert np.abs(token(model, inputs) - token(model, turned)).max() > 1e-4
    one = {name: array[:, :1] for name, array in inputs.items()}
    assert np.abs(token(model, one)).max() > 0


def test_a_clip_without_a_face_gives_a_masked_token():
    model, inputs = branch(f"lrcn({SMALL})", 48), drawn(2, 3)
    inputs["face_mask"][1] = 0
    values, mask = model(inputs)
    np.testing.assert_array_equal(mask, [[1], [0]])
    np.testing.assert_array_equal(np.asarray(values)[1], 0)


@pytest.mark.parametrize("choice", [f"lrcn({SMALL})", "mini_xception", "alexnet(width=0.05)"])
def test_training_and_scoring_may_differ_in_frames(choice):
    model = branch(choice, 48)
    model.compile("sgd", loss=["mse", None], jit_compile=False)
    for frames in (1, 3):
        inputs = drawn(2, frames)
        wanted = np.zeros(model(inputs)[0].shape, np.float32)
        assert np.isfinite(model.train_on_batch(inputs, [wanted, inputs["face_mask"]])).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("cnn='vgg'", "cnn is 'vgg'; it must be deepface or mini_xception"),
        ("cnn='mini_xception', width=0.5", "width is 0.5; it must be 1.0 for mini_xception"),
        ("weights='a.h5', width=0.5", "width is 0.5; it must be 1.0 where weights are loaded"),
        ("norm='batch', cnn='mini_xception'", "norm is 'batch'; it must be none with weights"),
        ("frozen=True", "frozen is True; it must be False where weights is 'none'"),
        ("weights='a.h5'", "a.h5: cannot be read as a Keras HDF5 file"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(UserError, match=message):
        branch(f"lrcn({arguments})", 48)
