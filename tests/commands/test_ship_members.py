"""ship --members: a trained ensemble as a package that refers to its packaged members."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import FEATURE_FLAGS, TRAIN_FLAGS

from emorec_tf import ship
from emorec_tf.api import load
from emorec_tf.evaluate import main as evaluate_main
from emorec_tf.evaluation import run_answers
from emorec_tf.predict import main as predict_main
from emorec_tf.prepare import main as prepare_main
from emorec_tf.records import records_dir
from emorec_tf.splits import splits
from emorec_tf.tasks import calibration
from emorec_tf.train import main as train_main
from emorec_tf.training import run_dir

pytestmark = pytest.mark.slow

AUDIO = """audio: functionals(coefficients=8)
fusion: audio_only
classifier: "lda(shrinkage=0.4, pca=4)"
refit: true
inner_folds: 2
batch_size: 4
"""
FACE = AUDIO.replace("audio: functionals(coefficients=8)", 'face: "face_statistics(mesh=False)"')
COMMON = [flag for flag in TRAIN_FLAGS if "speakers" in flag]


@pytest.fixture(scope="module")
def whole(demo_records: Path, tmp_path_factory: pytest.TempPathFactory) -> run_dir.Run:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "heard.yaml").write_text(AUDIO)
    (folder / "seen.yaml").write_text(FACE.replace("audio_only", "face_only"))
    (folder / "both.yaml").write_text(
        f"ensemble: {folder / 'heard.yaml'}, {folder / 'seen.yaml'}\nrefit: true\nbatch_size: 4\n"
    )
    where = ["--records", str(demo_records), "--run", str(folder / "both")]
    assert train_main(["--config", str(folder / "both.yaml"), *where, *COMMON]) == 0
    return run_dir.load(folder / "both")


@pytest.fixture(scope="module")
def both(whole: run_dir.Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("models")
    for name, facts in zip(("heard", "seen"), whole.steps.values(), strict=True):
        stage = str(whole.folder / facts["folder"])
        assert ship.main(["--run", stage, "--out", str(models / name)]) == 0
    out = models / "both"
    arguments = ["--run", str(whole.folder), "--members", "heard,seen", "--out", str(out)]
    assert ship.main(arguments) == 0
    return out


@pytest.fixture(scope="module")
def without_frames(
    both: Path, whole: run_dir.Run, demo_clips: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The same ensemble, whose audio model was trained on records that hold no frames."""
    folder = tmp_path_factory.mktemp("without_frames")
    audio = [flag for flag in FEATURE_FLAGS if not flag.startswith("--face")]
    where = ["--source", str(demo_clips), "--records", str(folder / "records"), "--face_frames=0"]
    assert prepare_main(["--dataset=demo", "--workers=1", *where, *audio]) == 0
    (folder / "heard.yaml").write_text(AUDIO)
    config = ["--config", str(folder / "heard.yaml"), "--records", str(folder / "records")]
    assert train_main([*config, "--run", str(folder / "run"), *COMMON]) == 0
    models = both.parent
    heard = ["--run", str(folder / "run"), "--out", str(models / "heard-alone")]
    assert ship.main(heard) == 0
    out = models / "without-frames"
    assert ship.main(["--members", "heard-alone,seen", "--out", str(out)]) == 0
    return out


@pytest.fixture
def clips(demo_clips: Path) -> list[Path]:
    return sorted((demo_clips / "clips").glob("actor04*.mp4"))


def test_it_answers_as_the_trained_ensemble(
    both: Path, whole: run_dir.Run, clips: list[Path]
) -> None:
    wanted = load(whole.folder).predict_clip(clips[0])
    found = load(both).predict_clip(clips[0])
    for name, share in wanted["probabilities"].items():
        assert found["probabilities"][name] == pytest.approx(share, abs=2e-4)
    size = sum(file.stat().st_size for file in both.iterdir())
    assert size < 60_000
    assert not list(both.glob("*.keras"))


