"""Write docs/leaderboard.md: ours from saved out-of-fold answers, beside what others published.

python scripts/leaderboard.py runs/ravdess/cv-* --clip clip.mp4 --out docs/leaderboard.md

The first run is the one whose parts and failures are shown; the others are compared with it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from emorec_tf.config import choices
from emorec_tf.errors import UserError
from emorec_tf.evaluation import comparison, crossval_files
from emorec_tf.evaluation.crossval_results import FinishedRun, read
from emorec_tf.evaluation.model_card import between, percent
from emorec_tf.evaluation.report.published_results import MODALITIES, PUBLISHED
from emorec_tf.inference import predictor
from emorec_tf.storage.files import read_csv
from emorec_tf.tasks import metrics
from emorec_tf.training import run_dir

REPEATS = 5
CONFUSIONS = 6  # as many of the most frequent are named


def main() -> int:
    """Read, compute, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", help="folders of crossval; the main one first")
    parser.add_argument("--clip", help="film that each model is timed on, from the file on")
    parser.add_argument("--out", default="docs/leaderboard.md")
    given = parser.parse_args()
    found = [read(folder) for folder in given.runs]
    if any(run.missing or run.leaky or not run.classes for run in found):
        print("error: a run is unfinished, leaky, or estimates ratings; leave it out")
        return 1
    command = f"python scripts/leaderboard.py {' '.join(given.runs)}"
    command += f" --clip {given.clip}" if given.clip else ""
    parts = [head(found, command), board(found, given.clip), *worth(found), *failures(found[0])]
    Path(given.out).write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print(f"written: {given.out}")
    return 0


def head(found: list[FinishedRun], command: str) -> str:
    """Say what the figures are."""
    facts = found[0].facts
    notes = "".join(f"\n- {note}" for note in facts["notes"])
    return (
        f"# Leaderboard: {facts['dataset']}, {len(facts['classes'])} classes\n\n"
        f"Ours: protocol `{facts['protocol']}` (stamp `{facts['protocol_stamp']}`), "
        f"{len(facts['folds'])} folds, every clip scored but those that enrol, 95 % "
        f"intervals over speakers. {facts['machine']}. Written by\n\n```\n{command}\n```\n"
        f"{notes}\n\nAn *unseen* speaker was never met; of an *enrolled* one some unlabelled clips "
        f"were, which are not scored. Training: the slowest fold, all members together. "
        f"A clip is timed from the file to the answer, the median of {REPEATS}, once the model is "
        f"loaded. Figures of others are as published, each under its own protocol.\n\n"
        f"**What our models are made of was chosen after looking at figures of these very folds** "
        f"(experiments.md), so a little of ours is chance; in [nested_choice.md](nested_choice.md) "
        f"the training speakers of each fold choose."
    )


