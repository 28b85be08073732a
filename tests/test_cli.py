"""Flags, config files and errors: settings as given, one line for each mistake."""

from __future__ import annotations

import errno
import importlib
import logging
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from emorec_tf import __version__, cli
from emorec_tf.cli import EXAMPLES, VERBS, console, guarded, main, parse, parse_options
from emorec_tf.config import config
from emorec_tf.config.fields import option
from emorec_tf.config.given import settings_of
from emorec_tf.errors import UserError


@dataclass(frozen=True)
class SomeOptions:
    run: str | None = option(None, "a folder")
    overwrite: bool = option(False, "replace it")


@dataclass(frozen=True)
class SomeNames:
    names: tuple[str, ...] = option((), "names", positional=True)
    others: tuple[str, ...] = option((), "other names", several=True)
    check: bool = option(True, "look twice")
    json: bool = option(False, "print JSON", expert=True)


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
    (tmp_path / "old.yaml").write_text("search: {augment_microphone: [true, false]}\n")
    read = config.read_mapping(tmp_path / "old.yaml")
    assert read == {"search": {"augment_channel": [True, False]}}


@pytest.mark.parametrize(("old", "new"), config.RENAMED.items())
def test_a_setting_by_both_its_names_is_refused(old, new, tmp_path):
    said = f"{old} is the former name of {{}}{new}; give one of them"
    for words in ([f"--{old}=1", f"--{new}=2"], [f"--{new}", "2", f"--{old}", "1"]):
        with pytest.raises(UserError, match=f"^--{said.format('--')}$"):
            parse(words, "train", *config.SECTIONS.values())
    file = tmp_path / "both.yaml"
    file.write_text(f"{new}: 1\n{old}: 2\n")
    with pytest.raises(UserError, match=f"both.yaml: {said.format('')}$"):
        config.read_yaml(file)
    file.write_text(f"search:\n  {new}: 1\n  {old}: 2\n")
    with pytest.raises(UserError, match=f"both.yaml: search: {said.format('')}$"):
        config.read_mapping(file)
    with pytest.raises(UserError, match=f"^{said.format('')}$"):
        settings_of({new: 1, old: 2}, {})


def test_a_switch_by_its_former_name_can_be_turned_off():
    found = parse(["--no_frozen", "--no_augment_microphone"], "train", *config.SECTIONS.values())
    assert found == {"freeze_branches": False, "augment_channel": False}
    words = ["--freeze_branches", "--no_freeze_branches"]
    assert not parse(words, "train", *config.SECTIONS.values())["freeze_branches"], "the last one"
    with pytest.raises(UserError, match="--model is the former name of --run"):
        parse(["--model=a", "--run=b"], "evaluate", SomeOptions, config_flag=False)


def test_parsing_returns_only_the_given_settings():
    assert parse([], "train", *GROUPS) == {}
    given = parse(["--epochs", "3", "--augment", "false", "--overwrite"], "train", *GROUPS)
    assert given == {"epochs": 3, "augment": False, "overwrite": True}
    assert parse(["--learning_rate=1e-3"], "train", *GROUPS) == {"learning_rate": 1e-3}
    names = parse(["a", "b", "--run", "r"], "predict", SomeNames, SomeOptions, config_flag=False)
    assert names == {"names": ["a", "b"], "run": "r"}


@pytest.mark.parametrize(
    ("argv", "augment"),
    [
        (["--augment"], True),
        (["--no_augment"], False),
        (["--augment", "false"], False),
        (["--augment=false"], False),
        (["--augment", "True"], True),
        (["--augment", "off"], False),
        (["--augment=on"], True),
        (["--no_augment", "--augment"], True),
    ],
)
def test_switches(argv, augment):
    assert parse([*argv, "--epochs", "3"], "train", *GROUPS) == {"augment": augment, "epochs": 3}


def test_a_switch_takes_no_file_for_its_value():
    for argv in (["--json", "a.mp4", "--no_check"], ["a.mp4", "--json", "--check", "off"]):
        found = parse(argv, "predict", SomeNames, config_flag=False)
        assert found == {"json": True, "names": ["a.mp4"], "check": False}


def test_options_apart_from_settings():
    made, given = parse_options(["--epochs", "3", "--run", "r"], "train", *GROUPS)
    assert made == SomeOptions(run="r")
    assert given == {"epochs": 3}


