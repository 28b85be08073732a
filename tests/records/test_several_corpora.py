"""Several corpora prepared by one command: label map, classes, the table by corpus."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np
import pytest

from emorec_tf.config import config
from emorec_tf.prepare import main
from emorec_tf.records import records_dir
from emorec_tf.training import experiment

SMALL = ["--workers=1", "--cache_gib=0", "--face_frames=0", "--clip_seconds=0.5", "--mel_bands=8"]
EMODB = ("03a01Fa", "03a01Na", "03a01La", "08a02Wa")
TESS = ("OAF_back_happy", "OAF_back_ps", "YAF_back_neutral", "7testYAF_back_sad1")


def write(folder: Path, names: tuple[str, ...]) -> Path:
    """Write half a second of noise under each name."""
    folder.mkdir()
    random = np.random.default_rng(len(folder.name))
    for name in names:
        with wave.open(str(folder / f"{name}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16000)
            file.writeframes(random.integers(-9000, 9000, 8000).astype("<i2").tobytes())
    return folder


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folders of both corpora, joined by a comma."""
    folder = tmp_path_factory.mktemp("corpora")
    return f"{write(folder / 'e', EMODB)},{write(folder / 't', TESS)}"


def test_one_command_prepares_them(
    sources: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "records"
    words = ["--dataset=emodb+tess", f"--source={sources}", f"--records={folder}", *SMALL]
    assert main([*words, "--classes=union", "--label_map=boredom=,calm=neutral"]) == 0
    printed = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "emodb: boredom left out (1 clips)" in printed
    assert "emodb has no sad, surprised; tess has no angry" in printed
    assert "3 clips, 2 speakers, 0.00 hours, 0 refused; neutral 1, happy 1, angry 1" in printed
    tess = "4 clips, 2 speakers, 0.00 hours, 0 refused; neutral 1, happy 1, sad 1, surprised 1"
    assert tess in printed
    records = records_dir.open_records(folder)
    assert records.manifest["dataset"] == "emodb+tess"
    assert records.manifest["label_map"] == "boredom=,calm=neutral"
    assert "channel" not in records.manifest
    assert sorted({c.speaker for c in records.clips}) == [
        "emodb/03",
        "emodb/08",
        "tess/OAF",
        "tess/YAF",
    ]
    settings, _ = experiment.resolve({"records": str(folder)})
    assert settings.data.label_map == "boredom=,calm=neutral", "stored in the run's config"
    assert "label_map: boredom=,calm=neutral" in config.to_yaml(settings)
    given, _ = experiment.resolve({"records": str(folder), "label_map": "surprised="})
    assert given.data.label_map == "surprised="


def test_the_manifest_of_one_corpus_is_as_it_was(sources: str, tmp_path: Path) -> None:
    folder = tmp_path / "records"
    source = sources.partition(",")[0]
    assert main(["--dataset=emodb", f"--source={source}", f"--records={folder}", *SMALL]) == 0
    manifest = json.loads((folder / records_dir.MANIFEST).read_text())
    assert list(manifest) == [
        "format",
        "dataset",
        "stamp",
        "features",
        "plan",
        "licence",
        "label_meaning",
        "label",
        "emorec_tf",
        "shards",
    ]
