"""MODEL_CARD.md of a cross-validated run: the results of the report, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emorec_tf.evaluation import shown_names
from emorec_tf.evaluation.completeness import NOT_COMPARABLE, whole
from emorec_tf.evaluation.crossval_results import FinishedRun
from emorec_tf.evaluation.summary import part_of

LEAKY_WARNING = (
    "LEAKY: the same speakers are in all subsets. These results are inflated by leakage; they say "
    "nothing about new speakers."
)
ONE_SPEAKER = "no interval (one speaker)"
MODE_NAMES = {  # by the value that is stored in crossval.json
    "unseen": "speaker-independent",
    "known": "speaker-dependent",
    "enrolled": "speaker-adapted",
    "unidentified": "people not identified",
}
MODE_MEANING = {
    "unseen": "no data of the test speakers was used before the test",
    "known": "the model was trained on clips of the test speakers",
    "enrolled": "features were normalised by unlabelled enrolment clips of each test speaker",
    "unidentified": "the corpus's own split was used, and one person may be in two of its subsets",
}
LIMITS = (
    "It predicts the expression that was labelled in its corpus. It cannot tell what anyone feels.",
    "Acted emotions are clearer than those of daily life; expect lower accuracy on spontaneous "
    "speech, other languages, ages, cultures, cameras and rooms.",
    "It must not be used to decide about people: not in hiring, school, policing, border control, "
    "insurance, credit or at work. In the European Union inferring emotions at work or school is "
    "prohibited but for medicine and safety (Regulation (EU) 2024/1689, article 5).",
    "A probability is only as good as its calibration on speakers like those it was tested on.",
)


def model_card(run: FinishedRun, found: Mapping[str, Any]) -> str:
    """Write the card as Markdown.

    Args:
        run: the run it belongs to.
        found: its metrics, from ``run_metrics.run_metrics``.
    """
    base = baseline(found["scores"])
    tables = {
        "Recall of each class": found.get("recalls", []),
        "Corpora": [_with_interval(row) for row in found["corpora"]],
        "Coverage": [_coverage(row) for row in found["coverage"]],
        "Subgroups": [_slice(row) for row in found.get("slices", [])],
        "Robustness": [_robustness(row) for row in found["robustness"]],
    }
    if run.task.rating:
        tables = {name: [_rated(row) for row in rows] for name, rows in tables.items()}
    parts = [
        _head(run),
        _headline(run, found),
        _protocol(run),
        *(_table(f"{name} ({_mode(run)})", rows, base) for name, rows in tables.items()),
        "" if found["robustness"] else "Robustness: not measured.",
        "## Limits of use\n\n" + "\n".join(f"- {line}" for line in LIMITS),
        _made(run),
    ]
    text = "\n\n".join(part for part in parts if part) + "\n"
    if run.mode == "unidentified":
        return text.replace(ONE_SPEAKER, "no interval (people not identified)")
    return text


def tested(run: FinishedRun) -> str:
    """Count the test speakers, or name the part of images of people not identified."""
    names = sorted(set(map(str, run.speakers)))
    part = part_of(str(run.facts["dataset"]), names) if run.mode == "unidentified" else ""
    return f"the {part}" if part else f"{len(names)} speakers"


def mode_meaning(run: FinishedRun) -> str:
    """Say what the model knew of its test speakers."""
    if run.mode == "enrolled" and run.facts.get("enrol") == "self":
        return "the audio of each clip was normalised by the clip itself, without enrolment clips"
    if run.mode == "enrolled" and run.facts.get("adapt_by") == "corpus":
        return MODE_MEANING[run.mode].replace("speaker", "corpus")
    return MODE_MEANING[run.mode]


def percent(value: float | None) -> str:
    """Write a share with one decimal: 0.1234 is 12.3 %."""
    return "-" if value is None else f"{100 * value:.1f} %"


def plain(value: float | None) -> str:
    """Write a metric of ratings, which is no share: 0.123."""
    return "-" if value is None else f"{value:.3f}"


def plain_between(ci95: list[float] | None) -> str:
    """Write an interval of such a metric: 0.123 to 0.456."""
    return ONE_SPEAKER if ci95 is None else f"{ci95[0]:.3f} to {ci95[1]:.3f}"


def between(ci95: list[float] | None) -> str:
    """Write an interval of shares: 12.3 to 45.6 %."""
    if ci95 is None:
        return ONE_SPEAKER
    return f"{100 * ci95[0]:.1f} to {100 * ci95[1]:.1f} %"


def baseline(scores: Mapping[str, Any]) -> str:
    """Write the trivial baselines, which stand beside every result."""
    if "baseline" in scores:
        mean = scores["baseline"]
        return (
            f"Predicting the training mean gives CCC {plain(mean['ccc'])}, "
            f"RMSE {plain(mean['rmse'])}."
        )
    majority = scores["majority_baseline"]
    always = f"always {majority['class']} gives {percent(majority['war'])} WAR"
    return f"Chance is {percent(scores['chance_uar'])} UAR; {always}."


def _mode(run: FinishedRun) -> str:
    leaky = "LEAKY, " if run.leaky else ""
    return f"{leaky}{MODE_NAMES[run.mode]}, {run.facts['protocol']}"


def _head(run: FinishedRun) -> str:
    facts = run.facts
    lines = [f"# {run.name}"]
    if run.leaky:
        lines.append(f"**{LEAKY_WARNING}**")
    if run.missing:
        lines.append(f"**UNFINISHED: {', '.join(run.missing)} missing.**")
    if run.scope:
        lines.append(f"**PARTIAL: {run.scope}; {NOT_COMPARABLE}.**")
    lines.append(
        f"{_does(run)} in a clip. {_parameters(facts)}Trained and tested on {facts['dataset']}."
    )
    lines.append(f"- Label: {facts.get('label_meaning', 'unknown')}")
    lines.append(f"- Licence of the data, which the weights inherit: {facts.get('licence', '?')}")
    return "\n\n".join(lines[:-1]) + "\n" + lines[-1]


def _does(run: FinishedRun) -> str:
    if run.task.rating:
        return f"Estimates {run.task.rating} from 1 to 5"
    kinds = "expressions" if run.facts["target"] == "emotion" else f"levels of {run.target}"
    return f"Predicts one of {len(run.classes)} {kinds} ({', '.join(run.classes)})"


def _parameters(facts: Mapping[str, Any]) -> str:
    if not facts.get("parameters"):
        return ""
    beside = "".join(
        f" and an ONNX encoder of {one['bytes'] / 1e6:,.1f} MB (SHA-256 {one['sha256']})"
        for one in facts.get("onnx_encoders", ())
    )
    return f"{facts['parameters']:,} parameters{beside}. "


def _headline(run: FinishedRun, found: Mapping[str, Any]) -> str:
    scores = found["scores"]
    rows = _rating_rows(scores) if run.task.rating else _class_rows(scores)
    lines = [f"| {' | '.join(row)} |" for row in rows]
    written = plain if run.task.rating else percent
    seeds = f"{written(scores['seed_lowest'])} to {written(scores['seed_highest'])}"
    calibrated = found.get("calibration")
    calibration = (
        f" Calibration error (ECE) {percent(calibrated['ece'])}, Brier {calibrated['brier']:.3f}."
        if calibrated
        else ""
    )
    return (
        f"## Results ({_mode(run)})\n\n"
        "| metric | value | 95 % interval over speakers | chance or majority |\n|---|---|---|---|\n"
        + "\n".join(lines)
        + f"\n\n{scores['n']} clips of {tested(run)}, all evaluated, also those "
        f"without a face; {run.task.score.upper()} of seeds ({len(run.facts['seeds'])}) "
        f"{seeds}.{calibration}"
    )


def _rating_rows(scores: Mapping[str, Any]) -> list[tuple[str, ...]]:
    always = scores["baseline"]
    return [
        (
            name.upper(),
            plain(scores[name]),
            plain_between(scores[f"{name}_ci95"]),
            f"{plain(always[name])} (training mean)",
        )
        for name in ("ccc", "pcc", "rmse")
    ]


def _class_rows(scores: Mapping[str, Any]) -> list[tuple[str, ...]]:
    majority = scores["majority_baseline"]
    return [
        ("UAR", percent(scores["uar"]), between(scores["uar_ci95"]), percent(scores["chance_uar"])),
        (
            "WAR",
            percent(scores["war"]),
            between(scores["war_ci95"]),
            f"{percent(majority['war'])} (always {majority['class']})",
        ),
        ("macro-F1", percent(scores["macro_f1"]), "", ""),
    ]


def _protocol(run: FinishedRun) -> str:
    facts = run.facts
    notes = "".join(f"\n- {note}" for note in facts["notes"])
    on = "validation clips"
    if not run.leaky:
        on = "validation speakers, never on test speakers"
        if run.mode == "unidentified":
            on = "the validation part, never on the test part"
    return (
        f"## Protocol\n\n`{facts['protocol']}`, {_folds(run)}, fingerprint "
        f"`{facts['protocol_stamp']}`. {MODE_NAMES[run.mode].capitalize()}: "
        f"{mode_meaning(run)}. "
        f"{'Epoch was' if run.task.rating else 'Epoch and temperature were'} selected on {on}."
        + (f"\n{notes}" if notes else "")
    )


def _folds(run: FinishedRun) -> str:
    planned, folds = len(run.facts["folds"]), whole(run.facts)[0]
    return f"{planned} folds" if planned == folds else f"{planned} of {folds} folds"


def _rated(row: Mapping[str, Any]) -> dict[str, Any]:
    """Write all floats but shares as plain numbers."""
    return {k: plain(v) if isinstance(v, float) and k != "share" else v for k, v in row.items()}


def _coverage(row: Mapping[str, Any]) -> dict[str, Any]:
    rest = {k: v for k, v in row.items() if k != "clips that have"}
    return {"modalities present": shown_names.modality(row["clips that have"]), **rest}


def _robustness(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "condition": shown_names.corruption(row["condition"])}


def _with_interval(row: Mapping[str, Any]) -> dict[str, Any]:
    """Write UAR with its interval in one cell."""
    shown = {k: v for k, v in row.items() if k != "uar_ci95"}
    if "uar" in row:
        shown["uar"] = f"{percent(row['uar'])} ({between(row['uar_ci95'])})"
    return shown


def _slice(row: Mapping[str, Any]) -> dict[str, Any]:
    gap = "-" if row["gap"] is None else f"{100 * row['gap']:+.1f} points"
    if row["gap_ci95"]:
        gap += f" ({100 * row['gap_ci95'][0]:+.1f} to {100 * row['gap_ci95'][1]:+.1f})"
    return {
        "subgroup": f"{row['trait']} {row['value']}",
        "clips": row["clips"],
        "speakers": row["speakers"],
        "uar": f"{percent(row['uar'])} ({between(row['uar_ci95'])})",
        "gap to the rest": gap,
        "conclusion": row["follows"],
    }


def _table(title: str, rows: list[dict[str, Any]], base: str) -> str:
    if not rows:
        return ""
    head = [name.replace("_", " ") for name in rows[0]]
    lines = [" | ".join(head), "|".join(["---"] * len(head))]
    lines += [" | ".join(map(_cell, row.values())) for row in rows]
    return f"## {title}\n\n{base}\n\n" + "\n".join(f"| {line} |" for line in lines)


def _cell(value: Any) -> str:
    text = percent(value) if isinstance(value, float) or value is None else str(value)
    return text.replace("|", "\\|")


def _made(run: FinishedRun) -> str:
    facts = run.facts
    versions = ", ".join(f"{k} {v}" for k, v in facts.get("versions", {}).items())
    config = "\n".join(f"{k}: {v}" for k, v in facts.get("config", {}).items())
    return (
        f"## How it was made\n\n{versions}. Machine: {facts.get('machine', 'unknown')}.\n\n"
        f"```\n{facts.get('command', '')}\n```\n\n```yaml\n{config}\n```"
    )
