"""Runs that were trained without enrolment are adapted afterwards, by unlabelled clips."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import keras
import made_records
import numpy as np
import pytest
from conftest import TRAIN_FLAGS

import emorec_tf
from emorec_tf.config.config import DataConfig, FeaturesConfig
from emorec_tf.errors import UserError
from emorec_tf.evaluate import main as evaluate_main
from emorec_tf.models.classical import set_scale
from emorec_tf.predict import main as predict_main
from emorec_tf.records import input_pipeline, records_dir
from emorec_tf.train import main as train_main
from emorec_tf.training import feature_standard, run_dir
from emorec_tf.training.enrolment import enrolment_clips
from emorec_tf.training.speaker_adaptation import SpeakerAdapter, features_model

HEAD = [
    "--audio=functionals(coefficients=8)",
    "--face=face_statistics(mesh=False)",
    "--classifier=lda(shrinkage=0.5, pca=4)",
]
FLAGS = [
    *[flag for flag in TRAIN_FLAGS if "speakers" not in flag],
    "--test_speakers=4",
    "--validation_speakers=3",
    "--epochs=1",
]


@pytest.fixture(scope="module")
def records(features: FeaturesConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adaptation") / "records"
    return made_records.make(folder, features, lambda clip: ())


def trained(folder: Path, records: Path, *flags: str) -> Path:
    assert train_main([f"--records={records}", f"--run={folder}", *FLAGS, *flags]) == 0
    return folder


def scores(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def test_a_run_keeps_what_its_features_are_like(records: Path, tmp_path: Path):
    folder = trained(tmp_path / "run", records, *HEAD, "--refit")
    standard = feature_standard.read(folder)
    run, opened = run_dir.load(folder), records_dir.open_records(records)
    model = run_dir.load_model(run.model_file)
    made = set_scale.adaptable(model, standard.mean, standard.speaker)
    clips = [c for c in opened.clips if c.speaker != "4"]
    inputs, ids = next(iter(input_pipeline.evaluation(opened, clips)))
    rows = features_model(made).predict_on_batch(inputs)
    np.testing.assert_allclose(standard.mean, rows.mean(0), atol=1e-4)
    np.testing.assert_allclose(standard.corpus, rows.std(0, ddof=1), atol=1e-3, rtol=1e-3)
    speakers = np.array([i.decode()[0] for i in ids.numpy()])
    within = np.concatenate([rows[speakers == s] - rows[speakers == s].mean(0) for s in "123"])
    wanted = np.sqrt(np.square(within).sum(0) / (len(rows) - 3))
    np.testing.assert_allclose(standard.speaker, wanted, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("by", ["speaker", "corpus"])
def test_evaluate_adapts_beside_the_scores_as_trained(records: Path, tmp_path: Path, by, capsys):
    folder = trained(tmp_path / "run", records, *HEAD)
    assert evaluate_main([f"--run={folder}"]) == 0
    before = (folder / "metrics.json").read_bytes()
    assert evaluate_main([f"--run={folder}", "--adapt=3", f"--adapt_by={by}"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "3 unlabelled clips of each corpus" in said or by == "speaker"
    assert evaluate_main([f"--run={folder}", "--adapt_by=corpus"]) == 1
    assert "add --adapt N" in capsys.readouterr().err
    assert (folder / "metrics.json").read_bytes() == before
    own = folder / ("adapted-3" if by == "speaker" else "adapted-3-corpus")
    found, plain = scores(own), scores(folder)
    assert (found["mode"], found["enrol"], found["n"]) == ("enrolled", 3, plain["n"] - 3)
    assert (plain["mode"], plain["enrol"]) == ("unseen", None)
    assert found["parameters"] == plain["parameters"]
    assert found["temperature"] == plain["temperature"]
    assert found.get("adapt_by") == (None if by == "speaker" else "corpus")
    assert len((own / "robustness.csv").read_text().splitlines()) == 13


def test_an_ensemble_is_adapted_in_all_its_members(records: Path, tmp_path: Path):
    for name, fusion in (("voice", "audio_only"), ("face", "face_only")):
        lines = [flag.removeprefix("--").replace("=", ": ", 1) for flag in HEAD]
        (tmp_path / f"{name}.yaml").write_text(
            "\n".join([*lines, f"fusion: {fusion}", "epochs: 1", "batch_size: 4"])
        )
    members = f"--ensemble={tmp_path / 'voice.yaml'},{tmp_path / 'face.yaml'}"
    folder = trained(tmp_path / "run", records, members, "--refit")
    steps = [run_dir.load(folder / s["folder"]) for s in run_dir.load(folder).steps.values()]
    parts = [feature_standard.read(step.folder).mean for step in steps]
    np.testing.assert_array_equal(feature_standard.read(folder).mean, np.concatenate(parts))
    assert evaluate_main([f"--run={folder}", "--adapt=2"]) == 0
    assert scores(folder / "adapted-2")["enrol"] == 2


def test_a_corpus_adapts_training_and_test(features: FeaturesConfig, tmp_path: Path):
    """The recordings of a corpus without prefixes are one set."""
    records = made_records.make(tmp_path / "records", features, lambda clip: ())
    flags = ["--adapt=4", "--adapt_by=corpus", "--adapt_spread"]
    folder = trained(tmp_path / "run", records, *HEAD, *flags)
    model = run_dir.load_model(run_dir.load(folder).model_file)
    assert {set_scale.SPEAKER_FEATURES, set_scale.SPEAKER_SCALE} <= set(model.input)
    assert (set_scale.pooled_of(model) > 0).any()
    assert feature_standard.read(folder) is None, "it was trained with adaptation"
    assert evaluate_main([f"--run={folder}"]) == 0
    assert scores(folder)["adapt_by"] == "corpus"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--adapt=2", "--adapt_spread"], "adapt_spread is True; it must be off unless"),
        (["--adapt=2", "--no_adapt_audio"], "adapt_audio is False; it must be on unless"),
        (
            ["--adapt=2", "--adapt_by=corpus", *HEAD[:2], "--classifier=lda(shrinkage=0.5, "
             "speaker_shrinkage=0.5)"],
            "adapt_by is 'corpus'; it must be speaker under",
        ),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(records: Path, tmp_path: Path, flags, said, capsys):
    assert train_main([f"--records={records}", f"--run={tmp_path / 'run'}", *FLAGS, *flags]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_that_adapts_to_each_clip_takes_no_others(records: Path, tmp_path: Path, capsys):
    conv = ["--audio=conv1d(filters=8, blocks=1)", "--fusion=audio_only", "--adapt=self"]
    folder = trained(tmp_path / "run", records, *conv)
    (tmp_path / "own").mkdir()
    capsys.readouterr()
    refusing = (
        lambda: evaluate_main([f"--run={folder}", "--adapt=2"]),
        lambda: predict_main([f"--run={folder}", f"--adapt={tmp_path / 'own'}", "a.wav"]),
    )
    for refuse in refusing:
        assert refuse() == 1
        said = capsys.readouterr().err
        assert "was trained with --adapt self: it adapts to each clip by the clip alone" in said
        assert said.count("\n") == 1
    assert not (folder / "adapted-2").exists()
    assert evaluate_main([f"--run={folder}", "--no_robustness"]) == 0
    assert "speaker-adapted by the clip alone" in " ".join(capsys.readouterr().out.split())


def test_a_run_without_the_standard_refuses(records: Path, tmp_path: Path, capsys):
    folder = trained(tmp_path / "run", records, *HEAD)
    (folder / run_dir.FEATURE_STANDARD).unlink()
    assert evaluate_main([f"--run={folder}", "--adapt=2"]) == 1
    said = capsys.readouterr().err
    assert "keeps no feature_standard.npz" in said
    assert said.count("\n") == 1
    assert not (folder / "adapted-2").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda one: one * np.nan, "is damaged (its values are out of bounds)"),
        (lambda one: -1 - one, "is damaged (its values are out of bounds)"),
        (lambda one: np.full(len(one), "a"), "is damaged (its values are out of bounds)"),
        (lambda one: np.concatenate([one, one]), "is of another network"),
    ],
)
def test_a_damaged_standard_is_refused(records: Path, tmp_path: Path, change, said, capsys):
    folder = trained(tmp_path / "run", records, *HEAD)
    path = folder / run_dir.FEATURE_STANDARD
    kept = {name: change(array) for name, array in np.load(path).items()}
    np.savez(path, **kept)
    assert evaluate_main([f"--run={folder}", "--adapt=2"]) == 1
    err = capsys.readouterr().err
    assert f"{path} {said}; train the run again" in err
    assert err.count("\n") == 1


def test_unreadable_recordings_are_said_to_be_unreadable():
    inputs = {"audio": keras.Input((2, 3), name="audio")}
    model = keras.Model(inputs, keras.layers.Flatten()(inputs["audio"]))
    with pytest.raises(UserError, match="none of the enrolment clips can be read"):
        SpeakerAdapter(None, None).fit_speaker([], model)


@pytest.mark.slow
def test_predict_and_python_answer_as_evaluate(
    demo_records: Path, demo_clips: Path, tmp_path: Path, capsys
):
    folder, clips = tmp_path / "run", tmp_path / "own"
    assert train_main([f"--records={demo_records}", f"--run={folder}", *TRAIN_FLAGS, *HEAD]) == 0
    assert evaluate_main([f"--run={folder}", "--adapt=2"]) == 0
    tested = [c for c in records_dir.open_records(demo_records).clips if c.speaker == "actor04"]
    videos = {p.stem: p for p in (demo_clips / "clips").glob("actor04_*.mp4")}
    clips.mkdir()
    for clip in enrolment_clips(tested, DataConfig(adapt=2), 0):
        shutil.copy(videos[Path(clip.clip_id).name], clips)
    with (folder / "adapted-2" / "predictions.csv").open() as file:
        rows = {Path(r["clip_id"]).name: r for r in csv.DictReader(file)}
    assert len(rows) == 4
    wanted = [str(videos[name]) for name in rows]
    capsys.readouterr()
    assert predict_main([f"--run={folder}", "--json", f"--adapt={clips}", *wanted]) == 0
    said = capsys.readouterr()
    assert "2 clips to adapt by have" in said.err
    answers = [json.loads(line) for line in said.out.splitlines()]
    assert len(answers) == 4
    for answer in answers:
        for name, share in answer["probabilities"].items():
            predicted = float(rows[Path(answer["clip"]).stem][name])
            assert share == pytest.approx(predicted, abs=1e-3)
    model = emorec_tf.load(folder)
    plain = model.predict_clip(wanted[0])
    adapted = model.adapt(clips)
    again = adapted.adapt(sorted(clips.iterdir()))
    for one in (adapted, again, emorec_tf.load(folder, enrol=str(clips))):
        assert one.predict_clip(wanted[0])["probabilities"] == pytest.approx(
            answers[0]["probabilities"], abs=1e-5
        )
    assert model.predict_clip(wanted[0]) == plain
    assert plain["probabilities"] != pytest.approx(answers[0]["probabilities"], abs=1e-3)
    np.testing.assert_allclose(adapted.embedding(wanted[0]), model.embedding(wanted[0]))
    with pytest.raises(UserError, match="by is 'room'; it must be speaker or corpus"):
        model.adapt(clips, by="room")  # type: ignore[arg-type]