def test_it_adapts_as_the_trained_ensemble(
    both: Path, whole: run_dir.Run, clips: list[Path]
) -> None:
    plain = load(both)
    found = plain.adapt(clips[1:]).predict_clip(clips[0])["probabilities"]
    wanted = load(whole.folder).adapt(clips[1:]).predict_clip(clips[0])["probabilities"]
    assert list(found.values()) == pytest.approx(list(wanted.values()), abs=2e-4)
    unadapted = list(plain.predict_clip(clips[0])["probabilities"].values())
    assert np.abs(np.subtract(unadapted, list(found.values()))).max() > 1e-3


def test_a_member_of_records_without_frames_is_none_the_worse(
    both: Path, without_frames: Path, clips: list[Path]
) -> None:
    assert run_dir.load(both.with_name("heard-alone")).config.features.face_frames == 0
    made, wanted = load(without_frames), load(both)
    assert made.run.config.features == wanted.run.config.features
    assert repr(made.run).endswith("made of heard-alone, seen)")
    temperature = wanted.run.temperature
    for one, other in ((made, wanted), (made.adapt(clips[1:]), wanted.adapt(clips[1:]))):
        shares = np.array(list(one.predict_clip(clips[0])["probabilities"].values()))
        scaled = shares ** (1 / temperature) / (shares ** (1 / temperature)).sum()
        found = other.predict_clip(clips[0])["probabilities"]
        assert list(scaled) == pytest.approx(list(found.values()), abs=2e-3)


def test_its_card_has_the_results_of_the_run(both: Path, whole: run_dir.Run) -> None:
    card = (both / "MODEL_CARD.md").read_text()
    assert "The results of the whole are those of `both`" in card
    assert card.count("## Familiarity") == card.count("## Members") == 1
    assert card.index("## Members") < card.index("## Limits of use")
    stored = json.loads((both / "temperature.json").read_text())
    assert stored["temperature"] == whole.temperature
    assert str(whole.folder.parent) not in "".join(
        file.read_text() for file in both.iterdir() if file.suffix in (".yaml", ".json", ".md")
    )


def test_it_is_evaluated_on_speakers_new_to_all_members(
    both: Path, whole: run_dir.Run, demo_records: Path
) -> None:
    run = run_dir.load(both)
    assert run.split.test == whole.split.test
    scores = []
    for folder in (both, whole.folder):
        assert evaluate_main(["--run", str(folder), "--records", str(demo_records)]) == 0
        scores.append(json.loads((folder / "metrics.json").read_text()))
    assert scores[0]["uar"] == scores[1]["uar"]
    assert scores[0]["ece"] == pytest.approx(scores[1]["ece"], abs=1e-3)


def test_its_temperature_can_be_fitted_to_records(
    both: Path, demo_records: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = both.with_name("calibrated")
    where = ["--members", "heard,seen", "--calibrate", str(demo_records), "--out", str(out)]
    assert ship.main(where) == 0
    stored = json.loads((out / "temperature.json").read_text())
    records = records_dir.open_records(demo_records)
    run = run_dir.load(out)
    clips = splits.clips_of(records.clips, set(run.split.test))
    assert stored["fitted_to"].startswith(f"{len(clips)} clips of demo, of speakers new to all")
    logits, ordered = run_answers.run_logits(run, records, clips)
    wanted = calibration.temperature(logits, run.task.truth(ordered))
    assert run.temperature == pytest.approx(wanted, rel=1e-3)
    assert stored["nll_after"] <= stored["nll_before"]
    facts = json.loads((both.with_name("heard") / "run.json").read_text())
    assert set(facts["split"]["test"]) == set(run.split.test)
    assert "temperature" in capsys.readouterr().out


def test_predict_draws_its_timeline(both: Path, clips: list[Path], tmp_path: Path) -> None:
    plot = tmp_path / "over_time.png"
    assert predict_main([str(clips[0]), "--run", str(both), "--timeline", str(plot)]) == 0
    assert plot.stat().st_size > 1000
