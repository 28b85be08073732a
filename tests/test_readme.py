"""README speaks of what there is: every command parses, every table lists every entry."""

from __future__ import annotations

import importlib
import re
import shlex

import pytest
from places import ROOT

from emorec_tf import cli
from emorec_tf.config import choices
from emorec_tf.datasets import corpora

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = sorted(set(re.findall(r"^python -m emorec_tf\.\w+.*$", README, re.MULTILINE)))


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 4


@pytest.mark.parametrize("line", COMMANDS)
def test_flags_of_every_command_exist(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(line, comments=True)
    verb = words[2].removeprefix("emorec_tf.")
    assert verb in cli.VERBS
    module = importlib.import_module(words[2])
    with pytest.raises(SystemExit):
        module.main(["--help"])
    known = set(re.findall(r"--\w+", capsys.readouterr().out))
    assert {w for w in words if w.startswith("--")} <= known


def test_tables_list_every_dataset_branch_and_fusion() -> None:
    names = set(corpora.DATASETS)
    for kind in choices.TABLES:
        names |= set(choices.entries(kind))
    missing = {name for name in names if f"`{name}`" not in README}
    assert not missing


def test_scripts_named_exist() -> None:
    for script in set(re.findall(r"scripts/[\w.]+\w", README)):
        assert (ROOT / script).exists(), script


def test_every_config_is_known() -> None:
    from emorec_tf.config import config

    for path in sorted((ROOT / "configs").glob("*.yaml")):
        built = config.build(config.read_yaml(path))
        for kind in choices.NETWORK:
            choices.check(kind, getattr(built.model, kind))