def test_commands_that_train_nothing_take_a_model_for_a_run():
    assert parse(["--model", "x"], "predict", SomeOptions, config_flag=False) == {"run": "x"}
    with pytest.raises(SystemExit):
        parse(["--model", "x"], "train", *config.SECTIONS.values(), SomeOptions)


def test_flags_override_the_file(tmp_path: Path):
    path = tmp_path / "c.yaml"
    path.write_text("epochs: 3\nlearning_rate: 1e-3\nfusion: concat\nrun: x\nface_channels: 3\n")
    with pytest.raises(UserError, match="unknown setting 'run'"):
        parse(["--config", str(path)], "train", *GROUPS)
    path.write_text("epochs: 3\nlearning_rate: 1e-3\nfusion: concat\nface_channels: 3\n")
    given = parse(["--config", str(path), "--epochs", "5"], "train", *GROUPS)
    # fusion belongs to another command and is ignored; YAML reads 1e-3 as a string.
    assert given == {"epochs": 5, "learning_rate": 1e-3, "face_channels": 3}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--epocs", "3"], "did you mean '--epochs'"),
        (["--epoch", "3"], "did you mean '--epochs'"),
        (["--no_augmnt"], "unknown flag --no_augmnt; did you mean '--no_augment'"),
        (["--epochs", "many"], "--epochs is 'many'; it must be a whole number"),
        (["--epochs", "2.5"], "--epochs is '2.5'; it must be a whole number"),
        (["--epochs"], "--epochs needs a value: a whole number"),
        (["--learning_rate", "x"], "--learning_rate is 'x'; it must be a number"),
        (["--augment=maybe"], "--augment is 'maybe'; it must be true or false"),
        (["--face_channels", "2"], "--face_channels is '2'; it must be 1 or 3"),
        (["--face_align", "no way"], "it must be true or false or mesh"),
        (["--cache", "mem"], "it must be memory, disk or none; did you mean 'memory'?"),
        (["3"], "unexpected word '3'"),
    ],
)
def test_wrong_flags(capsys, argv, message):
    with pytest.raises(SystemExit) as left:
        parse(argv, "train", *GROUPS)
    error = capsys.readouterr().err
    assert left.value.code == 2
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error


def test_wrong_value_in_a_file(capsys, tmp_path: Path):
    (tmp_path / "c.yaml").write_text("epochs: many\n")
    with pytest.raises(SystemExit):
        parse(["--config", str(tmp_path / "c.yaml")], "train", *GROUPS)
    error = capsys.readouterr().err
    assert f"config {tmp_path}/c.yaml: epochs is 'many'; it must be a whole number" in error
    assert error.count("\n") == 1


def test_on_and_off_in_a_file(tmp_path: Path):
    (tmp_path / "c.yaml").write_text("augment: off\njit: on\nrefit: true\n")
    found = parse(["--config", str(tmp_path / "c.yaml")], "train", *GROUPS)
    assert found == {"augment": False, "jit": "on", "refit": True}


def test_help_explains_every_flag(capsys):
    with pytest.raises(SystemExit) as left:
        parse(["--help"], "train", *GROUPS)
    text = capsys.readouterr().out
    assert left.value.code == 0
    for name in config.flat(config.Config()):
        section = config.section_of(name)
        shown = f"  --{name} " in text or f"  --{name}, --no_{name}\n" in text
        shown = shown or f"  --{name}, --no_{name} " in text
        assert shown == (section in ("features", "train"))
    for type_of_python in ("type:", "null", "<class", "Literal", "NoneType"):
        assert type_of_python not in text
    for line in (
        "--epochs N ",
        "--learning_rate X ",
        "--run FOLDER ",
        "--cache {memory,disk,none}",
    ):
        assert f"  {line}" in text
    assert "(default: 30)" in text
    example = text.partition("example:\n")[2].partition("\n\n")[0]
    assert example.replace("\\\n", "").split()[2:] == [
        "emorec_tf.train",
        *EXAMPLES["train"].split(),
    ]
    assert max(map(len, example.splitlines())) <= 80


def test_help_shows_common_flags_first(capsys):
    with pytest.raises(SystemExit):
        parse(["--help"], "train", *GROUPS)
    text = capsys.readouterr().out.partition("\noptions:\n")[2]
    order = ["--run", "--epochs", "read from the records", "--clip_seconds", "--precision"]
    places = [text.index(f"  {flag}" if flag[0] == "-" else flag) for flag in order]
    assert places == sorted(places)
    with pytest.raises(SystemExit):
        parse(["--help"], "prepare", config.FeaturesConfig)
    text = capsys.readouterr().out
    assert "read from the records" not in text
    assert text.index("  --mel_bands N") < text.index("expert features") < text.index("--trim_db")


