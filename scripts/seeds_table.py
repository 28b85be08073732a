"""Write docs/seeds.md from the runs of scripts/reproduce_seeds.sh; what was not run is left out.

python scripts/seeds_table.py runs/seeds --out docs/seeds.md
"""

from __future__ import annotations

import csv
import json
import statistics
import sys
from pathlib import Path
from typing import Any

# config: what it is, the published figure in %, and what that figure is
MSP = "UAR, MSP-IMPROV, 4 classes, half of each held-out session"
FRAMES = "accuracy of frames, RAVDESS, 7 classes, actors 21-24, epoch chosen on them"
ACTORS = "accuracy, RAVDESS, 7 classes, actors 21-24, epoch chosen on them"
LEAKY = "accuracy, RAVDESS, 8 classes, LEAKY: clips dealt to folds, epoch chosen on the test fold"
SYSTEMS: dict[str, tuple[str, str, float | None, str]] = {
    "speech_fbank_conv": ("002", "filter banks, one convolution", 46.31, MSP),
    "face_frames_as_channels": ("003, its text", "8 faces as channels", 44.57, MSP),
    "face_landmark_distances": ("003, its code", "6 distances x 8 pictures", 42.75, MSP),
    "audio_visual_concat": ("000", "both joined", 54.87, MSP),
    "alexnet_visual": ("001", "AlexNet, every tenth frame", 48.89, FRAMES),
    "mfcc_alexnet_cnn": ("001", "MFCC, AlexNet-like", 53.33, ACTORS),
    "mfcc_lstm": ("001", "MFCC, LSTM", 37.68, ACTORS),
    "concat_8192": ("001, model 1", "4096 + 4096 features", 20.83, ACTORS),
    "single_frame_weighted_cnn": ("001, model 2", "one picture, CNN", 59.58, ACTORS),
    "single_frame_weighted_lstm": ("001, model 2", "one picture, LSTM", 45.83, ACTORS),
    "multi_frame_weighted_cnn": ("001, model 3", "six pictures, CNN", 63.33, ACTORS),
    "multi_frame_weighted_lstm": ("001, model 3", "six pictures, LSTM", 47.92, ACTORS),
    "logmel_image_cnn": ("004", "mel picture, AlexNet-like", None, LEAKY),
    "face_lrcn": ("004", "transformer, CNN, BiLSTM", 75.42, LEAKY),
    "late_fusion_nn": ("004", "dense layers on 1400 features", 85.76, LEAKY),
    "late_fusion_logreg": ("004", "logistic regression", 85.07, LEAKY),
    "late_fusion_logreg_pca": ("004", "PCA, logistic regression", 85.42, LEAKY),
    "late_fusion_svm": ("004", "support vector machine", 82.99, LEAKY),
}


def main(argv: list[str]) -> int:
    """Collect, write, say where."""
    folder, out = Path(argv[0]), Path(argv[argv.index("--out") + 1])
    runs = {name: read(folder / name) for name in SYSTEMS}
    leaky = {name: read(folder / f"leaky-{name}") for name in SYSTEMS}
    there = [run for run in runs.values() if run]
    if not there:
        print(f"error: no finished run in {folder}; scripts/reproduce_seeds.sh makes them")
        return 1
    text = "\n\n".join(
        [
            head(there),
            honest_table(runs),
            leaky_table(runs, leaky),
            targets(folder),
            sources(),
        ]
    )
    notes = out.with_name("seeds-notes.md")  # what the figures mean is written by people
    text += "\n\n" + notes.read_text(encoding="utf-8") if notes.exists() else "\n"
    out.write_text(text, encoding="utf-8")
    print(f"written: {out} ({len(there)} of {len(SYSTEMS)} systems)")
    return 0


def read(folder: Path) -> dict[str, Any] | None:
    """Join a cross-validation's plan, figures and epochs."""
    if not (folder / "metrics.json").exists():
        return None
    facts = json.loads((folder / "crossval.json").read_text(encoding="utf-8"))
    found = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    seconds = []
    for history in sorted(folder.glob("seed-*/fold-*/history.csv")):
        with history.open(newline="", encoding="utf-8") as file:
            seconds += [float(row["seconds"]) for row in csv.DictReader(file)]
    return {**facts, **found, "epoch_seconds": statistics.median(seconds)}


