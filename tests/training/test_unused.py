"""A modality that no training clip has: said, switched off, and refused where nothing is left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import made_records
import numpy as np
import pytest
from conftest import TRAIN_FLAGS
from untrained_runs import SMALL, SPLIT

from emorec_tf.config import config
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.evaluate import main as evaluate_main
from emorec_tf.inference.model import Model
from emorec_tf.inference.predictor import Predictor
from emorec_tf.records import input_pipeline, records_dir
from emorec_tf.storage.files import read_csv
from emorec_tf.train import main as train_main
from emorec_tf.training import run_dir

FLAGS = [
    *[flag for flag in TRAIN_FLAGS if "speakers" not in flag],
    "--test_speakers=4",
    "--validation_speakers=3",
    "--epochs=1",
]


def command(records: Path, run: Path, *more: str) -> list[str]:
    return ["--records", str(records), "--run", str(run), *FLAGS, *more]


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory, features: FeaturesConfig) -> Path:
    """Records in which the test speaker alone has a face."""
    folder = tmp_path_factory.mktemp("voices") / "records"
    return made_records.make(folder, features, lambda c: () if c.speaker == "4" else ("face",))


@pytest.fixture(scope="module")
def without_audio(tmp_path_factory: pytest.TempPathFactory, features: FeaturesConfig) -> Path:
    """Records in which no clip has audio."""
    folder = tmp_path_factory.mktemp("mute") / "records"
    return made_records.make(folder, features, lambda _: ("audio",))


def answers(run: run_dir.Run, records: Path, without: str = "") -> np.ndarray:
    """Outputs of a run's model for the test speaker, with one modality taken away."""
    opened = records_dir.open_records(records)
    clips = [clip for clip in opened.clips if clip.speaker == "4"]
    inputs, _ = next(iter(input_pipeline.evaluation(opened, clips)))
    given = {name: array.numpy() for name, array in inputs.items()}
    assert given["face_mask"].any()
    if without:
        mine = [name for name in given if name.startswith("audio") == (without == "audio")]
        given |= {name: np.zeros_like(given[name]) for name in mine}
    return np.asarray(run_dir.load_model(run.model_file).predict_on_batch(given))


@pytest.mark.parametrize("fusion", ["concat", "weighted_average"])
def test_an_untrained_branch_is_switched_off(
    fusion: str, voices: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert train_main(command(voices, folder, f"--fusion={fusion}")) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert said == [
        "warning: no training clip has a face; the face branch is not trained and is switched off"
    ]
    assert json.loads((folder / "run.json").read_text())["unused"] == ["face"]
    run = run_dir.load(folder)
    assert run.modalities == ("audio",)
    whole = answers(run, voices)
    np.testing.assert_array_equal(whole, answers(run, voices, without="face"))
    assert np.abs(whole - answers(run, voices, without="audio")).max() > 1e-3
    assert evaluate_main(["--run", str(folder)]) == 0
    rows = read_csv(folder / "predictions.csv")
    assert len(rows) == 6
    heard = run.task.predictions(whole, run.temperature)
    told = {tuple(f"{float(row[name]):.4f}" for name in run.classes) for row in rows}
    assert told == {tuple(f"{share:.4f}" for share in shares) for shares in heard}


def test_a_classical_head_gets_the_other_branch_alone(voices: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    flags = ["--audio=functionals(coefficients=8)", "--face=face_statistics(mesh=False)"]
    head = "--classifier=lda(shrinkage=0.5, pca=4)"
    assert train_main(command(voices, folder, *flags, head)) == 0
    run = run_dir.load(folder)
    assert run.unused == ("face",)
    np.testing.assert_array_equal(answers(run, voices), answers(run, voices, without="face"))


def test_runs_that_use_everything_say_nothing(
    tmp_path: Path, features: FeaturesConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    one = made_records.make(  # one face is enough to train the branch
        tmp_path / "records", features, lambda c: () if c.clip_id == "1-sad-0" else ("face",)
    )
    assert train_main(command(one, tmp_path / "run")) == 0
    assert "warning" not in capsys.readouterr().err
    assert "unused" not in json.loads((tmp_path / "run" / "run.json").read_text())


@pytest.mark.parametrize(
    ("fusion", "records", "lacking"),
    [("face_only", "voices", "a face"), ("audio_only", "without_audio", "audio")],
)
def test_a_fusion_that_has_nothing_to_learn_from_is_refused(
    fusion: str,
    records: str,
    lacking: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    where = request.getfixturevalue(records)
    assert train_main(command(where, tmp_path / "run", f"--fusion={fusion}")) == 1
    error = capsys.readouterr().err.strip()
    assert f"has {lacking}, and fusion {fusion} uses nothing else" in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir()), "a refused run leaves nothing behind"


@pytest.mark.parametrize("off", ["audio", "face"])
def test_a_switched_off_modality_changes_no_answer(off: str, features: FeaturesConfig, inputs):
    from emorec_tf.models.model import build_model

    mean = np.zeros(features.audio_width, np.float32)
    settings = config.build({**SMALL, **vars(features)})
    network = build_model(settings, ("a", "b", "c"), mean, mean + 1, unused=(off,))
    given = inputs(features)
    mine = [name for name in given if name.startswith("audio") == (off == "audio")]
    gone = {**given, **{name: np.zeros_like(given[name]) for name in mine}}
    here, there = (np.asarray(network.predict_on_batch(values)) for values in (given, gone))
    np.testing.assert_array_equal(here, there)
    assert set(network.input) == set(given), "the inputs stay"


def test_what_a_run_uses_is_what_its_model_says(tmp_path: Path, features: FeaturesConfig) -> None:
    from emorec_tf.models.model import build_model

    settings = config.build({**SMALL, **vars(features)})
    mean = np.zeros(features.audio_width, np.float32)
    network = build_model(settings, ("a", "b", "c"), mean, mean + 1, unused=("face",))
    run = run_dir.Run(tmp_path, settings, ("a", "b", "c"), SPLIT, {}, {}, ("face",))
    unread: Any = None
    assert Model(Predictor(run, network, unread, unread, unread, None)).modalities == ("audio",)