@pytest.mark.parametrize("verb", VERBS)
def test_examples_parse(verb, monkeypatch, capsys):
    class StoppedError(Exception):
        pass

    real = cli.parse

    def parse_only(argv, *arguments, **more):
        real(argv, *arguments, **more)
        raise StoppedError

    module = importlib.import_module(f"emorec_tf.{verb}")
    for place in (module, cli):
        monkeypatch.setattr(place, "parse", parse_only, raising=False)
    with pytest.raises(StoppedError):
        module.main(shlex.split(EXAMPLES[verb]))


def failing(error: BaseException):
    def run(argv):
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UserError("no such thing"), 1, "error: no such thing\n"),
        (KeyboardInterrupt(), 130, "stopped; "),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x.bin"), 1, "writing x.bin No space"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "a/x"), 1, "a/x Not a directory"),
        (FileExistsError(errno.EEXIST, "File exists", "a.md"), 1, "writing a.md File exists"),
    ],
)
def test_errors_become_one_line_and_an_exit_code(capsys, error, code, message):
    assert guarded(failing(error)) == code
    text = capsys.readouterr().err
    assert message in text
    assert text.count("\n") == 1


def test_log_messages_are_printed_as_output(capsys):
    log = logging.getLogger("emorec_tf.some.module")

    def inner(argv):
        log.info("once")
        return 0

    def run(argv):
        log.info("3 of %d clips", 5)
        log.warning("no face")
        log.debug("nothing to see")
        return guarded(inner) if argv is None else 0

    assert guarded(run) == guarded(run, ["again"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "3 of 5 clips\nonce\n3 of 5 clips\n"
    assert printed.err == "warning: no face\n" * 2
    log.info("after the command")
    assert capsys.readouterr().out == ""


def test_emorec_log_sets_the_log_level(capsys, monkeypatch):
    log = logging.getLogger("emorec_tf.some.module")
    monkeypatch.setenv("EMOREC_LOG", "warning")
    with console():
        log.info("hidden")
        log.error("shown")
    assert capsys.readouterr() == ("", "error: shown\n")
    monkeypatch.setenv("EMOREC_LOG", "")
    with console():
        log.info("shown as by default")
    assert capsys.readouterr() == ("shown as by default\n", "")
    monkeypatch.setenv("EMOREC_LOG", "loud")
    assert guarded(lambda _: 0) == 1
    assert capsys.readouterr().err.startswith("error: EMOREC_LOG is 'loud'; known are critical, ")


def test_an_unexpected_error_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        guarded(failing(ZeroDivisionError()))
    with pytest.raises(FileNotFoundError):
        guarded(failing(FileNotFoundError(errno.ENOENT, "x")))


def test_a_closed_pipe_ends_the_command_quietly(tmp_path: Path):
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


def test_commands_are_listed_and_misspellings_corrected(capsys):
    assert main([]) == 0
    text = capsys.readouterr().out
    assert all(f"  {verb}" in text for verb in VERBS)
    assert list(EXAMPLES) == list(VERBS)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"emorec_tf {__version__}\n"
    assert main(["trian"]) == 2
    assert "did you mean 'train'" in capsys.readouterr().err
    assert main(["train", "--fusion", "gatet"]) == 1
    assert capsys.readouterr().err == "error: unknown fusion 'gatet'; did you mean 'gated'?\n"


@pytest.mark.parametrize(
    "words", [[], ["--help"], ["--version"], ["zoo"], ["train", "--help"], ["zoo", "--colour"]]
)
def test_a_reader_that_has_gone_is_no_error(words: list[str]) -> None:
    """As in ``python -m emorec_tf | true``."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "emorec_tf", *words], stdout=writer, stderr=subprocess.PIPE
        )
    finally:
        os.close(writer)
    wrong = "--colour" in words
    assert done.returncode == (2 if wrong else 0)
    assert done.stderr.decode().count("\n") == wrong


@pytest.mark.parametrize("value", ["true", "false", "1"])
def test_a_switch_that_is_off_takes_no_value(value: str, capsys) -> None:
    with pytest.raises(SystemExit):
        parse([f"--no_refit={value}"], "train", *config.SECTIONS.values())
    error = capsys.readouterr().err
    assert error.startswith("error: --no_refit takes no value; give --refit or --no_refit alone")
    assert error.count("\n") == 1
