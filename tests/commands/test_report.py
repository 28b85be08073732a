"""report: a self-contained page, on made-up runs, with scores against scikit-learn."""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import yaml
from invented_runs import CLASSES, CONDITIONS, invent
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, recall_score

from emorec_tf import report
from emorec_tf.errors import UserError
from emorec_tf.evaluation.crossval_results import joined, read
from emorec_tf.evaluation.report import report_page
from emorec_tf.evaluation.report.published_results import PUBLISHED, compared
from emorec_tf.evaluation.run_metrics import run_metrics
from emorec_tf.storage.files import read_csv, rows_to_csv

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Collects text by element, and complains about tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.tags, self.links, self.ids = (list[str]() for _ in range(4))
        self.cards: list[str] = []  # text of each table and plot
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for key, value in attrs:
            if key in {"href", "src", "action", "data"}:
                self.links.append(value)
            if key == "id":
                self.ids.append(value)
        if tag not in VOID:
            self.open.append(tag)
        if tag in {"table", "figure"}:
            self.cards.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"table", "figure"} & set(self.open):
            self.cards[-1] += data


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    invent(folder / "good", 2.5, draw=1)
    invent(folder / "poor", 1.0, draw=2)
    invent(folder / "leak", 4.0, draw=3, leaky=True)
    return folder


