"""Metrics in words: rows of the tables that ``evaluate`` and ``crossval`` print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emorec_tf.datasets import corpora
from emorec_tf.splits import protocols

MOST_NAMES = 12
NOT_MEASURED = "not measured"


def speaker_names(metrics: dict[str, Any]) -> str:
    """Names of the test speakers, not more than fit a line."""
    names = metrics["test_speakers"]
    more = f" and {len(names) - MOST_NAMES} more" if names[MOST_NAMES:] else ""
    return ", ".join(names[:MOST_NAMES]) + more


def part_of(dataset: str, names: Sequence[str]) -> str:
    """Name the subsets that stand for speakers: "official test part"; "" of other corpora."""
    if not corpora.parts_of(dataset):
        return ""
    official = "official " if f"{dataset}/official" in protocols.names() else ""
    return f"{official}{' and '.join(names)} part"


def tested_on(metrics: dict[str, Any]) -> str:
    """Name the speakers that were tested, or the subset of images of people not identified."""
    part = "" if metrics["leaky"] else part_of(metrics["dataset"], metrics["test_speakers"])
    return part or f"speakers {speaker_names(metrics)}"


def speaker_mode(metrics: dict[str, Any]) -> str:
    """What the model knows of the speakers it is tested on."""
    if metrics["leaky"]:
        return "LEAKY, speaker-dependent"
    if corpora.parts_of(metrics.get("dataset", "")):
        return "people not identified"
    if metrics["enrol"] == "self":
        return "speaker-adapted by the clip alone"
    if metrics["enrol"] and metrics.get("adapt_by") == "corpus":
        return f"adapted by {metrics['enrol']} unlabelled clips of each corpus"
    if metrics["enrol"]:
        return f"speaker-adapted by {metrics['enrol']} enrolment clips"
    return "speaker-independent"


def score_rows(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    """Rows of (name, value) that every table of scores shows, with chance and majority."""

    def with_interval(name: str) -> str:
        low_high = metrics[f"{name}_ci95"]
        if not low_high:
            why = "people not identified" if unidentified else "one speaker"
            return f"{metrics[name]:.3f} ({why}: no interval)"
        return f"{metrics[name]:.3f} (95 % over speakers {low_high[0]:.3f} to {low_high[1]:.3f})"

    unidentified = bool(corpora.parts_of(metrics.get("dataset", "")))
    coverage = metrics["coverage"]
    lacks = f"{coverage['without_face']} without a face, {coverage['without_voice']} without audio"
    clips = [("clips", f"{coverage['clips']} ({lacks})")]
    if metrics["target"] != "emotion":
        clips = [("target", metrics["target"]), *clips]
    if "ccc" in metrics:
        mean = metrics["baseline"]
        always = f"always {mean['prediction']:.2f}, the mean in training"
        return [
            *clips,
            *((name.upper(), with_interval(name)) for name in ("ccc", "pcc", "rmse")),
            ("baseline", f"CCC {mean['ccc']:.3f}, RMSE {mean['rmse']:.3f} ({always})"),
        ]
    majority = metrics["majority_baseline"]
    return [
        *clips,
        ("UAR", with_interval("uar")),
        ("WAR", with_interval("war")),
        ("macro F1", f"{metrics['macro_f1']:.3f}"),
        ("chance UAR", f"{metrics['chance_uar']:.3f}"),
        ("majority WAR", f"{majority['war']:.3f} (always {majority['class']})"),
        ("recalls", "  ".join(f"{c} {r:.2f}" for c, r in metrics["per_class_recall"].items())),
    ]


def other_clips(found: dict[str, Any]) -> tuple[str, list[tuple[str, str]]]:
    """Title and rows of the table of a model on clips that are not its own test subset."""

    def with_interval(name: str) -> str:
        low_high = found[f"{name}_ci95"]
        said = "one speaker: no interval"
        if low_high:
            said = f"95 % over speakers {low_high[0]:.3f} to {low_high[1]:.3f}"
        return f"{found[name]:.3f} ({said})"

    other = [name for name in found["model_classes"] if name not in found["classes"]]
    lacking = f"; no clip is {', '.join(other)}" if other else ""
    left = sum(found["left_out"].values())
    rows = [
        ("clips", f"{found['n']} of {found['speakers']} speakers; {left} not scored"),
        ("classes", f"{', '.join(found['classes'])}{lacking}"),
        ("UAR", with_interval("uar")),
        ("WAR", with_interval("war")),
        ("chance UAR", f"{found['chance_uar']:.3f}"),
        ("recalls", "  ".join(f"{c} {r:.2f}" for c, r in found["per_class_recall"].items())),
        ("most predicted", f"{found['most_predicted']} ({found['share']:.0%})"),
        ("calibration error", f"{found['ece']:.3f}"),
    ]
    if scaling := found.get("recalibration"):
        after = "one speaker: not tested"
        if scaling["ece_after"] is not None:
            after = f"{scaling['ece_after']:.3f} on speakers it was not fitted to"
        rows.append(("recalibrated", f"{after} (temperature {scaling['temperature']:.2f})"))
    return f"{found['model']} on {found['dataset']}", rows
