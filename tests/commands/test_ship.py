"""ship: a package that predicts as the run does, with a card and checksums."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax

from emorec_tf import report, ship
from emorec_tf.api import load
from emorec_tf.crossval import main as crossval_main
from emorec_tf.evaluation import crossval_results, run_card
from emorec_tf.tasks import calibration
from emorec_tf.training import model_store, run_dir

pytestmark = pytest.mark.slow

SETTINGS = ["--audio=conv1d(filters=4, blocks=1)", "--fusion=audio_only", "--batch_size=4"]
SETTINGS += ["--epochs=1", "--precision=float32"]


@pytest.fixture(scope="module")
def evaluated(demo_records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluated") / "cv-voice"
    where = ["--records", str(demo_records), "--run", str(folder)]
    assert crossval_main([*where, "--protocol=group_kfold:2", "--seeds=1", *SETTINGS]) == 0
    page = folder.parent / "report.html"
    assert report.main(["--run", str(folder), "--out", str(page)]) == 0
    return folder


@pytest.fixture(scope="module")
def final(demo_records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from emorec_tf.train import main as train_main

    folder = tmp_path_factory.mktemp("all_speakers") / "final"
    where = ["--records", str(demo_records), "--run", str(folder), "--test_speakers=none"]
    assert train_main([*where, *SETTINGS]) == 0
    return folder


def test_a_run_with_its_own_test_speakers(demo_run: Path, demo_clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "demo-av"
    assert ship.main(["--run", str(demo_run), "--out", str(out)]) == 0
    subprocess.run(["sha256sum", "--strict", "-c", model_store.SUMS], cwd=out, check=True)
    assert (out / "labels.txt").read_text().split() == list(run_dir.load(demo_run).classes)
    assert "none needed" in (out / "LICENSE.txt").read_text()
    assert (out / run_card.CARD).read_text().startswith("# demo-av\n")
    assert str(demo_run.parent) not in "".join(
        file.read_text() for file in out.iterdir() if file.suffix in (".yaml", ".json", ".md")
    )
    clip = min((demo_clips / "clips").glob("actor04*.mp4"))
    assert load(out).predict_clip(clip) == load(demo_run).predict_clip(clip)
    assert out.joinpath("best.keras").stat().st_size < (demo_run / "best.keras").stat().st_size


def test_weights_of_a_model_beside_it_are_not_stored_again(
    demo_run: Path, demo_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    command = ["--run", str(demo_run), "--out"]
    assert ship.main([*command, str(first)]) == 0
    assert ship.main([*command, str(second), "--share", "first"]) == 0
    assert second.joinpath("best.keras").stat().st_size < (first / "best.keras").stat().st_size
    clip = min((demo_clips / "clips").glob("actor04*.mp4"))
    assert load(second).predict_clip(clip) == load(first).predict_clip(clip)
    capsys.readouterr()
    for share, said in (
        (["--share", "absent"], "no model 'absent' beside"),
        (["--share", str(demo_run)], "is not packaged; package it with ship first"),
        (["--share", "first,first"], "names first twice"),
        (["--share", "first", "--members", "first,second"], "drop --share"),
    ):
        assert ship.main([*command, str(tmp_path / "third"), *share]) == 1
        assert said in capsys.readouterr().err
    assert not (tmp_path / "third").exists()


def test_a_run_trained_on_all_speakers(
    final: Path, evaluated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from emorec_tf.evaluate import main as evaluate_main

    assert evaluate_main(["--run", str(final)]) == 1
    assert "held no speaker out" in capsys.readouterr().err
    out = tmp_path / "demo-voice"
    where = ["--run", str(final), "--crossval", str(evaluated), "--out", str(out)]
    assert ship.main([*where, "--note=Chosen by a look at the folds."]) == 0
    card = load(out).card
    assert card.startswith("# demo-voice\n\nChosen by a look at the folds.\n\nThis model was")
    assert "trained on all 3 available speakers" in card
    assert "The results are those of 2 models" in card
    assert "`cv-voice`" in card
    found = crossval_results.read(evaluated)
    stored = json.loads((out / "temperature.json").read_text())
    assert stored["fitted_to"] == "out-of-fold predictions of cv-voice"
    # the pooled temperature lies between those of single folds
    used = {row["fold"]: float(row["temperature"]) for row in found.temperatures}
    best = []
    for fold, own in used.items():
        here = found.folds == fold
        logits = np.log(np.maximum(found.answers[here], 1e-6)) * own
        best.append(calibration.temperature(log_softmax(logits, axis=1), found.truth[here]))
    assert min(best) - 1e-3 <= stored["temperature"] <= max(best) + 1e-3
    assert ship.main(where) == 1
    assert "add --overwrite" in capsys.readouterr().err
    assert ship.main([*where, "--overwrite"]) == 0


def test_wrong_calls_are_refused_in_one_line(
    final: Path,
    evaluated: Path,
    demo_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    uncarded, other, leaky = (shutil.copytree(evaluated, tmp_path / n) for n in ("u", "o", "l"))
    (uncarded / run_card.CARD).unlink()
    for folder, old, new in (
        (other, '"epochs": 1', '"epochs": 2'),
        (leaky, '"leaky": false', '"leaky": true'),
    ):
        facts = (folder / "crossval.json").read_text()
        assert old in facts
        (folder / "crossval.json").write_text(facts.replace(old, new))
    inside = tmp_path / "mine"
    inside.mkdir()
    out = ["--out", str(tmp_path / "out")]
    for arguments, said in (
        ([], "needs --run FOLDER and --out FOLDER"),
        (["--run", str(tmp_path / "none"), *out], "no run in"),
        (["--run", str(final), "--out", str(inside)], "give another --out"),
        (["--run", str(demo_run), "--crossval", str(evaluated), *out], "drop --crossval"),
        (["--run", str(final), "--crossval", str(other), *out], "other settings"),
        (["--run", str(final), "--crossval", str(leaky), *out], "LEAKY"),
        (["--run", str(final), "--crossval", str(uncarded), *out], "emorec_tf.report"),
    ):
        assert ship.main(arguments) == 1
        error = capsys.readouterr().err.strip()
        assert len(error.splitlines()) == 1
        assert said in error
    assert list(tmp_path.glob(".*")) == []
    assert list(inside.iterdir()) == []
