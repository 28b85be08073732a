"""crosscorpus: pairs trained, tested, killed, resumed, reported; scores against scikit-learn."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import two_corpora
from sklearn.metrics import balanced_accuracy_score

from emorec_tf import report, ship
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.crosscorpus import main
from emorec_tf.errors import UserError
from emorec_tf.evaluation import crosscorpus_files as files
from emorec_tf.evaluation import crosscorpus_plan, crossval_results, run_card
from emorec_tf.evaluation.corpus_tables import CELLS
from emorec_tf.inference import corpus_matrix
from emorec_tf.records import joining, records_dir
from emorec_tf.storage.files import read_csv
from emorec_tf.training import run_dir

pytestmark = pytest.mark.slow


def command(records: str, folder: Path, *more: str) -> list[str]:
    return ["--records", records, "--run", str(folder), *two_corpora.FLAGS, *more]


@pytest.fixture(scope="module")
def records(features: FeaturesConfig, tmp_path_factory: pytest.TempPathFactory) -> str:
    return two_corpora.make(tmp_path_factory.mktemp("corpora"), features)


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@pytest.fixture(scope="module")
def finished(records: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, lines = tmp_path_factory.mktemp("matrix") / "matrix", Lines()
    package = logging.getLogger("emorec_tf")
    package.addHandler(lines)
    try:
        assert main(command(records, folder)) == 0
    finally:
        package.removeHandler(lines)
    said = [line for line in lines.said if " -> " in line]
    assert said == [
        "english -> german 1/4",
        "german -> english 2/4",
        "english -> english 3/4",
        "german -> german 4/4",
    ]
    return folder


def cell(folder: Path, train: str, test: str) -> dict:
    cells = files.read(folder)["cells"]
    return next(c for c in cells if (c["train"], c["test"]) == (train, test))


def test_every_pair_is_scored_over_the_classes_of_both(finished: Path):
    matrix = files.read(finished)
    assert matrix["rows"] == matrix["columns"] == ["english", "german"]
    assert len(matrix["cells"]) == 4
    own = {"english": two_corpora.ENGLISH, "german": two_corpora.GERMAN}
    for found in matrix["cells"]:
        same = found["train"] == found["test"]
        kept = own[found["test"]] if same else two_corpora.BOTH
        assert found["within"] is same
        assert found["classes"] == list(kept)
        table = read_csv(files.predictions_file(finished, found["train"], found["test"]))
        assert {row["speaker"].split("/")[0] for row in table} == {found["test"]}
        rows = [row for row in table if row["label"] in kept]
        assert len(rows) == found["n"] == len({row["clip_id"] for row in rows})
        shares = np.array([[float(row[name]) for name in kept] for row in rows])
        guess = [kept[column] for column in shares.argmax(1)]
        labels = [row["label"] for row in rows]
        assert found["uar"] == pytest.approx(balanced_accuracy_score(labels, guess))
        assert found["chance_uar"] == pytest.approx(1 / len(kept))
    for name in own:
        (elsewhere,) = (c["uar"] for c in matrix["cells"] if c["train"] == name and not c["within"])
        assert matrix["means"][name] == pytest.approx(elsewhere)
    table = read_csv(finished / "matrix.csv")
    assert [float(row["uar"]) for row in table] == [c["uar"] for c in matrix["cells"]]
    assert matplotlib.image.imread(finished / "matrix.png").std() > 0.01


def test_runs_know_their_own_corpus_alone(finished: Path):
    folders = sorted(path.parent for path in (finished / "rows").rglob("run.json"))
    assert len(folders) == 2 + 2 + 2  # two whole corpora, two folds in each
    for folder in folders:
        run, corpus = run_dir.load(folder), folder.relative_to(finished / "rows").parts[0]
        known = [*run.split.train, *run.split.validation]
        assert {name.split("/")[0] for name in known} == {corpus}
        assert not set(run.split.test) & set(known)
        assert run.classes == getattr(two_corpora, corpus.upper())
    inside = crossval_results.read(finished / "rows" / "german" / "within")
    assert inside.mode == "unseen"
    assert sorted(set(inside.speakers)) == ["german/1", "german/2"]
    assert all(run_dir.load(f).split.validation_clips for f in folders if "german/within" in str(f))


def test_a_finished_matrix_is_left_alone(finished: Path, records: str, capsys):
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*.keras")}
    text = (finished / "matrix.json").read_text()
    assert main(command(records, finished)) == 0
    assert {p: p.stat().st_mtime_ns for p in finished.rglob("*.keras")} == before
    assert (finished / "matrix.json").read_text() == text
    out = capsys.readouterr().out
    assert "trained on english, tested on german: 16 clips, 2 speakers, accuracy" in out
    assert " -> " not in out, "nothing is computed again"
    assert "mean elsewhere" in out


def test_a_killed_matrix_resumes_and_equals_the_undisturbed_one(
    finished: Path, records: str, tmp_path: Path
):
    folder = tmp_path / "matrix"
    words = command(records, folder)
    process = subprocess.Popen(
        [sys.executable, "-m", "emorec_tf.crosscorpus", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    first, second = (files.run_folder(folder, name, "", 0) for name in ("english", "german"))
    while not (second / "run.json").exists() and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not files.scored_on(second, "english").exists(), "killed too late to test anything"
    before = (first / "best.keras").stat().st_mtime_ns
    assert len(files.read(folder)["cells"]) == 1
    assert main(words) == 0
    assert (first / "best.keras").stat().st_mtime_ns == before
    for name in ("matrix.csv", "matrix.json"):
        assert (folder / name).read_text() == (finished / name).read_text()


def test_wrong_calls_are_refused_in_one_line(finished: Path, records: str, tmp_path: Path, capsys):
    first, second = records.split(",")
    before = {p: p.read_bytes() for p in finished.rglob("*.json")}
    out = tmp_path / "out"
    for words, said in (
        (command(first, out), "hold one corpus, folder; give several folders joined by commas"),
        (command(records, finished, "--learning_rate=0.1"), "learning_rate was 0.003, is 0.1"),
        (command(records, finished, "--folds=4"), "(other folds)"),
        (command(records, out, "--folds=1"), "folds is 1; it must be at least 2"),
        (command(records, out, "--classes=happy,angry"), "shares fewer than two emotions"),
        (command(records, out, "--target=valence"), "target is 'valence'; it must be emotion"),
        (command(records, out, "--batch_size=500"), "batch_size 500 is more than"),
        (["--run", str(out)], "crosscorpus needs --records"),
        (["--records", records, "--models", "ravdess-odio"], "did you mean"),
        (
            ["--records", records, "--models", "ravdess-av-enrolled", "--run", str(out)],
            "ravdess-av-enrolled adapts to speakers by their clips, for which the records need",
        ),
        (["--records", f"{first},{second}x"], "do not exist"),
    ):
        assert main(words) == 1, words
        error = capsys.readouterr().err.strip()
        assert len(error.splitlines()) == 1
        assert said in error
    assert not out.exists()
    assert {p: p.read_bytes() for p in finished.rglob("*.json")} == before


def test_all_others_leaves_one_corpus_out(records: str, features: FeaturesConfig, tmp_path: Path):
    """Planned alone: three corpora, of which each is tested by a run on the other two."""
    import made_records

    made_records.make(tmp_path / "polish", dataclasses.replace(features, face_frames=0),
                      lambda clip: (), prefix="p", emotions=("sad", "angry"), seed=2)  # fmt: skip
    given = {"records": f"{records},{tmp_path / 'polish'}", "fusion": "audio_only"}
    from emorec_tf.training import experiment

    settings, opened = experiment.resolve(given)
    planned = crosscorpus_plan.plan(settings, opened, 2)
    others = [t for t in planned.trainings if t.row == files.ALL_OTHERS]
    assert [t.held_out for t in others] == ["english", "german", "polish"]
    for training in others:
        (fold,) = training.whole.folds
        made = training.whole.experiment(fold, 0)
        assert {c.speaker.split("/")[0] for c in made.subsets["test"]} == {training.held_out}
        left = {c.speaker.split("/")[0] for c in made.train_and_validation}
        assert left == {"english", "german", "polish"} - {training.held_out}
        assert training.held_out not in str(made.settings.data.train_speakers)
    classes = [t.whole.settings.data.classes for t in others]
    assert classes == ["neutral,sad,angry", "neutral,happy,sad,angry", "neutral,happy,sad,angry"]
    rows = {t.row: t for t in planned.trainings if not t.held_out}
    assert rows["polish"].tested == ("german",), "english shares sad alone"


def test_equal_audio_in_two_corpora_is_a_leak(records: str, tmp_path: Path):
    first, second = records.split(",")
    copy = shutil.copytree(second, tmp_path / "german")
    report_file = copy / records_dir.REPORT
    hashes = [records_dir.open_records(f).audio_hashes for f in (first, second)]
    some = [next(iter(h.values())) for h in hashes]
    report_file.write_text(report_file.read_text().replace(some[1], some[0]))
    with pytest.raises(UserError, match="leak: fold of this run: the same audio under two names"):
        corpus_matrix.crosscorpus(
            {"fusion": "audio_only"}, records=f"{first},{copy}", run=tmp_path / "out"
        )
    assert not (tmp_path / "out").exists()


def test_trained_models_are_rows(finished: Path, records: str, tmp_path: Path, capsys):
    model = shutil.copytree(files.run_folder(finished, "english", "", 0), tmp_path / "mine")
    folder = tmp_path / "models"
    words = ["--records", records, "--models", str(model), "--run", str(folder)]
    assert main(words) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    assert "mine was trained on all speakers of english: no score" in out
    assert "mine -> german 2/2" in out
    assert "mine (trained on english), tested on german: 16 clips" in out
    found, trained = cell(folder, "mine", "german"), cell(finished, "english", "german")
    differ = {key for key in found if found[key] != trained[key]}
    assert differ == {"train", "kind"}
    assert len(files.read(folder)["cells"]) == 1


def test_clips_are_decoded_again_for_other_features(demo_run: Path, demo_records: Path):
    opened = joining.open_all(demo_records)
    by_arrays = corpus_matrix.model_row(str(demo_run), opened)
    changed = dataclasses.replace(opened.features, trim_db=60.0)
    manifest = {**opened.manifest, "features": dataclasses.asdict(changed)}
    by_files = corpus_matrix.model_row(
        str(demo_run), dataclasses.replace(opened, manifest=manifest)
    )
    clips = [clip for clip in opened.clips if clip.speaker == "actor04"]
    shares, ordered = by_arrays.answers(clips)
    again, same = by_files.answers(ordered)
    assert same == ordered
    np.testing.assert_allclose(again, shares, atol=5e-3)


def test_the_matrix_on_the_report_page(finished: Path, tmp_path: Path):
    alone, both = tmp_path / "alone.html", tmp_path / "both.html"
    matrix = ["--crosscorpus", str(finished)]
    assert report.main([*matrix, "--out", str(alone)]) == 0
    text = alone.read_text()
    assert "Emotion recognition on english, german" in text
    assert "Across corpora" in text
    within = finished / "rows" / "english" / "within"
    assert report.main(["--run", str(within), *matrix, "--out", str(both)]) == 0
    assert "Across corpora" in both.read_text()
    written = tmp_path / "both_files" / "matrix" / "matrix.csv"
    assert [r["uar"] for r in read_csv(written)] == [
        r["uar"] for r in read_csv(finished / "matrix.csv")
    ]
    assert report.main(["--crosscorpus", str(tmp_path), "--out", str(both)]) == 1


def test_the_row_of_a_model_in_its_card(finished: Path, tmp_path: Path, capsys):
    run = shutil.copytree(files.run_folder(finished, "english", "", 0), tmp_path / "english")
    where = ["--run", str(run), "--crosscorpus", str(finished)]
    out = tmp_path / "shipped"
    assert ship.main([*where, "--out", str(out)]) == 0
    card = (out / run_card.CARD).read_text()
    before, _, section = card.partition("## On other corpora\n")
    assert before.startswith("# shipped\n")
    assert CELLS in section
    assert (
        f"| german | 16 (2) | {100 * cell(finished, 'english', 'german')['uar']:.1f} %" in section
    )
    assert section.index("| german |") < section.index("## Limits of use")
    facts = json.loads((run / "run.json").read_text())
    facts["source"]["dataset"] = "polish"
    (run / "run.json").write_text(json.dumps(facts))
    assert ship.main([*where, "--out", str(tmp_path / "none")]) == 1
    assert "has no row for a model of polish; it has english, german" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
