"""Package structure: imports go one way, files stay short, --help loads nothing heavy."""

from __future__ import annotations

import ast
import dataclasses
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from places import ROOT

import emorec_tf
from emorec_tf.cli import VERBS
from emorec_tf.config.config import SECTIONS

PACKAGE = Path(emorec_tf.__file__).parent
MODULES = sorted(p.relative_to(PACKAGE).as_posix() for p in PACKAGE.rglob("*.py"))

HEAVY = ("tensorflow", "keras", "pandas", "cv2", "av", "mediapipe", "dlib", "sklearn", "matplotlib")


def parsed(module: str) -> ast.Module:
    return ast.parse((PACKAGE / module).read_text(encoding="utf-8"))


def test_imports_go_one_way():
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_few_entries_in_the_package():
    entries = [p for p in PACKAGE.iterdir() if p.name != "__pycache__"]
    assert len(entries) <= 36, sorted(p.name for p in entries)


@pytest.mark.parametrize("module", MODULES)
def test_files_are_short_and_documented(module):
    assert len((PACKAGE / module).read_text(encoding="utf-8").splitlines()) <= 300
    assert ast.get_docstring(parsed(module))


@pytest.mark.parametrize("module", MODULES)
def test_functions_are_short(module):
    """At most 40 lines below the docstring, inner functions included."""
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = sum((n.end_lineno or n.lineno) - n.lineno + 1 for n in body)
            assert lines <= 40, f"{module}.{node.name} has {lines} lines"


@pytest.mark.parametrize("verb", VERBS)
def test_commands_are_thin(verb):
    """A command parses, calls a library and prints; no command imports another."""
    text = (PACKAGE / f"{verb}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    others = {f"emorec_tf.{other}" for other in VERBS}
    for node in ast.walk(parsed(f"{verb}.py")):
        if isinstance(node, ast.ImportFrom):
            found = {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
            assert not others & found, f"line {node.lineno}"
        if isinstance(node, ast.Import):
            assert not others & {alias.name for alias in node.names}, f"line {node.lineno}"


def test_field_names_are_unique_over_all_sections():
    names = Counter(f.name for cls in SECTIONS.values() for f in dataclasses.fields(cls))
    assert [name for name, count in names.items() if count > 1] == []


def test_commands_answer_without_loading_anything_heavy():
    commands = (*VERBS, "datasets.corpora", "config.choices", "training.model_store")
    code = (
        f"import importlib, sys\n"
        f"for name in {commands}: importlib.import_module('emorec_tf.' + name)\n"
        f"print(sorted(set({HEAVY}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("verb", VERBS)
def test_help_loads_nothing_heavy(verb):
    code = (
        f"import sys; from emorec_tf.{verb} import main\n"
        f"try: main(['--help'])\nexcept SystemExit as left: assert not left.code\n"
        f"print(sorted(set({HEAVY}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("module", MODULES)
def test_no_pickles(module):
    tree = parsed(module)
    names = {alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}
    names |= {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert not {"pickle", "joblib", "dill", "marshal"} & names
    assert "allow_pickle=True" not in (PACKAGE / module).read_text(encoding="utf-8")
