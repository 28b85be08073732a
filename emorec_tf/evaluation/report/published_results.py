"""Comparison of runs with each other, and with published systems and their protocols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml

from emorec_tf.config import choices
from emorec_tf.errors import UserError
from emorec_tf.evaluation import comparison
from emorec_tf.evaluation.completeness import NOT_COMPARABLE
from emorec_tf.evaluation.crossval_results import FinishedRun
from emorec_tf.evaluation.model_card import MODE_NAMES, between, percent
from emorec_tf.evaluation.report.report_tables import Row, Table, points
from emorec_tf.storage.files import rows_to_csv

PUBLISHED = Path(__file__).with_name("published.yaml")
BOTH = ("audio", "face")
WORDS = {"audio": "audio", "face": "video"}  # as published systems are described


def compared(runs: Sequence[FinishedRun]) -> Table | None:
    """Compare each pair of runs of one target over the same clips; None if there is no pair.

    Runs that estimate ratings are not compared.
    """
    rows, lines = [], []
    for pair in combinations([run for run in runs if run.classes], 2):
        if pair[0].target == pair[1].target:
            row, line = _comparison(*pair)
            rows.append(row)
            lines.append(line)
    if not rows:
        return None
    head = ("first", "minus second", "UAR, points", "WAR, points", "p (Wilcoxon)", "chance")
    return Table(
        "Differences over the same clips",
        "compared.csv",
        (*head, "conclusion"),
        tuple(rows),
        rows_to_csv(lines),
        "The bootstrap draws speakers and takes both runs' predictions for each.",
    )


def _comparison(first: FinishedRun, second: FinishedRun) -> tuple[Row, dict[str, Any]]:
    """Row of the page and line of the CSV for two runs."""
    pair = (first.name, second.name)
    leaky = tuple(at for at, run in enumerate((first, second)) if run.leaky)
    facts = [(run.facts["protocol_stamp"], run.mode) for run in (first, second)]
    try:
        both = comparison.compare(first.predictions(), second.predictions(), across_protocols=True)
    except UserError as error:
        row = Row((*pair, "-", "-", "-", "-", str(error)), leaky=leaky)
        return row, _comparison_line(first, second, {}, str(error))
    word = _conclusion(both["uar"]["ci95"])
    if facts[0] != facts[1]:
        word += "; protocols differ: this shows the protocol's effect, not which is better"
    gaps = [points(both[key]["difference"], both[key]["ci95"]) for key in ("uar", "war")]
    chance = f"{1 / len(set(first.labels)) * 100:.1f} %"
    p = both["uar"]["wilcoxon_p"]
    p_value = f"{p:.3f}" if p >= 0.001 else "< 0.001"
    row = Row((*pair, *gaps, p_value, chance, word), leaky=leaky)
    return row, _comparison_line(first, second, both, word)


def published(runs: Sequence[FinishedRun], found: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Table of the runs and published systems on their corpora, best first, leaky last."""
    known: dict[str, list[dict[str, Any]]] = yaml.safe_load(PUBLISHED.read_text(encoding="utf-8"))
    tables = []
    classifiers = [(r, f) for r, f in zip(runs, found, strict=True) if r.target == "emotion"]
    for dataset in dict.fromkeys(run.facts["dataset"] for run, _ in classifiers):
        if dataset not in known:
            continue
        lines = [_published_line(line) | {"leaky": ""} for line in known[dataset]]
        for run, metrics in classifiers:
            if run.facts["dataset"] == dataset:
                lines.append(_our_line(run, metrics["scores"]))
        lines.sort(key=lambda line: (line["leaky"], -line["percent"]))
        head = ("system", "modality", "metric", "%", "protocol", "speaker-independent", "notes")
        keys = ("system", "modality", "metric", "percent", "protocol", "unseen", "caveat")
        rows = []
        for line in lines:
            words = line | {"percent": f"{line['percent']:.1f}"}
            leaky = (0,) if line["leaky"] else ()
            rows.append(Row(tuple(words[k] for k in keys), line["ours"] == "yes", leaky))
        note = (
            "As reported by their authors (quoted: by others), on 8 classes of RAVDESS, 6 of "
            "CREMA-D, 4 of MSP-IMPROV. Speaker-independent: training saw no test speaker."
        )
        title, file = f"Published systems on {dataset}", f"published_{dataset}.csv"
        tables.append(Table(title, file, head, tuple(rows), rows_to_csv(lines), note, (3,)))
    return tables


def _published_line(line: Mapping[str, Any]) -> dict[str, Any]:
    quoted = ["quoted from another paper"] if line["quoted"] else []
    return {
        "system": line["system"],
        "modality": line["modality"],
        "metric": line["metric"],
        "percent": float(line["value"]),
        "protocol": line["protocol"],
        "unseen": line["unseen"],
        "caveat": "; ".join([c for c in [line["caveat"]] if c] + quoted),
        "ours": "no",
    }


def modality_of(fusion: str) -> str:
    """Say what a fusion uses: audio, video or both; of one that is not known any more, both."""
    entry = choices.entries("fusion").get(fusion)
    return " + ".join(WORDS[kind] for kind in (entry.facts.uses if entry else BOTH))


def _our_line(run: FinishedRun, scores: Mapping[str, Any]) -> dict[str, Any]:
    fusion = str(run.facts.get("config", {}).get("fusion", "")).partition("(")[0]
    warning = "; says nothing about new speakers" if run.leaky else ""
    partial = f"PARTIAL: {run.scope}; {NOT_COMPARABLE}; " if run.scope else ""
    return {
        "system": run.name,
        "modality": modality_of(fusion),
        "metric": "UAR",
        "percent": 100 * scores["uar"],
        "protocol": f"{run.facts['protocol']}, {MODE_NAMES[run.mode]}, {len(run.classes)} classes",
        "unseen": "no" if run.leaky else "yes",
        "caveat": f"{partial}95 %: {between(scores['uar_ci95'])}; "
        f"chance {percent(scores['chance_uar'])}{warning}",
        "ours": "yes",
        "leaky": "LEAKY" if run.leaky else "",
    }


def _conclusion(ci95: Sequence[float] | None) -> str:
    if ci95 is None:
        return "one speaker: inconclusive"
    if ci95[0] <= 0 <= ci95[1]:
        return "no significant difference"
    return "the first is better" if ci95[0] > 0 else "the second is better"


def _comparison_line(
    first: FinishedRun, second: FinishedRun, found: Mapping[str, Any], word: str
) -> dict[str, Any]:
    line: dict[str, Any] = {"first": first.name, "second": second.name}
    for number, run in (("first", first), ("second", second)):
        line |= {f"{number}_protocol": run.facts["protocol"], f"{number}_mode": run.mode}
    for key in ("uar", "war"):
        scores = found.get(key, {})
        low, high = scores.get("ci95") or (None, None)
        line |= {f"{key}_{n}": scores.get(n) for n in ("first", "second", "difference")}
        line |= {f"{key}_low": low, f"{key}_high": high}
        line |= {f"{key}_wilcoxon_p": scores.get("wilcoxon_p")}
    return line | {"leaky": "LEAKY" if first.leaky or second.leaky else "", "so": word}
