"""Choice strings: names and calls, checked before anything heavy is loaded."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import subprocess
import sys

import pytest

from emorec_tf.config import choices
from emorec_tf.errors import UserError


@pytest.mark.parametrize("kind", choices.TABLES)
def test_entries_equal_the_imported_table(kind):
    module, name = choices.TABLES[kind]
    table = getattr(importlib.import_module(f"emorec_tf.{module}"), name)
    read = choices.entries(kind)
    assert list(read) == list(table)
    for choice, row in table.items():
        parameters = inspect.signature(row.function).parameters.values()
        arguments = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        assert read[choice].arguments == arguments
        assert read[choice].summary == (inspect.getdoc(row.function) or "").splitlines()[0]
        assert read[choice].source


@pytest.mark.parametrize("kind", choices.TABLES)
def test_facts_equal_those_of_the_imported_table(kind):
    module, name = choices.TABLES[kind]
    table = getattr(importlib.import_module(f"emorec_tf.{module}"), name)
    for choice, row in table.items():
        facts = choices.facts(kind, choice)
        assert type(facts) is type(row)
        for field in dataclasses.fields(row):
            fact = getattr(row, field.name)
            assert getattr(facts, field.name) == (fact.__name__ if callable(fact) else fact)


def test_small_arguments_exist_and_renamed_ones_are_accepted():
    for kind in choices.NETWORK:
        for entry in choices.entries(kind).values():
            choices.check(kind, f"{entry.name}({entry.facts.small})")
            assert set(entry.facts.renamed.values()) <= set(entry.arguments)
            assert not set(entry.facts.renamed) & set(entry.arguments)
    old, new = "lda(offsets=0.5, shrinkage=0.3)", "lda(speaker_shrinkage=0.5, shrinkage=0.3)"
    assert choices.check("classifier", old) == choices.check("classifier", new)
    assert choices.resolve("classifier", old).keywords["speaker_shrinkage"] == 0.5


def test_facts_of_fusions():
    uses = {name: e.facts.uses for name, e in choices.entries("fusion").items()}
    assert {name: used for name, used in uses.items() if used != ("audio", "face")} == {
        "audio_only": ("audio",),
        "face_only": ("face",),
    }
    replaceable = [n for n, e in choices.entries("fusion").items() if e.facts.head_replaceable]
    assert replaceable == ["concat", "audio_only", "face_only"]
    assert choices.facts("fusion", "face_only(units=3)").uses == ("face",)


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ("alexnet", True),
        ("face_statistics(cells=4)", False),
        ("expression_net", True),
        ("expression_net(weights='x.keras')", True),
        ("expression_net(weights='x.keras', frozen=True)", False),
        ("backbone(weights='imagenet', trainable=False)", False),
    ],
)
def test_what_has_to_be_trained_depends_on_the_arguments(choice, wanted):
    assert choices.needs_training("face", choice) == wanted


@pytest.mark.parametrize(
    ("choice", "parsed"),
    [
        ("lstm", ("lstm", {})),
        (" lstm() ", ("lstm", {})),
        ("lstm(units=64, pool='none')", ("lstm", {"units": 64, "pool": "none"})),
        ("f(a=-1.5, b=None, c=(1, 2))", ("f", {"a": -1.5, "b": None, "c": (1, 2)})),
    ],
)
def test_parse(choice, parsed):
    assert choices.parse(choice) == parsed


@pytest.mark.parametrize(
    "choice",
    ["", "lstm(", "lstm(64)", "a.b", "1", "lstm(units=open('x'))", "lstm(**{})", "f(a=1)(b=2)"],
)
def test_parse_refuses(choice):
    with pytest.raises(UserError, match="neither a name nor a call"):
        choices.parse(choice)


@pytest.mark.parametrize(
    ("kind", "choice", "message"),
    [
        ("audio", "conv2d", "unknown audio 'conv2d'; did you mean 'conv1d'"),
        ("audio", "lstm(unit=3)", "'lstm' has no argument 'unit'; did you mean 'units'"),
        ("audio", "lstm(units='many')", "units is 'many'; it must be like 64"),
        ("audio", "lstm(units=1.5)", "units is 1.5"),
        ("face", "vgg", "unknown face 'vgg'; known are alexnet"),
        ("audio_features", "mfccs", "unknown audio_features 'mfccs'; did you mean 'mfcc'"),
        ("fusion", "concat(units=True)", "units is True"),
        (
            "audio",
            "embedding",
            "'embedding' needs model, as in \"embedding(model=",
        ),
        ("audio", "embedding(model='')", "'embedding' needs model"),
        ("audio", "embedding(modell='x')", "has no argument 'modell'; did you mean 'model'"),
    ],
)
def test_check_refuses(kind, choice, message):
    with pytest.raises(UserError, match=re.escape(message)):
        choices.check(kind, choice)


def test_resolve_binds_the_arguments():
    bound = choices.resolve("face", "alexnet(width=1, layout='2012')")
    assert bound.func.__name__ == "alexnet"
    assert bound.keywords == {"width": 1, "layout": "2012"}
    assert choices.check("fusion", "weighted_average(audio_weight=0.3)")[1] == {"audio_weight": 0.3}


def test_reading_the_tables_loads_no_tensorflow():
    code = (
        "import sys; from emorec_tf.config import choices\n"
        "for kind in choices.TABLES: choices.entries(kind)\n"
        "print(sorted({'tensorflow', 'keras', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
