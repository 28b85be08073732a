"""Everything that can be chosen by name, as rows of text. Reads tables without importing them."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import emorec_tf
from emorec_tf.config import choices, config_files
from emorec_tf.config.config import renamed
from emorec_tf.datasets import corpora
from emorec_tf.splits import protocols
from emorec_tf.splits.generic_folds import GENERIC_PROTOCOLS
from emorec_tf.tasks.metric_names import METRICS
from emorec_tf.training import model_store

# Tables of plain functions beside those of ``choices``.
FUNCTIONS = {
    "audio_features": ("features/audio_features.py", "AUDIO_FEATURES"),
    "face_detector": ("features/face_detection.py", "FACE_DETECTORS"),
}


@dataclass(frozen=True)
class Listing:
    """A table: its title, the names of its columns, and its rows; the first column is a name."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def contents() -> Iterator[Listing]:
    """All tables, shipped models first."""
    yield models()
    yield configs()
    yield datasets()
    for kind in choices.TABLES:
        yield options(kind)
    for kind in FUNCTIONS:
        if kind not in choices.TABLES:
            yield functions(kind)
    yield folds()
    yield metrics()


def models() -> Listing:
    """Packaged models that ``predict --run NAME`` finds, read from their own folders."""
    found = sorted(model_store.found().items())
    rows = [model(name, path) for name, path in found if (path / model_store.SUMS).exists()]
    columns = ("model", "modalities", "trained on", "classes", "licence of the weights")
    return Listing("models", columns, tuple(rows))


def model(name: str, folder: Path) -> tuple[str, ...]:
    """Row of one packaged model."""
    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    settings = renamed(yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")))
    split, source = facts["split"], facts["source"]
    speakers = len(split["train"]) + (len(split["validation"]) if settings.get("refit") else 0)
    fusion = str(settings["fusion"]).partition("(")[0]
    known = None if settings.get("ensemble") else choices.entries("fusion").get(fusion)
    kinds = known.facts.uses if known else ("audio", "face")
    uses = ", ".join(kind for kind in kinds if kind not in facts.get("unused", ()))
    adapt = settings.get("adapt")
    if isinstance(adapt, int):
        uses += f"; {adapt} enrolment clips"
    trained_on = f"{source['dataset']}, {speakers} speakers"
    classes = str(len(facts["classes"])) if facts["classes"] else settings["target"]
    return name, uses, trained_on, classes, source["licence"]


def configs() -> Listing:
    """Configs that ``--config NAME`` finds, by the first sentence of their comments."""
    found = sorted(config_files.found().items())
    rows = tuple((name, config_files.summary_of(path)) for name, path in found)
    return Listing("configs", ("config", "description"), rows)


def datasets() -> Listing:
    """Corpora that ``prepare`` reads."""
    rows = []
    for name, corpus in corpora.DATASETS.items():
        counts = [f"{n:,}" if n else "any" for n in (corpus.clip_count, corpus.speaker_count)]
        counts[1] = "not identified" if corpus.parts else counts[1]
        classes = str(len(corpus.emotions) or "any")
        rows.append((name, *counts, classes, corpus.label_meaning, corpus.licence))
    columns = ("dataset", "clips", "speakers", "classes", "label", "licence")
    return Listing("datasets", columns, tuple(rows))


def options(kind: str) -> Listing:
    """Entries of one kind of choice (audio, face, fusion, ...) with their arguments."""
    rows = []
    for entry in choices.entries(kind).values():
        arguments = ", ".join(f"{name}={value!r}" for name, value in entry.arguments.items())
        rows.append((entry.name, entry.summary, arguments))
    return Listing(f"--{kind}", (kind, "description", "arguments"), tuple(rows))


def functions(kind: str) -> Listing:
    """Entries of a table of functions, described by the first line of their docstrings."""
    file, table = FUNCTIONS[kind]
    tree = ast.parse((Path(emorec_tf.__file__).parent / file).read_text(encoding="utf-8"))
    docs = {n.name: ast.get_docstring(n) or "" for n in tree.body if isinstance(n, ast.FunctionDef)}
    rows = [(name, docs[f].partition("\n")[0]) for name, f in names_of(tree, table).items()]
    return Listing(f"--{kind}", (kind, "description"), tuple(rows))


def names_of(tree: ast.Module, table: str) -> dict[str, str]:
    """Read ``TABLE = {"name": function}`` or ``{"name": Row(function, ...)}`` from a module."""
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == table:
            value: Any = node.value
            found = zip(value.keys, value.values, strict=True)
            return {k.value: ast.unparse(getattr(v, "args", [v])[0]) for k, v in found}
    raise LookupError(f"there is no table {table}")


def folds() -> Listing:
    """Protocols of ``crossval``: manifests of corpora, then those that fit any data."""
    rows = []
    for name in protocols.names():
        manifest = protocols.manifest(name)
        rows.append((name, str(len(manifest["folds"])), str(manifest["source"])))
    for name, function in GENERIC_PROTOCOLS.items():
        rows.append((name, "any", str(function.__doc__).partition("\n")[0]))
    return Listing("--protocol", ("protocol", "folds", "description"), tuple(rows))


def metrics() -> Listing:
    """Metrics that ``evaluate`` and ``crossval`` write."""
    rows = [(n, task, text) for task, group in METRICS.items() for n, text in group.items()]
    return Listing("metrics", ("metric", "task", "description"), tuple(rows))