@pytest.fixture(scope="module")
def written(runs) -> Path:
    """A report on two runs, written without TensorFlow, Keras or network access."""
    out = runs / "pages" / "report.html"
    code = (
        "import socket, sys\n"
        "socket.socket.connect = None\n"
        "sys.modules.update(dict.fromkeys(('tensorflow', 'keras', 'mediapipe', 'cv2')))\n"
        "from emorec_tf.report import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    words = ["--run", *(str(runs / n) for n in ("good", "leak")), "--out", str(out)]
    done = subprocess.run([sys.executable, "-W", "error", "-c", code, *words], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().count("MODEL_CARD.md") == 2
    return out


def test_the_page_is_self_contained(written):
    page = Page(written.read_text())
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert "@import" not in written.read_text()
    assert "url(h" not in written.read_text()
    inside = [link for link in page.links if not link.startswith("#")]
    assert inside
    assert [link for link in inside if not (written.parent / link).is_file()] == []
    assert {link[1:] for link in page.links if link.startswith("#run")} <= set(page.ids)


def test_every_plot_and_table_is_written_beside_the_page(written):
    folder = written.with_name("report_files")
    for run in ("good", "leak"):
        plots = sorted(p.stem for p in (folder / run).glob("*.png"))
        assert plots == [
            "confusion", "reliability", "risk_coverage", "robustness", "speakers", "training",
        ]  # fmt: skip
        for name in plots:
            assert matplotlib.image.imread(folder / run / f"{name}.png").std() > 0.01
            assert read_csv(folder / run / f"{name}.csv")
        for path in (folder / run).glob("*.csv"):
            rows = read_csv(path)
            assert {r["leaky"] for r in rows} == {"LEAKY" if run == "leak" else ""}
            assert {r["mode"] for r in rows} == {"known" if run == "leak" else "unseen"}
    assert len(read_csv(folder / "compared.csv")) == 1


def test_only_a_leaky_run_is_marked_on_every_table_and_plot(written):
    text = written.read_text()
    at = [text.index(f'<h2 id="run-{name}"') for name in ("good", "leak")]
    at.append(text.index("<h2>Limits of use"))
    for name, start, end in zip(("good", "leak"), at, at[1:], strict=False):
        cards = Page(text[start:end]).cards
        assert len(cards) == 15
        assert [("LEAKY" in card) for card in cards] == [name == "leak"] * 15
    head = Page(text[text.index("<h2>") : at[0]]).cards
    assert all("LEAKY" in card for card in head)  # both compare with the leaky run


def test_text_from_files_is_escaped(tmp_path):
    sly = invent(tmp_path / "sly", only=(0,), notes=["<script>alert(1)</script>"], seeds=(0,))
    report_page.write(joined([read(sly)]), tmp_path / "r.html")
    page = Page((tmp_path / "r.html").read_text())
    assert "script" not in page.tags
    page = (tmp_path / "r.html").read_text()
    assert "UNFINISHED" in page
    assert '<span class="badge">PARTIAL</span> ' in page
    assert "PARTIAL: " in page.partition("Published systems on")[2]


def test_scores_equal_scikit_learn(runs):
    rows = read_csv(runs / "good" / "predictions.csv")
    truth = [row["label"] for row in rows]
    answers = [max(CLASSES, key=lambda c: float(row[c])) for row in rows]
    found = run_metrics(read(runs / "good"), {})
    scores = found["scores"]
    assert scores["uar"] == pytest.approx(balanced_accuracy_score(truth, answers))
    assert scores["war"] == pytest.approx(accuracy_score(truth, answers))
    assert scores["macro_f1"] == pytest.approx(f1_score(truth, answers, average="macro"))
    recalls = recall_score(truth, answers, labels=list(CLASSES), average=None)
    assert [row["recall"] for row in found["recalls"]] == pytest.approx(recalls.tolist())
    assert (scores["n"], scores["speakers"]) == (360, 12)
    per_seed = [
        balanced_accuracy_score(
            [t for t, r in zip(truth, rows, strict=True) if r["seed"] == seed],
            [a for a, r in zip(answers, rows, strict=True) if r["seed"] == seed],
        )
        for seed in ("0", "1")
    ]
    assert [row["uar"] for row in found["seeds"]] == pytest.approx(per_seed)
    assert scores["uar"] == pytest.approx(np.mean(per_seed))
    wrong = 1 - scores["war"]
    assert found["risk"][0] == {"coverage": 1.0, "error": pytest.approx(wrong)}
    coverage = {row["clips that have"]: row["clips"] for row in found["coverage"]}
    assert coverage == {
        "all clips": 360, "voice and face": 353, "voice, no face": 7, "face, no voice": 0,
        "neither": 0,
    }  # fmt: skip


def test_robustness_is_the_mean_of_the_folds(runs):
    rows = read_csv(runs / "good" / "robustness.csv")
    found = {row["condition"]: row for row in run_metrics(read(runs / "good"), {})["robustness"]}
    assert tuple(found) == CONDITIONS
    means = {
        c: np.mean([float(row["uar"]) for row in rows if row["condition"] == c]) for c in CONDITIONS
    }
    for condition, row in found.items():
        assert row["uar"] == pytest.approx(means[condition])
        assert row["change"] == pytest.approx(means[condition] - means["clean"])


def test_parts_of_one_run_are_joined(tmp_path):
    whole = invent(tmp_path / "whole")
    parts = [invent(tmp_path / f"part{n}", only=only) for n, only in enumerate([(0, 2), (1,)])]
    (one,) = joined([read(part) for part in parts])
    assert one.folders == tuple(parts)
    assert one.missing == []
    ours, theirs = run_metrics(one, {}), run_metrics(read(whole), {})
    for name in ("scores", "seeds", "folds", "speakers", "coverage"):
        assert ours[name] == theirs[name]
    assert len(one.histories) == len(one.temperatures) == 6
    assert len(one.robustness) == 6 * len(CONDITIONS)
    assert [run.name for run in joined([read(whole), one])] == ["whole", "part0"]
    other = invent(tmp_path / "other" / "whole", only=(0,), protocol_stamp="ffffffff")
    assert [run.name for run in joined([read(whole), read(other)])] == ["whole", "whole-2"]


def test_runs_are_compared_only_where_they_can_be(runs, tmp_path):
    few = invent(tmp_path / "few", only=(0,), protocol_stamp="00000000")
    good, poor, leak = (read(runs / name) for name in ("good", "poor", "leak"))
    assert [row.cells[-1] for row in compared([good, poor]).rows] == ["the first is better"]
    rows = compared([good, leak, read(few)]).rows
    assert [row.cells[:2] for row in rows] == [("good", "leak"), ("good", "few"), ("leak", "few")]
    assert "protocols differ" in rows[0].cells[-1]
    assert "predict different clips" in rows[1].cells[-1]
    assert [row.leaky for row in rows] == [(1,), (), (0,)]
    assert compared([good]) is None


def test_published_systems_name_their_protocol():
    known = yaml.safe_load(PUBLISHED.read_text())
    keys = {"system", "modality", "metric", "value", "protocol", "unseen", "quoted", "caveat"}
    for lines in known.values():
        for line in lines:
            assert set(line) == keys
            assert 0 < line["value"] < 100
            assert line["protocol"]
            assert line["unseen"] in {"yes", "no", "unknown"}


def edit_facts(run: Path, **changes) -> None:
    facts = json.loads((run / "crossval.json").read_text())
    (run / "crossval.json").write_text(json.dumps(facts | changes))


def edit_line(run: Path, name: str, **changes) -> None:
    rows = read_csv(run / name)
    rows[1] |= changes
    (run / name).write_text(rows_to_csv(rows))


def cut(run: Path) -> None:
    whole = (run / "predictions.csv").read_text()
    (run / "predictions.csv").write_text(whole[: len(whole) // 2 - 20])


DAMAGE = {
    "no folds": (lambda r: edit_facts(r, folds=[]), "crossval.json is damaged"),
    "facts cut": (lambda r: (r / "crossval.json").write_text("{"), "crossval.json is damaged"),
    "no answers": (lambda r: (r / "predictions.csv").unlink(), "cannot read"),
    "answers cut": (cut, "predictions.csv is"),
    "no shares": (lambda r: edit_line(r, "predictions.csv", calm="0.9"), "line 3: probabilities"),
    "not finite": (lambda r: edit_line(r, "predictions.csv", calm="nan"), "line 3: probabilities"),
    "label": (lambda r: edit_line(r, "predictions.csv", label="joy"), "'joy' is no class"),
    "fold": (lambda r: edit_line(r, "predictions.csv", fold="9"), "knows no fold '9'"),
    "known speaker": (lambda r: edit_line(r, "predictions.csv", fold="2"), "worthless"),
    "table": (lambda r: edit_line(r, "robustness.csv", uar="much"), "robustness.csv is damaged"),
    "gone": (lambda r: (r / "crossval.json").unlink(), "no cross-validated run"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_files_are_reported_in_one_line(name, tmp_path, capsys):
    damage, words = DAMAGE[name]
    run = invent(tmp_path / "cv", seeds=(0,), speakers=6)
    damage(run)
    assert report.main(["--run", str(run), "--out", str(tmp_path / "r.html")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "needs --run"),
        (["--run", "cv", "--out", "page.pdf"], "must end in .html"),
        (["--run", "cv", "cv"], "names a folder twice"),
        (["--run", "cv1"], "did you mean 'cv'?"),
        (["--run", "cv", "--records", "nowhere"], "--records FOLDER"),
        (["--run", "cv", "--out", "folder.html"], "is a folder"),
    ],
)
def test_wrong_flags_are_reported_in_one_line(flags, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    invent(tmp_path / "cv", seeds=(0,), speakers=6)
    (tmp_path / "folder.html").mkdir()
    assert report.main(flags) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_duplicate_predictions_are_refused(tmp_path):
    run = invent(tmp_path / "cv", seeds=(0,), speakers=6)
    rows = read_csv(run / "predictions.csv")
    (run / "predictions.csv").write_text(rows_to_csv([*rows, rows[0]]))
    with pytest.raises(UserError, match="answered twice"):
        read(run)