def table(names: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Lay a table out in Markdown."""
    lines = [names, tuple("---" for _ in names), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def board(found: list[FinishedRun], clip: str | None) -> str:
    """Ours and theirs, the best first."""
    rows = [(100 * scores_of(run)["war"], ours(run, clip)) for run in found]
    known = yaml.safe_load(PUBLISHED.read_text(encoding="utf-8"))
    for line in known.get(found[0].facts["dataset"], []):
        caveat = "; ".join(filter(None, [line["caveat"], "quoted" if line["quoted"] else ""]))
        war, uar = (
            ("", f"{line['value']:g} %")
            if line["metric"] == "UAR"
            else (f"{line['value']:g} %", "")
        )
        protocol = f"{line['protocol']} ({caveat})" if caveat else line["protocol"]
        row = (line["system"], line["modality"], war, uar, protocol, "", "", "")
        rows.append((float(line["value"]), row))
    rows.sort(key=lambda pair: -pair[0])
    names = ("system", "modality", "WAR or accuracy", "UAR", "protocol", "parameters",
             "training", "a clip")  # fmt: skip
    return table(names, [row for _, row in rows])


def ours(run: FinishedRun, clip: str | None) -> tuple[str, ...]:
    """One of our rows."""
    scores, facts = scores_of(run), run.facts
    fusion = choices.parse(str(facts["config"]["fusion"]))[0]
    modality = (
        "audio + video" if facts["config"]["ensemble"] else MODALITIES.get(fusion, "audio + video")
    )
    mode = run.mode + (f" by {facts['enrol']} clips" if facts["enrol"] else "")
    return (
        f"**{run.name}**",
        modality,
        f"**{percent(scores['war'])}** ({between(scores['war_ci95'])})",
        f"**{percent(scores['uar'])}** ({between(scores['uar_ci95'])})",
        f"{facts['protocol']}, {len(facts['folds'])} folds, {len(facts['seeds'])} seed(s), {mode}",
        f"{facts['parameters']:,}",
        f"{max(training_seconds(run)):.0f} s",
        f"{1000 * seconds_a_clip(run, clip):.0f} ms" if clip and not facts["enrol"] else "",
    )


def scores_of(run: FinishedRun) -> dict[str, Any]:
    """Figures of all answers together."""
    return metrics.scores(run.labels.tolist(), run.answers, run.classes, run.speakers.tolist())


def folds_of(run: FinishedRun) -> list[Path]:
    """Folders of all folds and seeds."""
    pairs = [(seed, fold["name"]) for seed in run.facts["seeds"] for fold in run.facts["folds"]]
    places = [crossval_files.fold_folder(f, s, n) for s, n in pairs for f in run.folders]
    return [place for place in places if (place / "run.json").exists()]


def training_seconds(run: FinishedRun) -> list[float]:
    """Seconds of the epochs of each fold, with those of its steps or members."""
    found = []
    for folder in folds_of(run):
        steps = [folder / step["folder"] for step in run_dir.load(folder).steps.values()]
        rows = [row for place in (folder, *steps) for row in read_csv(place / "history.csv")]
        found.append(sum(float(row["seconds"]) for row in rows))
    return found


def seconds_a_clip(run: FinishedRun, clip: str) -> float:
    """Median seconds from a file to the answer."""
    ready = predictor.opened(str(folds_of(run)[0]))
    spent = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        predictor.clip_answer(ready, clip, speech_check=True)
        spent.append(time.perf_counter() - start)
    return statistics.median(spent[1:])


def worth(found: list[FinishedRun]) -> list[str]:
    """What the main run has over each other one, paired over the same clips."""
    rows: list[tuple[str, ...]] = []
    for other in found[1:]:
        if other.mode != found[0].mode:
            continue
        try:
            told = comparison.compare(found[0].predictions(), other.predictions())
        except UserError as error:
            rows.append((other.name, "", "", str(error)))
            continue
        cells = []
        for name in ("war", "uar"):
            low, high = told[name]["ci95"] or (float("nan"),) * 2
            cells.append(
                f"{100 * told[name]['difference']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
            )
        p = told["war"]["wilcoxon_p"]
        rows.append((other.name, *cells, f"{p:.3f}" if p >= 0.001 else "< 0.001"))
    if not rows:
        return []
    title = f"## What {found[0].name} has over the others, in points\n\n"
    return [title + table(("less", "WAR", "UAR", "p (Wilcoxon, WAR)"), rows)]


def failures(run: FinishedRun) -> list[str]:
    """Confusions, speakers, and what is left with one modality gone or damaged."""
    classes, guesses = run.classes, run.answers.argmax(1)
    counts = metrics.confusion_of(run.truth, guesses, len(classes))
    shares = counts / counts.sum(1, keepdims=True)
    order = [np.unravel_index(i, counts.shape) for i in np.argsort(-shares, axis=None)]
    wrong = [(a, b) for a, b in order if a != b][:CONFUSIONS]
    recalls = [(classes[i], percent(float(shares[i, i]))) for i in np.argsort(np.diag(shares))]
    confused = [(classes[a], classes[b], percent(float(shares[a, b]))) for a, b in wrong]
    right = {s: float((guesses == run.truth)[run.speakers == s].mean()) for s in set(run.speakers)}
    people = [(s, percent(value)) for s, value in sorted(right.items(), key=lambda item: item[1])]
    told = [
        f"## How {run.name} fails",
        table(("class", "recall"), recalls),
        table(("said to be shown", "taken for", "share"), confused),
        table(("speaker", "WAR"), [*people[:3], ("...", ""), *people[-2:]]),
    ]
    conditions = list(dict.fromkeys(row["condition"] for row in run.robustness))
    if conditions:
        rows = []
        for condition in conditions:
            lines = [row for row in run.robustness if row["condition"] == condition]
            means = [statistics.mean(float(row[name]) for row in lines) for name in ("war", "uar")]
            rows.append((condition, *map(percent, means)))
        told.append(table(("voice or face missing or damaged", "WAR", "UAR"), rows))
    return told


if __name__ == "__main__":
    raise SystemExit(main())
