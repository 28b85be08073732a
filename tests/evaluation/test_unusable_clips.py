"""Clips that have nothing of what a model uses are left out of a matrix of corpora, and counted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import made_records
import matplotlib.image
import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score
from untrained_runs import on_disk

from emorec_tf import report
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.crosscorpus import main
from emorec_tf.evaluation import corpus_tables
from emorec_tf.evaluation import crosscorpus_files as files
from emorec_tf.evaluation.crosscorpus_files import left_out_line
from emorec_tf.inference import corpus_matrix
from emorec_tf.records import joining
from emorec_tf.storage.files import read_csv
from emorec_tf.training import run_dir

SPEAKERS = [f"{corpus}/{number}" for corpus in ("seen", "heard", "mixed") for number in (1, 2)]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory, features: FeaturesConfig) -> Path:
    """A corpus of videos, one of audio files, and one of which each first take lacks a face."""

    def lacks(clip) -> tuple[str, ...]:
        gone = clip.speaker.startswith("heard/") or (
            "mixed" in clip.speaker and "-0" in clip.clip_id
        )
        return ("face",) if gone else ()

    folder = tmp_path_factory.mktemp("unusable") / "records"
    return made_records.make(folder, features, lacks, SPEAKERS)


@pytest.fixture
def model(tmp_path: Path, features: FeaturesConfig) -> Path:
    """A run that looks at the face alone, of the classes of the records."""
    folder = on_disk(tmp_path / "facial", features, fusion="face_only")
    facts = (folder / "run.json").read_text()
    for old, new in zip("abc", made_records.EMOTIONS, strict=True):
        facts = facts.replace(f'"{old}"', f'"{new}"')
    (folder / "run.json").write_text(facts)
    return folder


def test_clips_without_a_face(records: Path, model: Path, tmp_path: Path, capsys):
    folder = tmp_path / "matrix"
    words = [f"--records={records}", f"--models={model}", f"--run={folder}"]
    for _ in range(2):  # the second call finds all of it done
        assert main(words) == 0, capsys.readouterr().err
        out = " ".join(capsys.readouterr().out.split())
        assert "tested on heard: no score (no clip of 12 has a face)" in out
        assert "tested on mixed: 6 clips, 2 speakers" in out
        assert "6 of 12 clips have no face and are left out" in out
        assert "no face" in out
    matrix = files.read(folder)
    cells = {cell["test"]: cell for cell in matrix["cells"]}
    assert set(cells) == {"seen", "mixed"}
    assert (cells["seen"]["n"], cells["mixed"]["n"], cells["mixed"]["left_out"]) == (12, 6, 6)
    assert "left_out" not in cells["seen"]
    assert matrix["missing"] == [["facial", "heard"]]
    assert matrix["means"]["facial"] == (cells["seen"]["uar"] + cells["mixed"]["uar"]) / 2
    rows = read_csv(files.predictions_file(folder, "facial", "mixed"))
    assert list(rows[0]) == ["clip_id", "speaker", "label", "seed", *made_records.EMOTIONS]
    guesses = [max(made_records.EMOTIONS, key=lambda name: float(row[name])) for row in rows]
    wanted = balanced_accuracy_score([row["label"] for row in rows], guesses)
    assert cells["mixed"]["uar"] == pytest.approx(wanted)
    assert matplotlib.image.imread(folder / "matrix.png").std() > 0.01
    title, head, table = corpus_tables.overview(matrix)
    assert (title[:8], head[:2]) == ("UAR in %", ["trained on", "on seen"])
    assert table[0][0] == "facial (trained on demo)"
    assert table[0][head.index("on heard")] == "no face"
    assert "%" not in str(table), "the title has it"
    page = tmp_path / "report.html"
    assert report.main(["--crosscorpus", str(folder), "--out", str(page)]) == 0
    assert "no clip of 12 has a face" in page.read_text()


def test_probabilities_of_unusable_clips_are_no_numbers(records: Path, model: Path):
    opened = joining.open_all(records)
    row = corpus_matrix.model_row(str(model), opened)
    shares, ordered = row.answers(opened.clips)
    lacking = {clip.clip_id for clip in ordered if "face" not in opened.modalities[clip.clip_id]}
    assert {c.clip_id for c, s in zip(ordered, shares, strict=True) if (s != s).all()} == lacking
    assert run_dir.load(model).modalities == ("face",)
    nothing = SimpleNamespace(probabilities={})
    silent: Any = SimpleNamespace(
        modalities=("face",),
        run=SimpleNamespace(classes=("sad", "happy")),
        answer_clip=lambda path, speech_check: nothing,
    )
    assert np.isnan(corpus_matrix._answer(silent, opened.clips[0])).all(), "of a decoded file"


def test_lines():
    assert left_out_line(1, "audio", 9) == "1 of 9 clips has no audio and is left out"
    assert left_out_line(9, "audio or face", 9) == "no clip of 9 has audio or face"
