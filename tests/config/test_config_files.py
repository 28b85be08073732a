"""Configs by name, from anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from places import ROOT

from emorec_tf.config import config_files
from emorec_tf.config.config import read_yaml
from emorec_tf.errors import UserError


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "name", ["demo", "demo.yaml", "configs/demo", "configs/demo.yaml", ROOT / "configs" / "demo"]
)
def test_a_packaged_config_is_found_from_anywhere(name: str | Path, elsewhere: Path) -> None:
    assert config_files.file_of(name).samefile(ROOT / "configs" / "demo.yaml")
    assert read_yaml(name) == read_yaml(ROOT / "configs" / "demo.yaml")


def test_files_beside_a_packaged_config_are_found_with_it(elsewhere: Path) -> None:
    members = read_yaml("ravdess_best_unseen")["ensemble"].split(",")
    assert all(config_files.file_of(member).is_file() for member in members)


def test_own_files_come_first(elsewhere: Path) -> None:
    (elsewhere / "configs").mkdir()
    (elsewhere / "configs" / "demo.yaml").write_text("epochs: 7\n")
    assert read_yaml("demo") == {"epochs": 7}
    (elsewhere / "demo.yaml").write_text("epochs: 8\n")
    assert read_yaml("demo") == {"epochs": 8}


@pytest.mark.parametrize("name", ["demmo", "configs/demmo.yaml", "demmo.yaml"])
def test_an_unknown_name_has_the_nearest(name: str, elsewhere: Path) -> None:
    with pytest.raises(UserError, match=f"^there is no config {name}; did you mean 'demo'"):
        read_yaml(name)


def test_a_packaged_name_elsewhere_is_no_config(elsewhere: Path) -> None:
    with pytest.raises(UserError, match=r"there is no config mine/demo\.yaml; did you mean 'demo'"):
        read_yaml("mine/demo.yaml")


def test_all_packaged_configs_say_what_they_are() -> None:
    assert set(config_files.found()) >= {path.stem for path in ROOT.glob("configs/*.yaml")}
    assert all(len(config_files.summary_of(path)) > 20 for path in config_files.found().values())
