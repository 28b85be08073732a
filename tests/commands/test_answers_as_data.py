"""Answers of a packaged model as files, data frames and arrays: all equal to predict's."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import soundfile
from made_videos import AUDIO_HZ, taken_apart
from places import ROOT

import emorec_tf
from emorec_tf.errors import UserError
from emorec_tf.inference import media_answer
from emorec_tf.inference.answers import MediaAnswer
from emorec_tf.inputs import main as inputs_main
from emorec_tf.predict import main as predict_main

MODEL = "ravdess-av"


@pytest.fixture(scope="module")
def model() -> emorec_tf.Model:
    return emorec_tf.load(MODEL)


@pytest.fixture(scope="module")
def videos(demo_clips: Path) -> list[str]:
    return sorted(map(str, (demo_clips / "clips").glob("actor04_*.mp4")))[:2]


def test_files_hold_what_json_prints(
    videos: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video")
    flags = ["--run", MODEL, "--classes", "sad, happy"]
    out = tmp_path / "answers.csv"
    assert predict_main([*flags, "--out", str(out), *videos, str(broken)]) == 1
    assert f"written: {out}" in capsys.readouterr().out.splitlines()
    assert predict_main([*flags, "--json", "--out", str(tmp_path / "a.jsonl"), *videos]) == 0
    printed, errors = capsys.readouterr()
    lines = [line for line in printed.splitlines() if line.startswith("{")]
    assert (tmp_path / "a.jsonl").read_text().splitlines() == lines
    assert "predicting" not in errors  # no bar where there is no terminal
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(lines) == 2
    for row, answer in zip(rows, map(json.loads, lines), strict=True):
        assert (row["clip"], row["emotion"]) == (answer["clip"], answer["emotion"])
        assert {name: float(row[name]) for name in ("happy", "sad")} == answer["probabilities"]


def test_ctrl_c_keeps_what_was_answered(
    videos: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer = media_answer.answer_media

    def interrupted(model: Any, path: str, settings: Any) -> MediaAnswer:
        if path == videos[1]:
            signal.raise_signal(signal.SIGINT)
        return answer(model, path, settings)

    monkeypatch.setattr(media_answer, "answer_media", interrupted)
    out = tmp_path / "answers.jsonl"
    assert predict_main(["--run", MODEL, "--out", str(out), *videos]) == 130
    (line,) = out.read_text().splitlines()
    assert json.loads(line)["clip"] == videos[0]
    assert f"1 of 2 clips were answered, they are in {out}" in capsys.readouterr().err


def test_some_classes_share_what_they_had(model: emorec_tf.Model, videos: list[str]) -> None:
    every = model.predict_clip(videos[0])["probabilities"]
    frame = emorec_tf.predict(videos[0], model, classes=["sad", "happy"])
    together = every["happy"] + every["sad"]
    # probabilities are rounded to six places
    assert frame.happy[0] == pytest.approx(every["happy"] / together, abs=2e-6 / together)
    assert frame.happy[0] + frame.sad[0] == pytest.approx(1, abs=2e-6)
    assert frame.emotion[0] == max("happy", "sad", key=lambda name: every[name])
    assert "angry" not in frame.columns


def test_a_data_frame_has_a_row_for_each_path_or_array(
    model: emorec_tf.Model, videos: list[str], tmp_path: Path
) -> None:
    images, wave = taken_apart(Path(videos[0]))
    cv2.imwrite(str(tmp_path / "face.png"), images[0][..., ::-1])
    soundfile.write(tmp_path / "voice.wav", wave, AUDIO_HZ, subtype="FLOAT")
    paths = [videos[0], str(tmp_path / "face.png"), str(tmp_path / "voice.wav")]
    items: list[Any] = [Path(paths[0]), *paths[1:], images[0], wave]
    frame = emorec_tf.predict(items, model, sample_rate=AUDIO_HZ)
    assert list(frame["clip"]) == [*paths, "array 3", "array 4"]
    shares = frame[list(model.classes)]
    answer = model.predict_clip(videos[0])
    assert dict(shares.iloc[0]) == answer["probabilities"]
    assert frame.confidence[0] == max(answer["probabilities"].values())
    np.testing.assert_allclose(shares.iloc[3], shares.iloc[1], atol=1e-5)
    assert frame.audio_present.tolist() == [True, False, True, False, True]
    if pd.isna(frame.speech[2]):  # a made voice may not pass for speech
        np.testing.assert_allclose(shares.iloc[4], shares.iloc[2], atol=1e-4)
    assert emorec_tf.predict(images[0], model).shape == (1, frame.shape[1])


def test_what_python_cannot_take_is_refused_in_one_line(
    model: emorec_tf.Model, tmp_path: Path
) -> None:
    voice, missing = np.zeros(16000, np.float32), tmp_path / "no.wav"
    for wrong, said in (
        (voice, "give its sample_rate"),
        (np.zeros((4, 4, 3)), "an image is uint8"),
        ([3], "neither a path nor an array"),
        (None, "neither a path nor an array"),
        (missing, "no such file"),
    ):
        with pytest.raises(UserError, match=said) as caught:
            emorec_tf.predict(wrong, model)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="has no class 'hapy'; did you mean 'happy'"):
        emorec_tf.predict(missing, model, classes=["hapy", "sad"])
    with pytest.raises(UserError, match="two or more"):
        emorec_tf.predict(missing, model, classes=["sad"])
    frame = emorec_tf.predict([missing, voice], model, sample_rate=16000, skip_errors=True)
    assert "no such file" in frame.reason[0]
    assert frame.reason[1] == "the audio is silent and no face was found"
    assert frame.emotion.isna().all()


@pytest.mark.slow
def test_snippets_of_the_docs_answer_what_predict_answers(
    model: emorec_tf.Model, videos: list[str], tmp_path: Path
) -> None:
    """LiteRT and ONNX Runtime, in a process without this package, on what ``inputs`` wrote."""
    pytest.importorskip("ai_edge_litert", reason="needs the extra [export]")
    pytest.importorskip("tf2onnx", reason="needs the extra [export]")
    from emorec_tf.export import main as export_main

    place = ["--out", str(tmp_path / "exported")]
    assert export_main(["--run", MODEL, "--format", "litert,onnx", *place]) == 0
    out = str(tmp_path / "clip.npz")
    assert inputs_main([videos[0], "--run", MODEL, "--out", out]) == 0
    answer = model.predict_clip(videos[0])["probabilities"]
    docs = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    snippets = re.findall(r"```python\n(.*?)```", docs, re.DOTALL)[1:3]
    for snippet, runtime in zip(snippets, ("ai_edge_litert", "onnxruntime"), strict=True):
        assert runtime in snippet
        code = f"{snippet}\nimport sys\nassert 'emorec_tf' not in sys.modules"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        found = json.loads(done.stdout.splitlines()[-1].replace("'", '"'))
        assert found == pytest.approx(answer, abs=1e-4), runtime


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a.mp4", "--out", "clip.npy"], "must end in .npz"),
        (["a.mp4", "--out", "nowhere/clip.npz"], "no folder"),
        (["a.mp4", "b.mp4"], "one file"),
        ([], "one file"),
        (["nowhere.mp4"], "no such file"),
    ],
)
def test_wrong_calls_of_inputs_are_one_line(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert inputs_main([*arguments, "--run", MODEL]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert said in line
