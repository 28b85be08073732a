"""Runs on an ONNX encoder: classical heads, cached tokens, every command, no file afterwards."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx_made
import pytest
from conftest import DETECTOR
from over_http import reached

from emorec_tf import export
from emorec_tf.api import load
from emorec_tf.crossval import main as crossval_main
from emorec_tf.evaluate import main as evaluate_main
from emorec_tf.inference import predictor
from emorec_tf.predict import main as predict_main
from emorec_tf.prepare import main as prepare_main
from emorec_tf.report import main as report_main
from emorec_tf.serving import app
from emorec_tf.storage.files import read_csv
from emorec_tf.train import main as train_main
from emorec_tf.training import run_dir, token_cache

pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")
pytestmark = pytest.mark.slow

SPLIT = ["--test_speakers=actor04", "--validation_speakers=actor03", "--batch_size=4"]
LDA = "--classifier=lda(shrinkage=0.5, pca=8)"
HEARD = "--fusion=audio_only"


@pytest.fixture(scope="module")
def records(demo_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embedding") / "records"
    flags = ["--audio_features=waveform", "--clip_seconds=1.5", "--face_frames=2"]
    flags += ["--face_pixels=24", f"--face_detector={DETECTOR}", "--workers=2"]
    where = ["--dataset=demo", "--source", str(demo_clips), "--records", str(folder)]
    assert prepare_main([*where, *flags]) == 0
    return folder


def trained(records: Path, run: Path, arguments: str, *flags: str) -> Path:
    """Train with an encoder whose file is gone afterwards."""
    file = onnx_made.written(run.with_suffix(".onnx"))
    audio = f"--audio=embedding(model='{file}'{arguments})"
    try:
        assert (
            train_main(["--records", str(records), "--run", str(run), audio, *SPLIT, *flags]) == 0
        )
    finally:
        file.unlink()
    return run


@pytest.mark.parametrize(
    ("arguments", "flags"),
    [
        ("", [HEARD, LDA, "--refit", "--inner_folds=2"]),
        (", pool='none'", ["--fusion=concat", "--epochs=1", "--face=mini_xception"]),
        (", pool='attention', output='last_hidden_state'", [HEARD, "--epochs=1"]),
    ],
)
def test_evaluate_and_predict_agree(
    arguments: str, flags: list[str], records: Path, demo_clips: Path, tmp_path: Path, capsys
) -> None:
    run = trained(records, tmp_path / "run", arguments, *flags)
    source = ["--source", str(demo_clips)] if not arguments else []
    assert evaluate_main(["--run", str(run), *source]) == 0
    row = read_csv(run / "predictions.csv")[0]
    (clip,) = demo_clips.glob(f"{row['clip_id']}.mp4")
    capsys.readouterr()
    assert predict_main([str(clip), "--run", str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["probabilities"]
    for name, share in found.items():
        assert share == pytest.approx(float(row[name]), abs=2e-3)
    scores = json.loads((run / "metrics.json").read_text())
    (encoder,) = scores["onnx_encoders"]
    assert len(encoder["sha256"]) == 64
    assert encoder["bytes"] > 4 * onnx_made.WIDTH * onnx_made.WINDOW  # its kernel
    conditions = {row["condition"]: row for row in read_csv(run / "robustness.csv")}
    assert "noise 0 dB" in conditions
    assert "telephone 300-3400 Hz" not in conditions
    assert ("telephone 8 kHz (waveform)" in conditions) == bool(source)
    # the encoder sees clips of one level, whatever the recording's
    levels = {conditions[name]["uar"] for name in ("clean", "level +20 dB", "level -20 dB")}
    assert len(levels) == 1


def test_every_way_answers_alike_and_export_refuses(
    records: Path, demo_clips: Path, tmp_path: Path, capsys
) -> None:
    run = trained(records, tmp_path / "run", "", HEARD, LDA, "--refit")
    assert run_dir.load(run).familiarity is not None
    clip = min((demo_clips / "clips").glob("actor04_*.mp4"))
    model = load(run)
    wanted = model.predict_clip(clip)
    assert 0 <= wanted["familiarity"] <= 1
    with reached(app.app(predictor.load(str(run)))) as client:
        answer = client.post("/predict", files={"clip": (clip.name, clip.read_bytes())}).json()
    assert answer["probabilities"] == pytest.approx(wanted["probabilities"], abs=1e-5)
    assert model.predict_clip(clip, windows="on")["emotion"] in model.classes
    assert len(model.embedding(clip)) == 2 * onnx_made.WIDTH
    given = model.inputs([clip])
    logits = np.asarray(model.network.predict_on_batch(given))
    assert logits.shape == (1, len(model.classes))
    adapted = model.adapt(sorted((demo_clips / "clips").glob("actor04_*.mp4"))[:5])
    assert set(adapted.predict_clip(clip)["probabilities"]) == set(model.classes)
    capsys.readouterr()
    assert export.main(["--run", str(run), "--out", str(tmp_path / "out")]) == 1
    assert "runs in ONNX Runtime; use predict, serve" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_tokens_are_cached_though_faces_could_be_augmented(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Augmentation leaves a waveform as it is, so the tokens of a clip are always the same."""
    flags = [HEARD, "--epochs=2", "--augment"]
    cached = trained(records, tmp_path / "cached", "", *flags)
    asked = []

    def never(settings: object) -> bool:
        asked.append(settings)
        return False

    monkeypatch.setattr(token_cache, "is_possible", never)
    plain = trained(records, tmp_path / "plain", "", *flags)
    assert len(asked) == 1
    losses = [[float(row["loss"]) for row in read_csv(r / "history.csv")] for r in (cached, plain)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


def test_an_ensemble_and_a_cross_validation(records: Path, tmp_path: Path, capsys) -> None:
    file = onnx_made.written(tmp_path / "encoder.onnx")
    audio = f"embedding(model='{file}')"
    text = f'audio: "{audio}"\nfusion: audio_only\nbatch_size: 4\nclassifier: lda(pca=4)\n'
    (tmp_path / "heard.yaml").write_text(text)
    (tmp_path / "other.yaml").write_text(text.replace("')", "', output='mean')"))
    members = f"--ensemble={tmp_path / 'heard.yaml'},{tmp_path / 'other.yaml'}"
    run = tmp_path / "both"
    assert train_main(["--records", str(records), "--run", str(run), members, *SPLIT]) == 0
    folds = tmp_path / "folds"
    where = ["--records", str(records), "--run", str(folds), "--protocol=group_kfold:2"]
    words = [*where, "--seeds=1", f"--audio={audio}", HEARD, LDA, "--batch_size=4"]
    assert crossval_main(words) == 0
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    size = file.stat().st_size / 1e6
    file.unlink()
    assert report_main(["--run", str(folds), "--out", str(tmp_path / "report.html")]) == 0
    card = (folds / "MODEL_CARD.md").read_text()
    assert f"parameters and an ONNX encoder of {size:.1f} MB (SHA-256 {digest})." in card
    assert evaluate_main(["--run", str(run)]) == 0
    assert len(read_csv(run / "predictions.csv")) == 6
    assert export.main(["--run", str(run), "--out", str(tmp_path / "out")]) == 1
    assert "runs in ONNX Runtime" in capsys.readouterr().err
