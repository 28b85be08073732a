"""Weights that two packaged models have in common: stored once, the same answers, or one line."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import packaged_members
import pytest
from packaged_members import member

from emorec_tf.config.config import FeaturesConfig
from emorec_tf.errors import UserError
from emorec_tf.models.pretrained import half_precision
from emorec_tf.training import run_dir, shared_weights

SETTINGS = {**packaged_members.FACE, "face": "alexnet(width=0.1, dense=64)"}


@pytest.fixture(scope="module")
def models(features: FeaturesConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``first`` and ``whole`` with equal weights but in the last layer; ``less``: without them."""
    folder = tmp_path_factory.mktemp("models")
    own = packaged_members.of_faces(features)
    member(folder / "first", own, packaged_members.SEEN, **SETTINGS)
    member(folder / "whole", own, packaged_members.SEEN, **SETTINGS)
    first, whole = (run_dir.load(folder / name) for name in ("first", "whole"))
    network, other = run_dir.load_model(first.model_file), run_dir.load_model(whole.model_file)
    other.set_weights(
        [w if np.size(w) >= half_precision.FEWEST else w + 1e-3 for w in network.get_weights()]
    )
    run_dir.save_model(other, whole.model_file)
    shutil.copytree(folder / "whole", folder / "less")
    file = run_dir.load(folder / "less").model_file
    assert shared_weights.share(file, [first.model_file]) > 0
    return folder


def test_the_file_is_smaller_and_the_network_the_same(models: Path) -> None:
    whole, less = (run_dir.load(models / name).model_file for name in ("whole", "less"))
    assert less.stat().st_size < 0.6 * whole.stat().st_size
    found, wanted = (run_dir.load_model(file).get_weights() for file in (less, whole))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_missing_or_changed_source_is_named(models: Path, tmp_path: Path) -> None:
    less = tmp_path / "less"
    shutil.copytree(models / "less", less)
    with pytest.raises(UserError, match=r"less shares weights with first, not at .*install emorec"):
        run_dir.load_model(run_dir.load(less).model_file)
    shutil.copytree(models / "first", tmp_path / "first")
    run_dir.load_model(run_dir.load(less).model_file)
    with (run_dir.load(tmp_path / "first").model_file).open("ab") as file:
        file.write(b"more")
    with pytest.raises(UserError, match=r"best\.keras is not the one that .*less was made with"):
        run_dir.load_model(run_dir.load(less).model_file)


def test_a_file_that_has_nothing_in_common_stays_as_it_is(
    models: Path, features: FeaturesConfig, tmp_path: Path
) -> None:
    settings = {**packaged_members.FACE, "face": "alexnet(width=0.2, dense=48)"}
    other = member(tmp_path / "other", packaged_members.of_faces(features), {}, **settings)
    file = run_dir.load(other).model_file
    before = file.read_bytes()
    assert shared_weights.share(file, [run_dir.load(models / "first").model_file]) == 0
    assert file.read_bytes() == before