def head(runs: list[dict[str, Any]]) -> str:
    """Say what was run, on what, by what."""
    first = runs[0]
    versions = ", ".join(f"{k} {v}" for k, v in first["versions"].items())
    notes = sorted({note for run in runs for note in run["notes"]})
    lines = "\n".join(f"- {note}" for note in notes)
    seeds = sorted({len(run["seeds"]) for run in runs})
    return f"""# The systems of the seeds, measured

Written by `scripts/seeds_table.py` from the runs of
`scripts/reproduce_seeds.sh RAVDESS_FOLDER {seeds[-1]}`. Each system is one file in `configs/`.

Corpus: RAVDESS, {first["label_meaning"]}. Protocol: `{first["protocol"]}`, two
validation actors from the training side choose the epoch; the test actors are unseen. Seeds:
{seeds[-1]}. Machine: {first["machine"]}; {versions}. Notes of the protocol:

{lines}"""


def honest_table(runs: dict[str, dict[str, Any] | None]) -> str:
    """Ours on unseen actors beside what was published."""
    rows = [
        "| config | seed | what | published % | UAR % (95 %) | WAR % (95 %) | chance % | clips | "
        "parameters | s an epoch |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, run in runs.items():
        seed, what, published, _ = SYSTEMS[name]
        figure = "-" if published is None else f"{published:.2f}"
        if run is None:
            rows.append(f"| `{name}` | {seed} | {what} | {figure} | not run | | | | | |")
            continue
        rows.append(
            f"| `{name}` | {seed} | {what} | {figure} | {spread(run, 'uar')} | "
            f"{spread(run, 'war')} | {100 * run['chance_uar']:.1f} | {run['coverage']['clips']} | "
            f"{run['parameters']:,} | {run['epoch_seconds']:.1f} |"
        )
    return "\n".join(["## Unseen actors", "", *rows])


def leaky_table(
    runs: dict[str, dict[str, Any] | None], leaky: dict[str, dict[str, Any] | None]
) -> str:
    """Show what dealing clips instead of actors feigns."""
    rows = [
        "| config | published %, LEAKY | ours %, LEAKY | ours %, unseen | the leak, points |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, run in leaky.items():
        honest = runs[name]
        if run and honest:
            published = SYSTEMS[name][2]
            rows.append(
                f"| `{name}` | {'-' if published is None else f'{published:.2f}'} | "
                f"{spread(run, 'war')} | {spread(honest, 'war')} | "
                f"{100 * (run['war'] - honest['war']):+.1f} |"
            )
    title = "## Seed 004's protocol: LEAKY, and what is left of it (WAR)"
    return "\n".join([title, "", *rows]) if rows[2:] else ""


def targets(folder: Path) -> str:
    """Activation and valence, on the demo corpus: RAVDESS has no ratings."""
    rows = ["| target | scale | figure |", "| --- | --- | --- |"]
    for target in ("activation", "valence"):
        for scale in ("bins", "continuous"):
            run = read(folder / f"demo-{target}-{scale}")
            if run and scale == "bins":
                rows.append(f"| {target} | 3 classes | UAR {spread(run, 'uar')} % |")
            elif run:
                rows.append(
                    f"| {target} | 1 to 5 | CCC {run['ccc']:.3f}, PCC {run['pcc']:.3f}, "
                    f"RMSE {run['rmse']:.3f} |"
                )
    title = (
        "## Activation and valence (`audio_visual_concat`, demo corpus)\n\nDrawn faces and "
        "synthetic voices: that these run, and no evidence of anything."
    )
    return "\n".join([title, "", *rows]) if rows[2:] else ""


def spread(run: dict[str, Any], name: str) -> str:
    """Figure in percent with its interval over speakers."""
    interval = run[f"{name}_ci95"]
    sides = f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else ""
    return f"{100 * run[name]:.1f}{sides}"


def sources() -> str:
    """What each published figure is."""
    kinds: dict[str, list[str]] = {}
    for name, (_, _, published, what) in SYSTEMS.items():
        if published is not None:
            kinds.setdefault(what, []).append(f"`{name}`")
    lines = [f"- {', '.join(names)}: {what}." for what, names in kinds.items()]
    return "\n".join(["## What the published figures are", "", *lines])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
