"""Models by name: which one a command takes, and what a damaged one says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from untrained_runs import on_disk

from emorec_tf import export, predict, predictor, serve, shelf
from emorec_tf.clip import UserError
from emorec_tf.config import FeaturesConfig


def test_without_a_run_the_package_s_own_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shelf, "PLACES", (tmp_path,))
    for command in (predict, serve, export):
        assert command.main([]) == 1
        assert "needs --run FOLDER" in capsys.readouterr().err
    (tmp_path / shelf.DEFAULT).mkdir()
    (tmp_path / shelf.DEFAULT / "run.json").write_text("{}")
    assert shelf.chosen(None, "predict") == shelf.DEFAULT
    assert shelf.chosen("other", "predict") == "other"
    assert shelf.folder_of(shelf.DEFAULT) == tmp_path / shelf.DEFAULT
    monkeypatch.chdir(tmp_path.parent)
    (tmp_path.parent / shelf.DEFAULT).mkdir()  # no run, so not meant
    assert shelf.folder_of(shelf.DEFAULT) == tmp_path / shelf.DEFAULT
    with pytest.raises(UserError, match=f"did you mean '{shelf.DEFAULT}'"):
        shelf.folder_of("ravdes-av")


def test_a_flipped_byte_is_noticed(tmp_path: Path, features: FeaturesConfig) -> None:
    folder = on_disk(tmp_path / "model", features)
    names = sorted(f.name for f in folder.iterdir())
    written = subprocess.run(
        ["sha256sum", *names], cwd=folder, check=True, capture_output=True, text=True
    )
    (folder / shelf.SUMS).write_text(written.stdout)
    assert predictor.opened(str(folder)).run.classes == ("a", "b", "c")
    weights = folder / "best.keras"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    with pytest.raises(UserError, match=r"best\.keras is missing or damaged"):
        predictor.opened(str(folder))
    weights.unlink()
    with pytest.raises(UserError, match=r"best\.keras is missing or damaged"):
        predictor.opened(str(folder))
