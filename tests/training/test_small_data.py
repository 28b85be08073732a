"""The recipe for few clips: what it takes of a corpus, and when it does not apply."""

from __future__ import annotations

from pathlib import Path

import pytest

from emorec_tf.config import config
from emorec_tf.training import small_data, stages

BOTH = frozenset({"audio", "face"})


def members(values: dict, folds: int, batch_size: int) -> None:
    found = stages.configs_of(config.build(values))
    assert [own.train.inner_folds for own in found.values()] == [folds, folds]
    assert [own.train.batch_size for own in found.values()] == [batch_size, batch_size]


def test_enough_clips_take_the_packaged_configs(tmp_path: Path) -> None:
    values = small_data.settings(BOTH, 8, 32, tmp_path)
    assert values["ensemble"] == "small_data_audio,small_data_face"
    members(values, 4, 32)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("speakers", "folds"), [(1, 0), (2, 2), (3, 3)])
def test_few_clips_take_what_fits(speakers: int, folds: int, tmp_path: Path) -> None:
    members(small_data.settings(BOTH, speakers, 5, tmp_path), folds, 5)


def test_the_branch_that_fits(tmp_path: Path) -> None:
    for kind in BOTH:
        built = config.build(small_data.settings(frozenset({kind}), 3, 8, tmp_path))
        assert built.model.fusion == f"{kind}_only"
        assert (built.model.ensemble, built.train.inner_folds) == (None, 3)


def test_settings_are_those_that_were_chosen_on_ravdess() -> None:
    pairs = {
        "small_data_audio": "ravdess_voice_modulations",
        "small_data_face": "ravdess_face_gradients",
    }
    for name, other in pairs.items():
        assert {**config.read_yaml(name), "dataset": "ravdess"} == config.read_yaml(other)


def test_a_chosen_model_or_training_goes_first() -> None:
    assert small_data.applies({"seed": 3, "face_frames": 4, "test_speakers": "anna"})
    assert not small_data.applies({"fusion": "concat"})
    assert not small_data.applies({"epochs": 3})
    assert not small_data.applies({"target": "valence", "target_scale": "continuous"})
