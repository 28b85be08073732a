"""Names with brackets and control characters in all commands: shown as they are spelt."""

from __future__ import annotations

import ast
import csv
import importlib
import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from invented_runs import invent
from made_videos import write
from places import ROOT
from rich.console import Console

from emorec_tf import cli
from emorec_tf.cli import VERBS, console
from emorec_tf.evaluation import crossval_files
from emorec_tf.inference import answer_table
from emorec_tf.models.classical import head_search
from emorec_tf.storage.screen import printable
from emorec_tf.tasks.tasks import Classification
from emorec_tf.tuning.trial_board import Board

NASTY = "a [bold]b[*x] [" + "/y]\x1b[31mred\nerror: forged\r\u202e.wav"
NAME = NASTY.replace("/", "|")  # of a file
FILE = printable(NAME)
prepare, crossval, evaluate, export, predict = (
    importlib.import_module(f"emorec_tf.{verb}")
    for verb in ("prepare", "crossval", "evaluate", "export", "predict")
)
LABEL = "[b]glad[/b]\x1b[1m"
WORDS = {
    "prepare": ["--dataset", "folder", "--source", NAME, "--records", "r"],
    "train": ["--records", NAME],
    "finetune": ["--from", NAME, "--source", NAME],
    "evaluate": ["--run", NAME],
    "crossval": ["--records", NAME, "--protocol", "x"],
    "crosscorpus": ["--records", NAME],
    "tune": ["--records", NAME],
    "report": ["--run", NAME],
    "predict": [NAME],
    "serve": ["--run", NAME, "--port", "0"],
    "ship": ["--run", NAME, "--out", "o"],
    "export": ["--run", NAME],
    "inputs": [NAME, "--run", NAME],
    "audit": [NAME],
    "zoo": [NAME],
}


def check(text: str) -> None:
    """No character obeys, and no name has lost its brackets."""
    assert set(text) - {"\n"} == {c for c in text if c.isprintable()}
    assert not re.search(r"(?m)^error: forged", text)
    assert "MarkupError" not in text


@pytest.mark.parametrize("verb", VERBS)
def test_wrong_names_are_refused_in_one_line(
    verb: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        status = importlib.import_module(f"emorec_tf.{verb}").main(WORDS[verb])
    except SystemExit as left:
        status = left.code
    shown = capsys.readouterr()
    assert status != 0
    assert shown.err.count("\n") == 1, shown.err
    assert "[bold]b[*x] [" in shown.err or verb == "zoo"  # names the word before the space
    check(shown.out + shown.err)


def test_unknown_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([NASTY]) == 2
    check(capsys.readouterr().err)


def test_clips_with_such_names_are_prepared(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A broken file and a broken label: both are named as they are."""
    source, records = tmp_path / "s", tmp_path / f"r {NAME}"
    for speaker in ("1", "2", LABEL.replace("/", "|")):
        folder = source / speaker / "happy"
        folder.mkdir(parents=True)
        (folder / NAME).write_bytes(b"no audio")
    words = ["--dataset", "folder", "--source", str(source), "--records", str(records)]
    assert prepare.main([*words, "--workers", "1"]) == 1
    shown = capsys.readouterr()
    assert FILE in shown.err
    check(shown.out + shown.err.replace("\r", ""))
    rows = source / "labels.csv"
    lines = [["path", "emotion", "speaker"], [f"1/happy/{NAME}", LABEL, "1"]]
    with rows.open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    assert prepare.main(words) == 1
    shown = capsys.readouterr()
    assert printable(LABEL) in shown.err
    check(shown.out + shown.err)


@pytest.mark.parametrize("width", [60, 200])
def test_tables_show_them(
    width: int,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    folder = invent(tmp_path / NAME)
    metrics = crossval_files.join(folder)
    metrics["per_class_recall"] = {LABEL: 0.5}
    metrics["majority_baseline"]["class"] = LABEL
    crossval.print_table(metrics, folder)
    loaded: Any = SimpleNamespace(
        folder=folder, classes=(LABEL,), task=Classification((LABEL, "b"))
    )
    evaluate.print_table(metrics | {"test_speakers": [LABEL], "temperature": 1, "ece_before": 0.1,
                                    "ece": 0.1}, loaded, folder)  # fmt: skip
    row = {"differences": {"probabilities": 1e-6}, "tolerance": 1e-4, "bytes": 1,
           "seconds_per_clip": 0.1}  # fmt: skip
    export.print_table({"compared_on": [NAME], "network_seconds_per_clip": 0.1,
                        "formats": {NAME: row}})  # fmt: skip
    trial: Any = SimpleNamespace(
        trial_id=NAME, score=0.5, hyperparameters=SimpleNamespace(values={LABEL: LABEL})
    )
    with console():
        head_search._log_trials([trial])
    shown = capsys.readouterr().out
    check(shown)
    assert shown.count(printable(LABEL)) >= 5
    assert "[bold]b[*x]" in shown
    assert "best of 1 trial\n" in shown
    assert "PARTIAL: 3 of 6 folds, " in shown
    assert "3 of 6 " in shown


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_answers_and_trials_show_them(width: int) -> None:
    text = io.StringIO()
    console = Console(file=text, width=width)
    answer = {
        "clip": NAME,
        "emotion": LABEL,
        "probabilities": {LABEL: 0.6, "b": 0.4},
        "audio_present": True,
        "face_present": False,
        "face_coverage": 0.0,
    }
    window = answer | {"person": 1, "start_seconds": 0.0, "speech": True}
    answer_table.show([answer, answer | {"windows": [window]}], 3, console)
    result = {"trial": NAME, "values": {LABEL: LABEL}, "score": 0.5, "epochs": 1, "seconds": 1.0,
              "status": "COMPLETED"}  # fmt: skip
    search: Any = SimpleNamespace(
        tuner=SimpleNamespace(trials=1),
        score="val_uar",
        space=[SimpleNamespace(name=LABEL)],
        result=lambda _: result,
    )
    oracle: Any = SimpleNamespace(
        trials={NAME: SimpleNamespace(trial_id=NAME, status="COMPLETED")}, ongoing_trials={}
    )
    board = Board(search, oracle)
    console.print(board.table())
    board.console, board.seen = console, set()
    board.tick()
    shown = text.getvalue()
    check(shown)
    assert shown.count(FILE) >= 2
    assert printable(LABEL) in shown


def test_a_real_file_is_answered_under_its_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What looks like an empty recording, under a name that rich would refuse as markup."""
    path = write(tmp_path / f"[{NAME[1:]}", wave=None)
    predict.main([str(path), "--run", "ravdess-audio"])
    shown = capsys.readouterr()
    check(shown.out + shown.err)


def test_only_one_module_makes_tables_and_consoles() -> None:
    """Elsewhere a user's text would be taken for markup; commands print by ``say``."""
    package = ROOT / "emorec_tf"
    live = {"storage/progress.py", "storage/screen.py"}
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and name not in live:
                assert node.module != "rich.table", f"{name}:{node.lineno}"
            if isinstance(node, ast.Call) and isinstance(called := node.func, ast.Name):
                assert called.id != "Console" or name in live | {"cli.py"}, f"{name}:{node.lineno}"
                if called.id == "print" and name not in live | {"cli.py"}:
                    words = ast.unparse(node)
                    plain = ("json.dumps", "print()", "print(file=", "printable(")
                    assert any(p in words for p in plain), f"{name}:{node.lineno}: {words}"
