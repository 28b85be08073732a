"""face_hog: the descriptor against OpenCV's and against edges in closed form."""

from __future__ import annotations

import cv2
import keras
import numpy as np
import pytest
from scipy import ndimage

from emorec_tf.errors import UserError
from emorec_tf.models.face.hog import face_hog, hog, hog_around, mirrored, oriented


def image(side: int = 48) -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=(side, side))
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    return (255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


@pytest.mark.skipif(not hasattr(cv2, "HOGDescriptor"), reason="this OpenCV has no HOG")
@pytest.mark.parametrize("block", [1, 2, 8])
@pytest.mark.parametrize("orientations", [8, 9])
def test_descriptor_equals_opencv(block, orientations):
    cell, cells = 6, 8
    flat_window, shares = 1e6, 0.2
    sizes = ((48, 48), (cell * block,) * 2, (cell, cell), (cell, cell))
    theirs = cv2.HOGDescriptor(*sizes, orientations, 1, flat_window, 0, shares, True)
    blocks = cells - block + 1
    wanted = np.asarray(theirs.compute(image()))
    wanted = wanted.reshape(blocks, blocks, block, block, orientations)
    ours = hog(image()[None].astype(np.float32), cells, orientations, block)
    found = np.asarray(ours).reshape(blocks, blocks, orientations, block, block)
    # OpenCV counts blocks and cells by columns first.
    np.testing.assert_allclose(found, wanted.transpose(1, 0, 4, 3, 2), atol=1e-3)


@pytest.mark.parametrize(("degrees", "orientations"), [(22.5, 4), (90 + 22.5, 4), (10, 9)])
def test_a_ramp_votes_for_its_direction(degrees, orientations):
    y, x = np.mgrid[:12, :12]
    angle = np.deg2rad(degrees)
    ramp = (x * np.cos(angle) + y * np.sin(angle)).astype(np.float32)
    votes = np.asarray(oriented(ramp[None], orientations))[0, 1:-1, 1:-1]
    place = degrees / 180 * orientations - 0.5
    wanted = np.zeros(orientations)
    wanted[int(place)] = 2.0  # a central difference of a slope of one
    np.testing.assert_allclose(votes, np.broadcast_to(wanted, votes.shape), atol=1e-4)


def test_between_two_directions_the_vote_is_shared():
    y, x = np.mgrid[:8, :8]
    votes = np.asarray(oriented((x + 0 * y).astype(np.float32)[None], 4))[0, 4, 4]
    np.testing.assert_allclose(votes, [1, 0, 0, 1], atol=1e-5)  # across: bins 0 and 3 touch at 0


def test_light_changes_little():
    bright = image().astype(np.float32)
    one, other = (np.asarray(hog((bright * share)[None], 8, 8, 2)) for share in (1.0, 0.5))
    assert np.abs(one - other).max() < 0.02
    assert not np.asarray(hog(np.zeros((1, 48, 48), np.float32), 8, 8, 2)).any()


@pytest.mark.parametrize("cell", [4, 5])
def test_cells_are_normalised_by_their_neighbours(cell):
    cells, around = 6, 3
    grey = image(cells * cell).astype(np.float32)
    votes = np.asarray(oriented(np.sqrt(grey)[None], 8))[0]
    middles = (np.arange(cells) + 0.5) * cell - 0.5
    apart = np.abs(np.arange(cells * cell)[:, None] - middles) / cell
    share = np.maximum(1 - apart, 0)  # of a pixel's vote, by its distance in cells
    histograms = np.einsum("yxo,yr,xc->rco", votes, share, share)
    near = ndimage.uniform_filter(histograms.sum(-1), around)[1:-1, 1:-1]  # away from the edge
    wanted = np.sqrt(histograms[1:-1, 1:-1]) / (np.sqrt(near)[..., None] + 1)
    found = np.asarray(hog_around(grey[None], cells, 8, around))[0]
    np.testing.assert_allclose(found[1:-1, 1:-1], wanted, atol=1e-4)


@pytest.mark.parametrize("cells", [4, 6])
def test_a_face_and_its_mirror_image_have_equal_features(cells):
    grey = image(24).astype(np.float32)
    both = np.stack([grey, grey[:, ::-1]])
    halves = np.asarray(mirrored(hog_around(both, cells, 8, 3)))
    assert halves.shape == (2, cells, cells // 2, 8)
    np.testing.assert_allclose(halves[0], halves[1], atol=1e-5)


def inputs(frames: int | None = 3, pixels: int = 24, channels: int = 1, mesh: bool = True):
    tensors = {
        "faces": keras.Input((frames, pixels, pixels, channels), name="faces", dtype="uint8"),
        "face_mask": keras.Input((frames,), name="face_mask"),
    }
    if mesh:
        tensors["mesh"] = keras.Input((frames, 478, 3), name="mesh")
        tensors["mesh_mask"] = keras.Input((frames,), name="mesh_mask")
    return tensors


@pytest.mark.parametrize(
    ("mesh", "argument", "width"), [(1, True, 16), (1, False, 8), (0, True, 8)]
)
def test_the_mesh_is_used_where_present(mesh, argument, width):
    tokens = face_hog(inputs(mesh=bool(mesh)), units=8, mesh=argument)
    assert tokens.values.shape[1:] == (3, width)


def test_colour_equals_grey_and_the_number_of_frames_may_vary():
    grey = np.random.default_rng(0).integers(0, 256, (2, 3, 24, 24, 1), np.uint8)
    mask = np.ones((2, 3), np.float32)
    keras.utils.set_random_seed(0)
    tensors = inputs(frames=None, channels=3, mesh=False)
    model = keras.Model(tensors, list(face_hog(tensors, units=8)))
    one = keras.Model(i := inputs(mesh=False), list(face_hog(i, units=8)))
    one.set_weights(model.get_weights())
    rgb = np.repeat(grey, 3, axis=-1)
    found, _ = model.predict_on_batch({"faces": rgb, "face_mask": mask})
    wanted, _ = one.predict_on_batch({"faces": grey, "face_mask": mask})
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_too_many_cells_are_refused():
    with pytest.raises(UserError, match="cells is 16; it must be at most half the side"):
        face_hog(inputs(), cells=16)
