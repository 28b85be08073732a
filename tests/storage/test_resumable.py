"""resumable: started once, resumed by the same plan, refused for any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from emorec_tf.errors import UserError
from emorec_tf.storage.resumable import Kind, begin_or_resume, check

KIND = Kind(
    "search",
    "plan.json",
    "--out",
    {"config": "", "tuner": "", "folds": "protocol {protocol} has other folds"},
    rest="trials/*.json",
)
PLAN = {"config": {"epochs": 1, "fusion": "concat"}, "tuner": "random", "folds": (1, 2)}
PLAN |= {"protocol": "loso"}


def started(folder: Path, plan: dict[str, Any] = PLAN) -> Path:
    assert begin_or_resume(folder, plan, KIND) is None
    (folder / KIND.file).write_text(json.dumps(plan))
    return folder


def test_the_same_plan_resumes(tmp_path: Path) -> None:
    folder = started(tmp_path / "out")
    (folder / "trial").touch()
    stored = begin_or_resume(folder, {**PLAN, "command": "another"}, KIND)
    assert stored == {**PLAN, "folds": [1, 2]}
    assert (folder / "trial").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"config": {"epochs": 2, "fusion": "concat"}}, "(epochs was 1, is 2); give another --out"),
        ({"config": {"epochs": 1}}, "(fusion was 'concat', is None)"),
        ({"tuner": "bayesian"}, "(tuner was 'random', is 'bayesian')"),
        ({"folds": [1]}, "(protocol loso has other folds)"),
        ({"config": {}, "folds": [1]}, "(epochs was 1, is None; fusion was 'concat', is None)"),
    ],
)
def test_another_plan_is_refused_and_changes_nothing(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    folder = started(tmp_path / "out")
    for ask in (check, begin_or_resume):
        with pytest.raises(UserError) as error:
            ask(folder, {**PLAN, **change}, KIND)
        assert f"{folder} was started with other settings {said}" in str(error.value)
        assert str(error.value).endswith("or --overwrite")
    assert [path.name for path in folder.iterdir()] == ["plan.json"]


def test_check_writes_nothing(tmp_path: Path) -> None:
    assert check(tmp_path / "new", PLAN, KIND) is None
    assert not (tmp_path / "new").exists()
    folder = started(tmp_path / "out")
    assert check(folder, {**PLAN, "tuner": "hyperband"}, KIND, overwrite=True) is None
    assert (folder / KIND.file).exists()


def test_overwrite_removes_own_files_except_locks(tmp_path: Path) -> None:
    folder = started(tmp_path / "out")
    (folder / "trials").mkdir()
    (folder / "trials" / "0.json").touch()
    (folder / ".lock").touch()
    assert begin_or_resume(folder, {**PLAN, "tuner": "bayesian"}, KIND, overwrite=True) is None
    assert [path.name for path in folder.iterdir()] == [".lock"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_foreign_folder_is_left_unchanged(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(UserError, match="exists and is no search; give another --out"):
        begin_or_resume(tmp_path, PLAN, KIND, overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_that_lost_its_plan_can_be_started_again(tmp_path: Path) -> None:
    (tmp_path / "trials").mkdir()
    (tmp_path / "trials" / "0.json").touch()
    assert begin_or_resume(tmp_path, PLAN, KIND) is None


def test_a_damaged_plan_is_named(tmp_path: Path) -> None:
    folder = started(tmp_path / "out")
    for text in ("{", "[]", "{}"):
        (folder / KIND.file).write_text(text)
        with pytest.raises(UserError, match=r"plan\.json is damaged; --overwrite starts again"):
            check(folder, PLAN, KIND)
        assert check(folder, PLAN, KIND, overwrite=True) is None


def test_a_custom_plan_reader_is_used(tmp_path: Path) -> None:
    folder = started(tmp_path / "out")
    (folder / KIND.file).write_text("config: epochs 1")
    assert check(folder, PLAN, KIND, read=lambda _: PLAN) == PLAN
