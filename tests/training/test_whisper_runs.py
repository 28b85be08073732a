"""Runs on a frozen Whisper: classical heads, cached tokens, and no weights file afterwards."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import whisper_made
from conftest import DETECTOR

from emorec_tf.config import choices
from emorec_tf.evaluate import main as evaluate_main
from emorec_tf.predict import main as predict_main
from emorec_tf.prepare import main as prepare_main
from emorec_tf.storage.files import read_csv
from emorec_tf.train import main as train_main
from emorec_tf.training import run_dir, token_cache

pytestmark = pytest.mark.slow

SPLIT = ["--test_speakers=actor04", "--validation_speakers=actor03", "--batch_size=4"]
FROZEN = ["--augment=false", "--epochs=2"]


@pytest.fixture(scope="module")
def records(demo_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whisper") / "records"
    wanted = choices.facts("audio", "whisper").features
    flags = [f"--{name}={value}" for name, value in wanted.items()]
    flags += ["--clip_seconds=1.5", "--face_frames=2", "--face_pixels=24"]
    where = ["--source", str(demo_clips), "--records", str(folder), "--workers=2"]
    assert prepare_main(["--dataset=demo", *where, *flags, f"--face_detector={DETECTOR}"]) == 0
    return folder


def trained(records: Path, run: Path, arguments: str, *flags: str) -> Path:
    """Train with weights that are gone afterwards."""
    weights = whisper_made.openai(whisper_made.encoder(), run.with_suffix(".pt"))
    audio = f"--audio=whisper(size='test', weights='{weights}'{arguments})"
    where = ["--records", str(records), "--run", str(run), "--fusion=audio_only", audio]
    try:
        assert train_main([*where, *SPLIT, *flags]) == 0
    finally:
        weights.unlink()
    return run


@pytest.mark.parametrize(
    ("arguments", "flags"),
    [
        (", layers='concat'", ["--classifier=lda(shrinkage=0.5, pca=8)", "--refit"]),
        ("", FROZEN),
        (", layers='all', pool='attention'", ["--epochs=1"]),
        ("", [*FROZEN, "--enrol=2"]),
    ],
)
def test_evaluate_and_predict_agree(
    arguments, flags, records: Path, demo_clips: Path, tmp_path: Path, capsys
):
    run = trained(records, tmp_path / "run", arguments, *flags)
    assert evaluate_main(["--run", str(run)]) == 0
    row = read_csv(run / "predictions.csv")[0]
    (clip,) = demo_clips.glob(f"{row['clip_id']}.mp4")
    words = [str(clip), "--run", str(run), "--json"]
    if any("enrol" in flag for flag in flags):
        scored = {Path(r["clip_id"]).name for r in read_csv(run / "predictions.csv")}
        own = [p for p in demo_clips.rglob("actor04_*.mp4") if p.stem not in scored]
        assert len(own) == 2
        (tmp_path / "own").mkdir()
        for path in own:
            shutil.copy(path, tmp_path / "own")
        words += ["--enrol", str(tmp_path / "own")]
    capsys.readouterr()
    assert predict_main(words) == 0
    found = json.loads(capsys.readouterr().out)["probabilities"]
    for name, share in found.items():
        assert share == pytest.approx(float(row[name]), abs=2e-3)


def test_cached_tokens_give_the_same_run(records: Path, tmp_path: Path, monkeypatch):
    cached = trained(records, tmp_path / "cached", "", *FROZEN)
    monkeypatch.setattr(token_cache, "is_possible", lambda _: False)
    plain = trained(records, tmp_path / "plain", "", *FROZEN)
    losses = [[float(row["loss"]) for row in read_csv(r / "history.csv")] for r in (cached, plain)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    model = run_dir.load_model(cached / "best.keras")
    assert not model.get_layer("audio_branch").trainable_weights


def test_what_nothing_trains_is_refused_under_a_classical_head(
    records: Path, tmp_path: Path, capsys
):
    with pytest.raises(AssertionError):
        trained(records, tmp_path / "run", ", trainable=1", "--classifier=lda")
    assert "no config of it trains this run's audio_branch" in capsys.readouterr().err
