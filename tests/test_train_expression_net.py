"""The script that trains the expression net: resumable, and its file fits the face branch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_images import draw
from face_nets import branch
from places import ROOT

pytestmark = pytest.mark.slow
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def run(*words: object) -> str:
    script = [sys.executable, str(ROOT / "scripts" / "train_expression_net.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*script, *map(str, words)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_train_go_on_and_evaluate(tmp_path: Path) -> None:
    for part, count in (("train", 20), ("validation", 3), ("test", 4)):
        for number, emotion in enumerate(EMOTIONS):
            draw(tmp_path / "images" / part / emotion, count, low=30 * number, high=30 * number + 9)
    flags = ["--blocks=8,8", "--precision=float32"]
    where = [tmp_path / "images", tmp_path / "out", *flags]
    run(*where, "--epochs=1")
    assert "epoch" not in run(*where, "--epochs=1")  # it was done
    run(*where, "--epochs=2")
    lines = [json.loads(line) for line in (tmp_path / "out" / "log.txt").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert all(0 <= line["validation_accuracy"] <= 1 for line in lines)
    said = run(*where, "--evaluate")
    assert "over 28 images" in said
    assert all(name in said for name in ("fearful", "surprised", "mirrored", "half precision"))
    accuracy = float(said.partition("accuracy ")[2].split()[0])

    weights = tmp_path / "out" / "ema.keras"
    model = branch(f"expression_net(blocks=(8, 8), weights='{weights}')", pixels=48)
    files = [f for e in EMOTIONS for f in sorted((tmp_path / "images" / "test" / e).iterdir())]
    faces = np.stack([cv2.imread(str(f), cv2.IMREAD_GRAYSCALE) for f in files])[None, ..., None]
    scores = np.asarray(model({"faces": faces, "face_mask": np.ones((1, 28), np.float32)})[0][0])
    right = scores[:, 8:].argmax(axis=1) == np.repeat(np.arange(7), 4)
    assert right.mean() == pytest.approx(accuracy, abs=1e-4)
