"""Speaker adaptation: enrolment clips are never scored; evaluate and predict agree."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import TRAIN_FLAGS

from emorec_tf.config.config import DataConfig
from emorec_tf.errors import UserError
from emorec_tf.evaluate import main as evaluate_main
from emorec_tf.predict import main as predict_main
from emorec_tf.records import input_pipeline, records_dir
from emorec_tf.train import main as train_main
from emorec_tf.training import band_scale, run_dir, speaker_adaptation
from emorec_tf.training.enrolment import enrolment_clips


@pytest.mark.parametrize("enrol", [0, -1])
def test_enrol_below_one_is_refused(enrol):
    with pytest.raises(UserError, match="adapt is"):
        DataConfig(adapt=enrol)


def test_speaker_audio_is_moved_to_the_scale_of_training(features, inputs):
    drawn = inputs(features)
    drawn["audio"] = drawn["audio"] * 3 - 7
    standard = np.linspace(-9, -5, 16).astype("f"), np.linspace(1, 2, 16).astype("f")
    real = [a[m > 0] for a, m in zip(drawn["audio"], drawn["audio_mask"], strict=True)]
    scale = band_scale.band_statistics(real)
    moved = band_scale.moved(drawn, *scale, standard)
    frames = np.asarray(moved["audio"])[drawn["audio_mask"] > 0]
    np.testing.assert_allclose(frames.mean(0), standard[0], atol=1e-3)
    np.testing.assert_allclose(frames.std(0), standard[1], atol=1e-3)
    assert not np.asarray(moved["audio"])[drawn["audio_mask"] == 0].any()
    mean, deviation = band_scale.of_each(drawn)
    np.testing.assert_allclose(np.asarray(mean)[2, 0], real[2].mean(0), atol=1e-4)
    np.testing.assert_allclose(np.asarray(deviation)[2, 0], real[2].std(0), atol=1e-4)
    silent = {**drawn, "audio_mask": 0 * drawn["audio_mask"]}
    alone = band_scale.moved(silent, *band_scale.of_each(silent), standard)
    assert not np.asarray(alone["audio"]).any()


AUDIO_FLAGS = [*TRAIN_FLAGS, "--epochs=1", "--fusion=audio_only"]
CLASSICAL = ["--audio=functionals(coefficients=8)", "--face=face_statistics(mesh=False)", "--refit"]
WEIGHED = [*TRAIN_FLAGS, *CLASSICAL, "--classifier=lda(shrinkage=0.5, pca=8, offsets=0.5)"]
SPREAD = [*WEIGHED, "--adapt_spread", "--no_adapt_audio"]
CLASSICAL = [*TRAIN_FLAGS, *CLASSICAL, "--classifier=lda(shrinkage=0.5, pca=8)"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("enrol", "flags"), [("2", AUDIO_FLAGS), ("self", AUDIO_FLAGS), ("2", WEIGHED), ("2", SPREAD)]
)
def test_evaluate_and_predict_agree(
    enrol, flags, demo_records: Path, demo_clips: Path, tmp_path, capsys
):
    folder = tmp_path / "run"
    where = ["--records", str(demo_records), "--run", str(folder), f"--enrol={enrol}"]
    assert train_main([*where, *flags]) == 0
    assert evaluate_main(["--run", str(folder)]) == 0
    said = capsys.readouterr().out
    by = "the clip alone" if enrol == "self" else "2 enrolment clips"
    assert f"speaker-adapted by {by}" in " ".join(said.split())
    found = json.loads((folder / "metrics.json").read_text())
    assert found["mode"] == "enrolled"
    assert found["n"] == (6 if enrol == "self" else 4)
    loaded = run_dir.load(folder)
    tested = [c for c in records_dir.open_records(demo_records).clips if c.speaker == "actor04"]
    drawn = {c.clip_id for c in enrolment_clips(tested, loaded.config.data, 0)}
    with (folder / "predictions.csv").open() as file:
        rows = {Path(r["clip_id"]).name: r for r in csv.DictReader(file)}
    assert {c.clip_id for c in tested} == drawn | {r["clip_id"] for r in rows.values()}
    videos = {p.stem: p for p in (demo_clips / "clips").glob("actor04_*.mp4")}
    more = []
    if drawn:
        (tmp_path / "own").mkdir()
        for clip_id in drawn:
            shutil.copy(videos[Path(clip_id).name], tmp_path / "own")
        more = ["--enrol", str(tmp_path / "own")]
        assert predict_main(["--run", str(folder), str(videos[next(iter(rows))])]) == 1
        assert "give --adapt FOLDER" in capsys.readouterr().err
    wanted = [str(videos[name]) for name in rows]
    assert predict_main(["--run", str(folder), "--json", *more, *wanted]) == 0
    for line in capsys.readouterr().out.splitlines():
        answer = json.loads(line)
        for name, share in answer["probabilities"].items():
            predicted = float(rows[Path(answer["clip"]).stem][name])
            assert share == pytest.approx(predicted, abs=1e-3)


@pytest.mark.slow
def test_features_are_relative_to_the_speakers_mean(demo_records: Path, tmp_path):
    folder = tmp_path / "run"
    where = ["--records", str(demo_records), "--run", str(folder), "--enrol=2"]
    assert train_main([*where, *CLASSICAL]) == 0
    model = run_dir.load_model(run_dir.load(folder).model_file)
    below, head = speaker_adaptation.features_model(model), model.get_layer("classifier")
    records = records_dir.open_records(demo_records)
    inputs, _ = next(iter(input_pipeline.evaluation(records, records.clips[:6])))
    features = below.predict_on_batch(inputs)
    mean = np.random.default_rng(0).normal(size=features.shape).astype(np.float32)
    predicted = model.predict_on_batch({**inputs, speaker_adaptation.SPEAKER_FEATURES: mean})
    wanted = (features - mean) @ np.asarray(head.kernel) + np.asarray(head.bias)
    np.testing.assert_allclose(predicted, wanted, atol=1e-3 * np.abs(wanted).max())


def test_a_speaker_independent_run_refuses_enrolment(demo_run: Path, demo_clips: Path, capsys):
    folder = str(demo_clips)
    assert predict_main(["--run", str(demo_run), "--enrol", folder, folder]) == 1
    assert "was trained without --adapt" in capsys.readouterr().err
