"""zoo: the list of everything that can be chosen by name."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from places import ROOT

from emorec_tf import zoo
from emorec_tf.config import choices
from emorec_tf.datasets.corpora import DATASETS
from emorec_tf.features.audio_features import AUDIO_FEATURES
from emorec_tf.features.face_detection import FACE_DETECTORS
from emorec_tf.splits import protocols
from emorec_tf.splits.generic_folds import GENERIC_PROTOCOLS
from emorec_tf.tasks import regression_metrics
from emorec_tf.tasks.metric_names import METRICS
from emorec_tf.tasks.tasks import Classification

SHIPPED = sorted(path.parent.name for path in ROOT.glob("saved_models/*/SHA256SUMS"))


def names() -> list[str]:
    branches = [name for kind in choices.TABLES for name in choices.entries(kind)]
    found = [*DATASETS, *branches, *AUDIO_FEATURES, *FACE_DETECTORS, *protocols.names()]
    return [*found, *GENERIC_PROTOCOLS, *METRICS["classification"], *METRICS["regression"]]


def test_everything_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo.main([]) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert SHIPPED
    assert [name for name in (*SHIPPED, *names()) if name not in lines] == []
    assert "audio_weight=None" in text
    assert max(map(len, lines)) <= 80


def as_on_a_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def test_models_are_described_by_their_own_folders(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    as_on_a_terminal(monkeypatch, 200)
    assert zoo.main([]) == 0
    lines = plain(capsys.readouterr().out).splitlines()
    rows = {cells[1]: cells[2:-1] for line in lines if (cells := re.split(r"\s*│\s*", line))[2:]}
    licence = "CC BY-NC-SA 4.0"
    assert rows["ravdess-av"] == ["audio, face", "ravdess, 20 speakers", "8", licence]
    assert rows["ravdess-face"] == ["face", "ravdess, 20 speakers", "8", licence]
    assert rows["ravdess-av-enrolled"][0] == "audio, face; 10 enrolment clips"
    assert rows["emodb-audio"][:3] == ["audio", "emodb, 10 speakers", "7"]


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_names_are_not_cut_at_any_width(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    width: int,
    terminal: bool,
) -> None:
    as_on_a_terminal(monkeypatch, width)
    if not terminal:
        monkeypatch.setattr("sys.stdout.isatty", lambda: False)
    assert zoo.main([]) == 0
    text = plain(capsys.readouterr().out)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert ("│" in text) == terminal
    for name in (*SHIPPED, *names()):
        assert re.search(rf"(?m)^{re.escape(name)}$|│ {re.escape(name)} +│", text), name


def test_listed_metrics_are_the_stored_ones() -> None:
    task = Classification(("a", "b"))
    rows = [
        {"label": "a", "speaker": "1", "a": "0.9", "b": "0.1"},
        {"label": "b", "speaker": "2", "a": "0.4", "b": "0.6"},
    ]
    assert set(METRICS["classification"]) <= set(task.pooled(rows))
    assert set(METRICS["regression"]) == set(regression_metrics.METRICS)


def test_unknown_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        zoo.main(["--datasets"])
    assert capsys.readouterr().err.startswith("error: unknown flag --datasets")


def test_zoo_is_fast_and_needs_no_tensorflow() -> None:
    code = (
        "import sys, time; start = time.process_time(); from emorec_tf import zoo; zoo.main([])\n"
        "heavy = {'tensorflow', 'keras', 'cv2', 'av', 'pandas', 'scipy', 'sklearn', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)), time.process_time() - start, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded, _, seconds = done.stderr.rpartition(" ")
    assert loaded == "[]"
    assert float(seconds) < 2, "0.5 s on an idle machine"
