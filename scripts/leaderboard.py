"""Write docs/leaderboard.md: our out-of-fold results beside published ones.

python scripts/leaderboard.py runs/ravdess/cv-* --clip clip.mp4 --out docs/leaderboard.md

The first run is analysed in detail; the others are compared with it.
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
from emorec_tf.evaluation import comparison, crossval_files, shown_names
from emorec_tf.evaluation.crossval_results import FinishedRun, read
from emorec_tf.evaluation.model_card import between, percent
from emorec_tf.evaluation.report.published_results import PUBLISHED, modality_of
from emorec_tf.inference import predictor
from emorec_tf.storage.files import read_csv
from emorec_tf.tasks import metrics
from emorec_tf.training import run_dir

REPEATS = 5
CONFUSIONS = 6  # the most frequent ones
EVALUATION = {  # the stored mode of a run, in the words of the field
    "unseen": "speaker-independent",
    "enrolled": "speaker-adapted",
    "known": "speaker-dependent",
    "unidentified": "people not identified",
}


def main() -> int:
    """Read the cross-validations and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", help="crossval folders; the main one first")
    parser.add_argument("--clip", help="video used to time predictions, decoding included")
    parser.add_argument("--out", default="docs/leaderboard.md")
    given = parser.parse_args()
    found = [read(folder) for folder in given.runs]
    if any(run.missing or run.leaky or not run.classes for run in found):
        print("error: a run is unfinished, leaky or predicts ratings; leave it out")
        return 1
    command = f"python scripts/leaderboard.py {' '.join(given.runs)}"
    command += f" --clip {given.clip}" if given.clip else ""
    parts = [head(found, command), board(found, given.clip), *gains(found), *failures(found[0])]
    Path(given.out).write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print(f"written: {given.out}")
    return 0


def head(found: list[FinishedRun], command: str) -> str:
    """Describe protocol, machine, command and how to read the table."""
    facts = found[0].facts
    notes = "".join(f"\n- {note}" for note in facts["notes"])
    return (
        f"# Leaderboard: {facts['dataset']}, {len(facts['classes'])} classes\n\n"
        f"Ours: protocol `{facts['protocol']}` (fingerprint `{facts['protocol_stamp']}`), "
        f"{len(facts['folds'])} folds, all clips scored except enrolment clips, 95 % "
        f"intervals over speakers. {facts['machine']}. Written by\n\n```\n{command}\n```\n"
        f"{notes}\n\nSpeaker-independent: test speakers are new to the model. Speaker-adapted: "
        f"some unlabelled enrolment clips of each test speaker are used, and not scored. Training: "
        f"the slowest fold, with all ensemble members. Prediction: median of {REPEATS} predictions "
        f"of one clip from file to result, with the model loaded. Results of others are as "
        f"published, each under its own protocol.\n\n"
        f"**Feature design used results on these folds** ([experiments.md](experiments.md)), so "
        f"expect optimistic bias in our results; [nested_choice.md](nested_choice.md) has the "
        f"nested selection."
    )


def table(names: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Format a Markdown table."""
    lines = [names, tuple("---" for _ in names), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def board(found: list[FinishedRun], clip: str | None) -> str:
    """Our results and published ones, best first."""
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
             "training", "prediction")  # fmt: skip
    return table(names, [row for _, row in rows])


def ours(run: FinishedRun, clip: str | None) -> tuple[str, ...]:
    """Row of one of our runs."""
    scores, facts = scores_of(run), run.facts
    fusion = choices.parse(str(facts["config"]["fusion"]))[0]
    modality = "audio + video" if facts["config"]["ensemble"] else modality_of(fusion)
    mode = EVALUATION[run.mode] + (f" by {facts['enrol']} clips" if facts["enrol"] else "")
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
    """Scores of all out-of-fold predictions together."""
    return metrics.scores(run.labels.tolist(), run.answers, run.classes, run.speakers.tolist())


def folds_of(run: FinishedRun) -> list[Path]:
    """Folders of all folds and random seeds."""
    pairs = [(seed, fold["name"]) for seed in run.facts["seeds"] for fold in run.facts["folds"]]
    places = [crossval_files.fold_folder(f, s, n) for s, n in pairs for f in run.folders]
    return [place for place in places if (place / "run.json").exists()]


def training_seconds(run: FinishedRun) -> list[float]:
    """Training time of each fold in seconds, pretraining stages and ensemble members included."""
    found = []
    for folder in folds_of(run):
        steps = [folder / step["folder"] for step in run_dir.load(folder).steps.values()]
        rows = [row for place in (folder, *steps) for row in read_csv(place / "history.csv")]
        found.append(sum(float(row["seconds"]) for row in rows))
    return found


def seconds_a_clip(run: FinishedRun, clip: str) -> float:
    """Median seconds from a file to its prediction."""
    ready = predictor.load(str(folds_of(run)[0]))
    spent = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        ready.answer_clip(clip, speech_check=True)
        spent.append(time.perf_counter() - start)
    return statistics.median(spent[1:])


def gains(found: list[FinishedRun]) -> list[str]:
    """Differences of the main run to each other one, paired over the same clips."""
    rows: list[tuple[str, ...]] = []
    for other in found[1:]:
        if other.mode != found[0].mode:
            continue
        try:
            compared = comparison.compare(found[0].predictions(), other.predictions())
        except UserError as error:
            rows.append((other.name, "", "", str(error)))
            continue
        cells = []
        for name in ("war", "uar"):
            low, high = compared[name]["ci95"] or (float("nan"),) * 2
            cells.append(
                f"{100 * compared[name]['difference']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
            )
        p = compared["war"]["wilcoxon_p"]
        rows.append((other.name, *cells, f"{p:.3f}" if p >= 0.001 else "< 0.001"))
    if not rows:
        return []
    title = f"## Gain of {found[0].name} over the others, in points\n\n"
    return [title + table(("compared with", "WAR", "UAR", "p (Wilcoxon, WAR)"), rows)]


def failures(run: FinishedRun) -> list[str]:
    """Recalls, confusions, speakers and robustness to corruption."""
    classes, guesses = run.classes, run.answers.argmax(1)
    counts = metrics.confusion_of(run.truth, guesses, len(classes))
    shares = counts / counts.sum(1, keepdims=True)
    order = [np.unravel_index(i, counts.shape) for i in np.argsort(-shares, axis=None)]
    wrong = [(a, b) for a, b in order if a != b][:CONFUSIONS]
    recalls = [(classes[i], percent(float(shares[i, i]))) for i in np.argsort(np.diag(shares))]
    confused = [(classes[a], classes[b], percent(float(shares[a, b]))) for a, b in wrong]
    right = {s: float((guesses == run.truth)[run.speakers == s].mean()) for s in set(run.speakers)}
    people = [(s, percent(value)) for s, value in sorted(right.items(), key=lambda item: item[1])]
    parts = [
        f"## Errors of {run.name}",
        table(("class", "recall"), recalls),
        table(("label", "predicted as", "share"), confused),
        table(("speaker", "WAR"), [*people[:3], ("...", ""), *people[-2:]]),
    ]
    conditions = list(dict.fromkeys(row["condition"] for row in run.robustness))
    if conditions:
        rows = []
        for condition in conditions:
            lines = [row for row in run.robustness if row["condition"] == condition]
            means = [statistics.mean(float(row[name]) for row in lines) for name in ("war", "uar")]
            rows.append((shown_names.corruption(condition), *map(percent, means)))
        parts.append(table(("corruption", "WAR", "UAR"), rows))
    return parts


if __name__ == "__main__":
    raise SystemExit(main())
