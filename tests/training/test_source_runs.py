"""Runs that start from a finished run: real runs on demo records."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import TRAIN_FLAGS
from untrained_runs import on_disk

from emorec_tf.config.config import FeaturesConfig
from emorec_tf.crossval import main as crossval_main
from emorec_tf.evaluate import main as evaluate_main
from emorec_tf.evaluation import crossval_files
from emorec_tf.exporting import licences, package_model
from emorec_tf.storage.files import read_csv
from emorec_tf.train import main as train_main
from emorec_tf.training import run_dir, source_runs

pytestmark = pytest.mark.slow

FACE = ["--fusion=face_only", "--epochs=1"]


def train(records: Path, folder: Path, *more: str) -> int:
    return train_main(["--records", str(records), "--run", str(folder), *TRAIN_FLAGS, *more])


def weights(folder: Path, layer: str, file: str = "best.keras") -> list[np.ndarray]:
    return run_dir.load_model(folder / file).get_layer(layer).get_weights()


@pytest.fixture(scope="module")
def started(demo_records: Path, demo_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one step that moves nothing: its rate is as good as zero."""
    folder = tmp_path_factory.mktemp("started") / "face"
    frozen = ["--freeze_branches", "--learning_rate=0.0001"]
    assert train(demo_records, folder, *FACE, f"--pretrain={demo_run}", *frozen) == 0
    return folder


def test_the_branch_is_that_of_the_finished_run(started: Path, demo_run: Path) -> None:
    pairs = zip(weights(started, "face_branch"), weights(demo_run, "face_branch"), strict=True)
    assert all(np.array_equal(ours, theirs) for ours, theirs in pairs)
    own = run_dir.load_model(started / "best.keras", for_training=True)
    assert not own.get_layer("face_branch").trainable_weights
    assert own.trainable_weights, "the head is trained"


def test_run_json_says_what_it_started_from(started: Path, demo_run: Path) -> None:
    (facts,) = json.loads((started / "run.json").read_text())["started_from"]
    source = run_dir.load(demo_run)
    assert facts["name"] == demo_run.name
    assert facts["sha256"] == source_runs.digest_of(source.model_file)
    assert facts["val_uar"] == max(float(row["val_uar"]) for row in source.history)
    assert facts["trained_on"] == {"demo": ["actor01", "actor02", "actor03"]}
    assert facts["face"] == source.config.model.face
    assert str(demo_run.parent) not in json.dumps(facts)
    assert source_runs.trained_on(run_dir.load(started)) == facts["trained_on"]


def test_a_finished_run_resumes_and_is_scored_without_it(
    started: Path, demo_run: Path, demo_records: Path, tmp_path: Path, capsys
) -> None:
    again = [*FACE, f"--pretrain={demo_run}", "--freeze_branches", "--learning_rate=0.0001"]
    assert train(demo_records, started, *again) == 0
    assert "is finished (1 epochs)" in capsys.readouterr().out
    alone = tmp_path / "alone"
    shutil.copytree(started, alone)
    assert evaluate_main(["--run", str(alone), "--no_robustness"]) == 0


def test_another_network_in_the_same_folder_is_refused(
    demo_records: Path, demo_run: Path, tmp_path: Path, capsys
) -> None:
    source = tmp_path / "source"
    shutil.copytree(demo_run, source)
    folder = tmp_path / "run"
    arguments = [*FACE, f"--pretrain={source}"]
    assert train(demo_records, folder, *arguments) == 0
    shutil.copy(demo_run / "last.keras", source / "best.keras")
    (source / "best.keras").write_bytes((demo_run / "last.keras").read_bytes() + b"\0")
    assert train(demo_records, folder, *arguments) == 1
    assert "a config or run of pretrain has changed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--pretrain={run}", "--test_speakers=actor01"], "on demo, speakers actor01, which"),
        (["--pretrain={run}", "--face=alexnet(width=0.2, dense=8)"], "there alexnet(width=0.1"),
        (["--pretrain={run}", "--face=mini_xception"], "face is mini_xception, there alexnet"),
        (["--pretrain=ravdess-face"], "face is alexnet"),
        (["--pretrain=ravdess-av"], "is an ensemble"),
        (["--pretrain=nowhere-at-all"], "no config or run nowhere-at-all"),
    ],
)
def test_what_cannot_start_a_run_is_refused_in_one_line(
    more: list[str], said: str, demo_records: Path, demo_run: Path, tmp_path: Path, capsys
) -> None:
    given = [text.format(run=demo_run) for text in more]
    speakers = [f for f in TRAIN_FLAGS if f.split("=")[0] not in {g.split("=")[0] for g in given}]
    where = ["--records", str(demo_records), "--run", str(tmp_path / "run")]
    assert train_main([*where, *speakers, *FACE, *given]) == 1
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir()), "a refused run leaves nothing behind"


def test_validation_speakers_it_knows_are_said(
    demo_records: Path, demo_run: Path, tmp_path: Path, capsys
) -> None:
    given = [flag for flag in TRAIN_FLAGS if "validation" not in flag]
    where = ["--records", str(demo_records), "--run", str(tmp_path / "run"), *given, *FACE]
    assert train_main([*where, f"--pretrain={demo_run}", "--validation_speakers=actor02"]) == 0
    assert "validation speakers actor02: validation scores" in capsys.readouterr().err


def test_heads_of_other_classes_are_not_taken(
    demo_records: Path, features: FeaturesConfig, tmp_path: Path, capsys
) -> None:
    """Three classes called a, b and c have a class layer of the same shape."""
    own = run_dir.load(on_disk(tmp_path / "abc", features, fusion="face_only")).folder
    model = run_dir.load_model(own / "best.keras")
    assert model.get_layer("face_head").get_weights()[0].shape[-1] == 3
    assert train(demo_records, tmp_path / "run", *FACE, f"--pretrain={own}") == 0
    line = next(n for n in capsys.readouterr().out.splitlines() if n.startswith("weights taken"))
    assert "face_branch" in line
    assert "face_head" not in line


def test_all_folds_start_from_the_same_run(
    demo_records: Path, features: FeaturesConfig, tmp_path: Path
) -> None:
    source = on_disk(tmp_path / "other", features, fusion="face_only")
    folder = tmp_path / "cv"
    flags = [f for f in TRAIN_FLAGS if "speakers" not in f]
    where = ["--records", str(demo_records), "--run", str(folder), "--protocol=group_kfold:2"]
    given = [*flags, *FACE, f"--pretrain={source}", "--seeds=1", "--no_robustness"]
    assert crossval_main([*where, *given]) == 0
    facts = crossval_files.planned(folder)
    digest = source_runs.digest_of(source / "best.keras")
    assert facts["steps"] == {"other": digest}
    folds = [crossval_files.fold_folder(folder, 0, fold["name"]) for fold in facts["folds"]]
    assert [run_dir.load(f).started_from[0]["sha256"] for f in folds] == [digest, digest]
    assert len(read_csv(folder / "predictions.csv")) == 24


def test_the_licence_names_the_corpora_it_started_from(started: Path) -> None:
    run = run_dir.load(started)
    source = package_model.with_pretrained(run)
    assert source["pretrained"] == {"networks": [], "corpora": ["demo"]}
    assert "demo" in licences.text("mine", source)
