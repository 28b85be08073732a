"""Product of experts: the members' probabilities multiplied, through the real commands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import TRAIN_FLAGS

from emorec_tf.evaluate import main as evaluate_main
from emorec_tf.records import corruptions, records_dir
from emorec_tf.tasks import calibration
from emorec_tf.train import main as train_main
from emorec_tf.training import ensemble, experiment, run_dir
from emorec_tf.training import logits as answers

pytestmark = pytest.mark.slow

COMMON = [f for f in TRAIN_FLAGS if "learning_rate" not in f]
AUDIO = 'audio: "conv1d(filters=8, blocks=2)"\nfusion: audio_only\nepochs: 2\nbatch_size: 4\n'
FACE = """face: "face_statistics(mesh=False)"
fusion: face_only
classifier: "lda(shrinkage=0.5, pca=10)"
refit: true
batch_size: 4
"""


@pytest.fixture(scope="module")
def whole(demo_records: Path, tmp_path_factory: pytest.TempPathFactory) -> run_dir.Run:
    folder = tmp_path_factory.mktemp("product")
    (folder / "voice.yaml").write_text(AUDIO)
    (folder / "face.yaml").write_text(FACE)
    (folder / "both.yaml").write_text(
        f"ensemble: {folder / 'voice.yaml'}, {folder / 'face.yaml'}\nrefit: true\n"
    )
    where = ["--records", str(demo_records), "--run", str(folder / "run")]
    assert train_main(["--config", str(folder / "both.yaml"), *where, *COMMON]) == 0
    return run_dir.load(folder / "run")


@pytest.fixture(scope="module")
def parts(whole: run_dir.Run) -> list[run_dir.Run]:
    return [run_dir.load(whole.folder / facts["folder"]) for facts in whole.steps.values()]


def logits(run: run_dir.Run, damage=None) -> np.ndarray:
    records = records_dir.open_records(str(run.config.data.records))
    clips = [c for c in records.clips if c.speaker in run.split.test]
    model = run_dir.load_model(run.model_file)
    batches = answers.ClipBatches(records, clips)
    return answers.logits_of(model, batches, corruption=damage)[0]


def test_ensemble_logits_are_the_product_of_the_members(whole, parts):
    wanted = sum(np.log(calibration.scaled(logits(p), p.temperature)) for p in parts)
    np.testing.assert_allclose(logits(whole), wanted, atol=1e-4)


def test_classical_heads_of_a_kind_share_a_temperature(parts, tmp_path):
    audio, face = parts
    heads = []
    for temperature in (2.0, 8.0):
        copy = Path(shutil.copytree(face.folder, tmp_path / str(temperature)))
        facts = json.loads((copy / "temperature.json").read_text())
        (copy / "temperature.json").write_text(json.dumps({**facts, "temperature": temperature}))
        heads.append(run_dir.load(copy))
    found = ensemble.temperatures([audio, *heads])
    np.testing.assert_allclose(found, [audio.temperature, 4, 4])  # twice and half of 4


@pytest.mark.parametrize(("damage", "left"), [("no_audio", 1), ("no_face", 0)])
def test_without_one_modality_the_other_decides_alone(damage, left, whole, parts):
    gone = getattr(corruptions, damage)
    together = calibration.scaled(logits(whole, gone), 1.0)
    alone = calibration.scaled(logits(parts[left], gone), parts[left].temperature)
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_the_validated_ensemble_uses_members_before_refit(whole, parts):
    file, face = whole.validated_file, parts[1]
    assert file.name == "best.keras"
    expert = run_dir.load_model(file).get_layer("expert_2").get_layer("classifier")
    first = run_dir.load_model(face.validated_file).get_layer("classifier")
    np.testing.assert_array_equal(np.asarray(expert.kernel), np.asarray(first.kernel))


def test_an_ensemble_is_a_normal_run(whole, parts, capsys):
    assert whole.is_finished()
    assert len(whole.history) == 1
    assert whole.temperature is not None
    assert all(p.split == whole.split for p in parts)
    assert evaluate_main(["--run", str(whole.folder)]) == 0
    assert "UAR" in capsys.readouterr().out


def test_refitted_heads_keep_the_temperature_of_the_first_fit(parts):
    face = parts[1]
    assert face.model_file.name == "refitted.keras"
    first, again = (
        run_dir.load_model(f).get_layer("classifier")
        for f in (face.validated_file, face.model_file)
    )
    assert np.abs(np.asarray(first.kernel) - np.asarray(again.kernel)).max() > 1e-4
    records = records_dir.open_records(str(face.config.data.records))
    clips = experiment.of_run(face, records).scored("validation")
    model = run_dir.load_model(face.validated_file)
    raw, clips = answers.logits_of(model, answers.ClipBatches(records, clips))
    wanted = calibration.temperature(raw, face.task.truth(clips))
    assert face.temperature == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ensemble: voice\nclassifier: lda()\n", "ensemble"),
        ("ensemble: voice\ntrain_first: voice\n", "ensemble"),
        ("ensemble: voise\n", "there is no config voise"),
        ("refit: true\n", "refit is True; it must be off unless a classifier"),
    ],
)
def test_incompatible_settings_are_refused_in_one_line(text, said, demo_records, tmp_path, capsys):
    (tmp_path / "voice.yaml").write_text(AUDIO)
    (tmp_path / "wrong.yaml").write_text(text.replace(": voi", f": {tmp_path}/voi"))
    where = ["--records", str(demo_records), "--run", str(tmp_path / "run")]
    assert train_main(["--config", str(tmp_path / "wrong.yaml"), *where, *COMMON]) == 1
    error = capsys.readouterr().err.strip()
    assert said.split("voise")[0] in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "run").exists()
