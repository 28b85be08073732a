"""Published expression nets: sizes, weights files, and predictions on real faces."""

from __future__ import annotations

import itertools

import cv2
import keras
import numpy as np
import pytest
from face_nets import branch, deepface_file
from places import DATA

from emorec_tf.errors import UserError
from emorec_tf.features.face_detection import Face, dlib_hog
from emorec_tf.media import decode
from emorec_tf.models.face.expression_nets import (
    Net,
    deepface_net,
    grey_images,
    settle,
    xception_net,
)

XCEPTION = "models/mini_xception/fer2013_mini_XCEPTION.102-0.66.hdf5"
FER = DATA / XCEPTION
CLIPS = DATA / "ravdess" / "clips"
FER_CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def values(model: keras.Model, faces: np.ndarray) -> np.ndarray:
    inputs = {"faces": faces[None], "face_mask": np.ones((1, len(faces)), np.float32)}
    return np.asarray(model(inputs)[0][0])


@pytest.fixture
def faces() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 64, 64, 1), np.uint8)


def net_of(build, pixels: int) -> tuple[keras.Model, Net]:
    images = keras.Input((pixels, pixels, 1))
    net = build(images)
    return keras.Model(images, net.values), net


def test_sizes():
    # Arriaga et al. give about 60,000; 1,478,656 of the published LRCN were frozen.
    assert net_of(xception_net, 64)[0].count_params() == 58_423
    assert net_of(deepface_net, 48)[0].count_params() == 1_478_656


def test_deepface_takes_its_file(tmp_path):
    path = deepface_file(tmp_path / "facial_expression_model_weights.h5")
    model, net = net_of(deepface_net, 48)
    settle(net, str(path), frozen=True)
    whole = keras.models.load_model(tmp_path / "whole.h5", compile=False)
    wanted = keras.Model(whole.input, whole.get_layer("second").output)
    images = np.random.default_rng(0).uniform(size=(2, 48, 48, 1)).astype(np.float32)
    np.testing.assert_allclose(model(images), wanted(images), atol=1e-6)
    assert model.trainable_variables == []


def cut(image: np.ndarray, face: Face) -> np.ndarray:
    x, y = max(0, round(face.x)), max(0, round(face.y))
    part = image[y : round(face.y + face.height), x : round(face.x + face.width)]
    return cv2.resize(cv2.cvtColor(part, cv2.COLOR_RGB2GRAY), (64, 64))


@pytest.mark.data(XCEPTION)
def test_mini_xception_as_keras_reads_it(faces):
    theirs = keras.models.load_model(FER, compile=False)
    wanted = keras.Model(theirs.inputs[0], theirs.outputs[0])(faces / 127.5 - 1.0)
    model = branch(f"mini_xception(weights='{FER}', frozen=True)")
    scores = values(model, faces)[:, 128:]
    np.testing.assert_allclose(keras.ops.softmax(scores), wanted, atol=1e-5)
    assert model.trainable_variables == []
    fresh = values(branch("mini_xception"), faces)[:, 128:]
    assert np.abs(fresh - scores).max() > 0.5


@pytest.mark.data(XCEPTION, "ravdess/clips")
def test_mini_xception_recognises_happy_faces(reloaded):
    model = reloaded(branch(f"mini_xception(weights='{FER}', frozen=True)"))
    detect = dlib_hog(None)
    happy, found = [], []
    for emotion, actor in itertools.product((3, 4, 5, 7), ("01", "02", "10")):
        path = CLIPS / f"Actor_{actor}" / f"01-01-0{emotion}-02-01-01-{actor}.mp4"
        recording = decode.decode(str(path), sample_rate_hz=8000, clip_seconds=None, frame_count=4)
        crops = [cut(image, face) for image in recording.frames for face in detect(image)[:1]]
        if crops:
            scores = values(model, np.array(crops)[..., None])[:, 128:]
            found += [FER_CLASSES[k] == "happy" for k in scores.argmax(axis=1)]
            happy += [emotion == 3] * len(crops)
    said, is_happy = np.array(found), np.array(happy)
    assert is_happy.sum() > 8
    assert said[is_happy].mean() > 0.7  # by chance 1 in 7
    assert said[~is_happy].mean() < 0.1


def test_colour_becomes_grey_as_opencv_does():
    images = np.random.default_rng(0).integers(0, 256, (1, 2, 48, 48, 3), np.uint8)
    wanted = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in images[0]]
    found = np.asarray(grey_images(images, 48))
    np.testing.assert_allclose(found[..., 0], np.array(wanted) / 255, atol=0.003)
    assert grey_images(images, 64).shape == (2, 64, 64, 1)


def test_wrong_weights(tmp_path):
    with pytest.raises(UserError, match="frozen is True; it must be False where weights is 'none'"):
        branch("mini_xception(frozen=True)")
    with pytest.raises(UserError, match=r"none.h5: cannot be read"):
        branch(f"mini_xception(weights='{tmp_path / 'none.h5'}')")
    other = deepface_file(tmp_path / "other.h5")
    with pytest.raises(UserError, match=r"other.h5: holds 8 .* mini-Xception"):
        branch(f"mini_xception(weights='{other}')")
