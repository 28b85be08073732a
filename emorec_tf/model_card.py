"""MODEL_CARD.md of a run: the same figures as on the page, in words that go with the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emorec_tf.finished_runs import FinishedRun

LEAKY_WARNING = (
    "LEAKY: the same speakers stand on all sides. These figures show what leaking feigns; "
    "they say nothing about new speakers."
)
MODE_MEANING = {
    "unseen": "nothing of a test speaker was used before he was tested",
    "known": "clips of the same speakers trained the model",
    "enrolled": "unlabelled clips of each test speaker gave his mean and deviation beforehand",
}
LIMITS = (
    "It names the expression that was labelled in its corpus. It does not read minds and cannot "
    "tell what anyone feels.",
    "Acted emotions are clearer than those of daily life; expect worse on spontaneous speech, "
    "other languages, ages, cultures, cameras and rooms.",
    "It must not be used to decide about people: not in hiring, school, policing, border control, "
    "insurance, credit or at work. In the European Union inferring emotions at work or school is "
    "prohibited but for medicine and safety (Regulation (EU) 2024/1689, article 5).",
    "A probability is only as good as its calibration on speakers like those it was tested on.",
)


def model_card(run: FinishedRun, found: Mapping[str, Any]) -> str:
    """Write the card as Markdown.

    Args:
        run: the run it belongs to.
        found: its figures, from ``run_figures.figures``.
    """
    base = baseline(found["scores"])
    tables = {
        "Recall of each class": found["recalls"],
        "Coverage": found["coverage"],
        "Slices": [_slice(row) for row in found["slices"]],
        "Voice or face missing or damaged": found["robustness"],
    }
    parts = [
        _head(run),
        _headline(run, found["scores"], found["calibration"]),
        _protocol(run),
        *(_table(f"{name} ({_mode(run)})", rows, base) for name, rows in tables.items()),
        "## Limits of use\n\n" + "\n".join(f"- {line}" for line in LIMITS),
        _made(run),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def percent(value: float | None) -> str:
    """Write a share with one decimal: 0.1234 is 12.3 %."""
    return "-" if value is None else f"{100 * value:.1f} %"


def between(ci95: list[float] | None) -> str:
    """Write an interval of shares: 12.3 to 45.6 %."""
    if ci95 is None:
        return "no interval (one speaker)"
    return f"{100 * ci95[0]:.1f} to {100 * ci95[1]:.1f} %"


def baseline(scores: Mapping[str, Any]) -> str:
    """Say what blind answers reach, to stand beside every figure."""
    majority = scores["majority_baseline"]
    told = f"always {majority['class']} gives {percent(majority['war'])} WAR"
    return f"Chance is {percent(scores['chance_uar'])} UAR; {told}."


def _mode(run: FinishedRun) -> str:
    stamp = "LEAKY, " if run.leaky else ""
    return f"{stamp}{run.mode} speakers, {run.facts['protocol']}"


def _head(run: FinishedRun) -> str:
    facts = run.facts
    lines = [f"# {run.name}"]
    if run.leaky:
        lines.append(f"**{LEAKY_WARNING}**")
    if run.missing:
        lines.append(f"**UNFINISHED: {', '.join(run.missing)} not there.**")
    lines.append(
        f"Names one of {len(run.classes)} expressions ({', '.join(run.classes)}) in a clip. "
        f"{_parameters(facts)}Trained and tested on {facts['dataset']}."
    )
    lines.append(f"- Label: {facts.get('label_meaning', 'not told')}")
    lines.append(f"- Licence of the data, which the weights inherit: {facts.get('licence', '?')}")
    return "\n\n".join(lines[:-1]) + "\n" + lines[-1]


def _parameters(facts: Mapping[str, Any]) -> str:
    return f"{facts['parameters']:,} parameters. " if facts.get("parameters") else ""


def _headline(run: FinishedRun, scores: Mapping[str, Any], calibration: Mapping[str, Any]) -> str:
    majority = scores["majority_baseline"]
    rows = [
        ("UAR", percent(scores["uar"]), between(scores["uar_ci95"]), percent(scores["chance_uar"])),
        (
            "WAR",
            percent(scores["war"]),
            between(scores["war_ci95"]),
            f"{percent(majority['war'])} (always {majority['class']})",
        ),
        ("macro-F1", percent(scores["macro_f1"]), "", ""),
    ]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    seeds = f"{percent(scores['seed_lowest'])} to {percent(scores['seed_highest'])}"
    return (
        f"## Figures ({_mode(run)})\n\n"
        "| figure | value | 95 % over speakers | chance or majority |\n|---|---|---|---|\n"
        + "\n".join(lines)
        + f"\n\n{scores['n']} clips of {scores['speakers']} speakers, every one scored, those "
        f"without a face too; UAR of seeds ({len(run.facts['seeds'])}) {seeds}. Calibration error "
        f"(ECE) {percent(calibration['ece'])}, Brier {calibration['brier']:.3f}."
    )


def _protocol(run: FinishedRun) -> str:
    facts = run.facts
    notes = "".join(f"\n- {note}" for note in facts["notes"])
    chosen = "clips" if run.leaky else "speakers, never on test speakers"
    return (
        f"## Protocol\n\n`{facts['protocol']}`, {len(facts['folds'])} folds, stamp "
        f"`{facts['protocol_stamp']}`. {run.mode.capitalize()} speakers: {MODE_MEANING[run.mode]}. "
        f"Epoch and temperature were chosen on validation {chosen}."
        + (f"\n{notes}" if notes else "")
    )


def _slice(row: Mapping[str, Any]) -> dict[str, Any]:
    gap = "-" if row["gap"] is None else f"{100 * row['gap']:+.1f} points"
    if row["gap_ci95"]:
        gap += f" ({100 * row['gap_ci95'][0]:+.1f} to {100 * row['gap_ci95'][1]:+.1f})"
    return {
        "slice": f"{row['trait']} {row['value']}",
        "clips": row["clips"],
        "speakers": row["speakers"],
        "uar": f"{percent(row['uar'])} ({between(row['uar_ci95'])})",
        "gap to the rest": gap,
        "what follows": row["follows"],
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
        f"## How it was made\n\n{versions}. Machine: {facts.get('machine', 'not told')}.\n\n"
        f"```\n{facts.get('command', '')}\n```\n\n```yaml\n{config}\n```"
    )
