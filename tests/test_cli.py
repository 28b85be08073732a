"""Flags, files and errors: what the user gave, in one line when it is wrong."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from emorec_tf import __version__
from emorec_tf.cli import VERBS, guarded, main, parse
from emorec_tf.config import config
from emorec_tf.config.fields import option
from emorec_tf.errors import UserError


@dataclass(frozen=True)
class SomeOptions:
    run: str | None = option(None, "a folder")
    overwrite: bool = option(False, "replace it")


@dataclass(frozen=True)
class SomeNames:
    names: tuple[str, ...] = option((), "names", positional=True)


GROUPS = (SomeOptions, config.FeaturesConfig, config.TrainConfig)


def test_flags_of_an_older_version_still_work(tmp_path):
    words = ["--train_first=a", "--members", "b,c", "--voice_copies=2"]
    assert parse(words, "train", *config.SECTIONS.values()) == {
        "pretrain": "a",
        "ensemble": "b,c",
        "augmented_copies": 2,
    }
    (tmp_path / "old.yaml").write_text("frozen: true\nmembers: a\n")
    found = parse(["--config", str(tmp_path / "old.yaml")], "train", *config.SECTIONS.values())
    assert found == {"freeze_branches": True, "ensemble": str(tmp_path / "a")}


def test_only_what_was_given():
    assert parse([], "train", *GROUPS) == {}
    given = parse(["--epochs", "3", "--augment", "false", "--overwrite"], "train", *GROUPS)
    assert given == {"epochs": 3, "augment": False, "overwrite": True}
    assert parse(["--learning_rate=1e-3"], "train", *GROUPS) == {"learning_rate": 1e-3}
    names = parse(["a", "b", "--run", "r"], "predict", SomeNames, SomeOptions, config_flag=False)
    assert names == {"names": ["a", "b"], "run": "r"}


def test_flags_override_the_file(tmp_path: Path):
    path = tmp_path / "c.yaml"
    path.write_text("epochs: 3\nlearning_rate: 1e-3\nfusion: concat\nrun: x\nface_channels: 3\n")
    with pytest.raises(UserError, match="unknown setting 'run'"):
        parse(["--config", str(path)], "train", *GROUPS)
    path.write_text("epochs: 3\nlearning_rate: 1e-3\nfusion: concat\nface_channels: 3\n")
    given = parse(["--config", str(path), "--epochs", "5"], "train", *GROUPS)
    # fusion is another command's: spelt right, left out; 1e-3 is a string to YAML, a number here.
    assert given == {"epochs": 5, "learning_rate": 1e-3, "face_channels": 3}


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--epocs", "3"], "did you mean '--epochs'"),
        (["--epoch", "3"], "did you mean '--epochs'"),
        (["--epochs", "many"], "--epochs"),
        (["--face_channels", "2"], "--face_channels"),
        (["--precision", "float8"], "--precision"),
    ],
)
def test_wrong_flags(capsys, argv, told):
    with pytest.raises(SystemExit) as left:
        parse(argv, "train", *GROUPS)
    error = capsys.readouterr().err
    assert left.value.code == 2
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert told in error


def test_wrong_value_in_a_file(capsys, tmp_path: Path):
    (tmp_path / "c.yaml").write_text("epochs: many\n")
    with pytest.raises(SystemExit):
        parse(["--config", str(tmp_path / "c.yaml")], "train", *GROUPS)
    error = capsys.readouterr().err
    assert "epochs" in error
    assert error.count("\n") == 1


def test_help_explains_every_flag(capsys):
    with pytest.raises(SystemExit) as left:
        parse(["--help"], "train", *GROUPS)
    text = capsys.readouterr().out
    assert left.value.code == 0
    for name in config.flat(config.Config()):
        section = config.section_of(name)
        assert (f"  --{name} " in text) == (section in ("features", "train"))


def failing(error: BaseException):
    def run(argv):
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (UserError("no such thing"), 1, "error: no such thing\n"),
        (KeyboardInterrupt(), 130, "stopped; "),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x.bin"), 1, "writing x.bin No space"),
    ],
)
def test_guarded(capsys, error, code, told):
    assert guarded(failing(error)) == code
    text = capsys.readouterr().err
    assert told in text
    assert text.count("\n") == 1


def test_a_defect_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        guarded(failing(ZeroDivisionError()))
    with pytest.raises(FileNotFoundError):
        guarded(failing(FileNotFoundError(errno.ENOENT, "x")))


def test_a_reader_that_leaves(tmp_path: Path):
    code = (
        "import sys; from emorec_tf.cli import guarded\n"
        "def run(argv):\n    while True: print('line')\n"
        "sys.exit(guarded(run))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 0


def test_verbs(capsys):
    assert main([]) == 0
    text = capsys.readouterr().out
    assert all(f"  {verb}" in text for verb in VERBS)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"emorec_tf {__version__}\n"
    assert main(["trian"]) == 2
    assert "did you mean 'train'" in capsys.readouterr().err
    assert main(["train", "--fusion", "gatet"]) == 1
    assert capsys.readouterr().err == "error: unknown fusion 'gatet'; did you mean 'gated'?\n"
