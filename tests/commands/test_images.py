"""Corpora of images in every command: no detection, the corpus's own split, an honest report."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_images import draw

from emorec_tf.config.config import FeaturesConfig
from emorec_tf.crossval import main as crossval_main
from emorec_tf.datasets.corpora import clips
from emorec_tf.evaluate import main as evaluate_main
from emorec_tf.features import examples, face_detection
from emorec_tf.prepare import main as prepare_main
from emorec_tf.records import records_dir
from emorec_tf.report import main as report_main
from emorec_tf.train import main as train_main
from emorec_tf.training import run_dir

FEATURES = ["--clip_seconds=0.2", "--face_frames=1", "--face_margin=0.2", "--workers=1"]
TRAIN = ["--fusion=face_only", "--face=expression_net(blocks=(8, 8))", "--batch_size=8"]
TRAIN += ["--epochs=1", "--learning_rate=0.01"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for part, count in (("train", 12), ("validation", 5), ("test", 6)):
        for emotion, low in (("happy", 0), ("sad", 150)):
            draw(folder / part / emotion, count, low=low, high=low + 100)
    return folder


@pytest.fixture(scope="module")
def records(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images") / "records"
    where = ["--dataset=fer2013", f"--source={source}", f"--records={folder}"]
    assert prepare_main([*where, *FEATURES]) == 0
    return folder


def test_the_whole_image_is_the_crop(
    source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def never(_: str | None) -> face_detection.Detector:
        raise AssertionError("a detector was loaded")

    monkeypatch.setitem(face_detection.FACE_DETECTORS, "mediapipe", never)
    features = FeaturesConfig(clip_seconds=0.1, face_frames=1, face_margin=0.2)
    make = examples.maker(features)
    smooth = cv2.resize(
        np.array([[0, 90], [170, 255]], np.uint8), (48, 48), interpolation=cv2.INTER_LINEAR
    )
    (tmp_path / "train" / "sad").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "train" / "sad" / "smooth.png"), smooth)
    (clip,) = clips("face_folder", str(tmp_path))
    example, seen = make(clip)
    assert (seen.faces_found, seen.frames, seen.audio_present) == (1, 1, False)
    # It is kept as JPEG of quality 95, as every frame of a video is.
    apart = np.abs(example["faces"][0, ..., 0].astype(int) - smooth)
    assert apart.mean() < 1
    assert apart.max() <= 6


def test_every_image_has_its_face(records: Path) -> None:
    opened = records_dir.open_records(records)
    assert len(opened.clips) == 46
    assert set(opened.modalities.values()) == {frozenset({"face"})}
    assert "people are not identified" in opened.manifest["label_meaning"]


@pytest.mark.slow
def test_train_uses_the_own_split_and_says_so(
    records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert train_main(["--records", str(records), "--run", str(folder), *TRAIN]) == 0
    assert "people are not identified" in capsys.readouterr().out
    split = run_dir.load(folder).split
    assert (split.train, split.validation, split.test) == (("train",), ("validation",), ("test",))
    assert evaluate_main(["--run", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "people not identified" in said
    assert "speaker-independent" not in said
    assert "people not identified, official test part" in " ".join(said.split())
    assert "speakers test" not in said
    assert "one speaker" not in said
    assert json.loads((folder / "metrics.json").read_text())["n"] == 12


@pytest.mark.slow
def test_crossval_by_the_official_protocol(
    records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "cv"
    where = ["--records", str(records), "--run", str(folder), "--seeds=1"]
    official = [*where, "--protocol=fer2013/official", *TRAIN]
    assert crossval_main(official) == 1
    assert "46 of the 35887 clips" in capsys.readouterr().err
    assert crossval_main([*official, "--allow_partial"]) == 0
    facts = json.loads((folder / "crossval.json").read_text())
    assert any("people are not identified" in note for note in facts["notes"])
    assert json.loads((folder / "metrics.json").read_text())["n"] == 12
    assert report_main(["--run", str(folder), "--out", str(tmp_path / "report.html")]) == 0
    card = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "people not identified" in card.lower()
    assert "speaker-independent" not in card
    assert "12 clips of the official test part, all evaluated" in card
    assert "12 clips of the official test part, 12" in (tmp_path / "report.html").read_text()
    assert "one speaker" not in card


def test_enrolment_has_no_meaning(records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train_main(["--records", str(records), "--run=nowhere", "--enrol=2", *TRAIN]) == 1
    assert "it must be none where people are not identified" in capsys.readouterr().err
    assert not Path("nowhere").exists()
