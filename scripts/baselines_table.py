"""Write docs/baselines.md from the runs of scripts/reproduce_baselines.sh.

python scripts/baselines_table.py runs/baselines --out docs/baselines.md

Baselines without a finished run are listed as "not run".
"""

from __future__ import annotations

import csv
import json
import statistics
import sys
from pathlib import Path
from typing import Any

# config: baseline, description, published result in %, and what was published
MSP = "UAR, MSP-IMPROV, 4 classes, half of each held-out session"
FRAMES = "accuracy of frames, RAVDESS, 7 classes, actors 21-24, epoch chosen on them"
ACTORS = "accuracy, RAVDESS, 7 classes, actors 21-24, epoch chosen on them"
LEAKY = "accuracy, RAVDESS, 8 classes, LEAKY: split by clip, epoch chosen on the test fold"
SYSTEMS: dict[str, tuple[str, str, float | None, str]] = {
    "speech_fbank_conv": ("002", "filter banks, one convolution", 46.31, MSP),
    "face_frames_as_channels": ("003, its text", "8 faces as channels", 44.57, MSP),
    "face_landmark_distances": ("003, its code", "6 distances x 8 frames", 42.75, MSP),
    "audio_visual_concat": ("000", "both joined", 54.87, MSP),
    "alexnet_visual": ("001", "AlexNet, every tenth frame", 48.89, FRAMES),
    "mfcc_alexnet_cnn": ("001", "MFCC, AlexNet-like", 53.33, ACTORS),
    "mfcc_lstm": ("001", "MFCC, LSTM", 37.68, ACTORS),
    "concat_8192": ("001, model 1", "4096 + 4096 features", 20.83, ACTORS),
    "single_frame_weighted_cnn": ("001, model 2", "one frame, CNN", 59.58, ACTORS),
    "single_frame_weighted_lstm": ("001, model 2", "one frame, LSTM", 45.83, ACTORS),
    "multi_frame_weighted_cnn": ("001, model 3", "six frames, CNN", 63.33, ACTORS),
    "multi_frame_weighted_lstm": ("001, model 3", "six frames, LSTM", 47.92, ACTORS),
    "logmel_image_cnn": ("004", "mel spectrogram as an image, AlexNet-like", None, LEAKY),
    "face_lrcn": ("004", "transformer, CNN, BiLSTM", 75.42, LEAKY),
    "late_fusion_nn": ("004", "dense layers on 1400 features", 85.76, LEAKY),
    "late_fusion_logreg": ("004", "logistic regression", 85.07, LEAKY),
    "late_fusion_logreg_pca": ("004", "PCA, logistic regression", 85.42, LEAKY),
    "late_fusion_svm": ("004", "support vector machine", 82.99, LEAKY),
}


ORIGINS = """Eighteen systems of five public projects, implemented again from their descriptions.
None of these projects carries a licence, so no code, weights or images of theirs are used.

| baseline | project |
| --- | --- |
| 000 | https://github.com/vollenia/emotion_recognition_audio-visual |
| 001 | https://github.com/luyunan0404/Multimodal-Emotion-Recognition |
| 002 | https://github.com/vollenia/emotion_recognition_from_speech |
| 003 | https://github.com/vollenia/emotion_recognition_from_facial_landmarks |
| 004 | https://github.com/RosRed/Multimodal-Emotion-Recognition-on-RAVDESS-dataset |
"""


def main(argv: list[str]) -> int:
    """Read the runs and write the page."""
    folder, out = Path(argv[0]), Path(argv[argv.index("--out") + 1])
    runs = {name: read(folder / name) for name in SYSTEMS}
    leaky = {name: read(folder / f"leaky-{name}") for name in SYSTEMS}
    finished = [run for run in runs.values() if run]
    if not finished:
        print(f"error: no finished run in {folder}; run scripts/reproduce_baselines.sh")
        return 1
    text = "\n\n".join(
        [
            head(finished),
            honest_table(runs),
            leaky_table(runs, leaky),
            targets(folder),
            sources(),
        ]
    )
    notes = out.with_name("baselines-notes.md")  # the discussion is written by hand
    text += "\n\n" + notes.read_text(encoding="utf-8") if notes.exists() else "\n"
    out.write_text(text, encoding="utf-8")
    print(f"written: {out} ({len(finished)} of {len(SYSTEMS)} baselines)")
    return 0


def read(folder: Path) -> dict[str, Any] | None:
    """Read the plan, the scores and the epoch times of a cross-validation; None if unfinished."""
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
    """Title, origin of the baselines, corpus, protocol, machine and versions."""
    first = runs[0]
    versions = ", ".join(f"{k} {v}" for k, v in first["versions"].items())
    notes = sorted({note for run in runs for note in run["notes"]})
    lines = "\n".join(f"- {note}" for note in notes)
    seeds = sorted({len(run["seeds"]) for run in runs})
    return f"""# Reimplemented baselines

{ORIGINS}
Written by `scripts/baselines_table.py` from the runs of
`scripts/reproduce_baselines.sh RAVDESS_FOLDER {seeds[-1]}`. Each baseline is a file in `configs/`.

Corpus: RAVDESS, {first["label_meaning"]}. Protocol: `{first["protocol"]}`; the epoch is
chosen on two validation actors from the training subset, and evaluation is speaker-independent.
Random seeds: {seeds[-1]}. Machine: {first["machine"]}; {versions}. Notes on the protocol:

{lines}"""


def honest_table(runs: dict[str, dict[str, Any] | None]) -> str:
    """Speaker-independent results beside the published ones."""
    rows = [
        "| config | baseline | what | published % | UAR % (95 %) | WAR % (95 %) | chance % | "
        "clips | parameters | s per epoch |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, run in runs.items():
        origin, what, published, _ = SYSTEMS[name]
        value = "-" if published is None else f"{published:.2f}"
        if run is None:
            rows.append(f"| `{name}` | {origin} | {what} | {value} | not run | | | | | |")
            continue
        rows.append(
            f"| `{name}` | {origin} | {what} | {value} | {spread(run, 'uar')} | "
            f"{spread(run, 'war')} | {100 * run['chance_uar']:.1f} | {run['coverage']['clips']} | "
            f"{run['parameters']:,} | {run['epoch_seconds']:.1f} |"
        )
    return "\n".join(["## Speaker-independent results", "", *rows])


def leaky_table(
    runs: dict[str, dict[str, Any] | None], leaky: dict[str, dict[str, Any] | None]
) -> str:
    """Results of a split by clip beside those of a split by speaker."""
    rows = [
        "| config | published %, LEAKY | ours %, LEAKY | ours %, speaker-independent | "
        "difference, points |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, run in leaky.items():
        independent = runs[name]
        if run and independent:
            published = SYSTEMS[name][2]
            rows.append(
                f"| `{name}` | {'-' if published is None else f'{published:.2f}'} | "
                f"{spread(run, 'war')} | {spread(independent, 'war')} | "
                f"{100 * (run['war'] - independent['war']):+.1f} |"
            )
    title = "## The protocol of baseline 004 is LEAKY: WAR with and without the leak"
    return "\n".join([title, "", *rows]) if rows[2:] else ""


def targets(folder: Path) -> str:
    """Activation (arousal) and valence on the demo corpus, as RAVDESS has no ratings."""
    rows = ["| target | scale | result |", "| --- | --- | --- |"]
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
        "## Activation (arousal) and valence (`audio_visual_concat`, demo corpus)\n\nDrawn faces "
        "and synthetic voices: this shows that the targets run and is evidence of nothing else."
    )
    return "\n".join([title, "", *rows]) if rows[2:] else ""


def spread(run: dict[str, Any], name: str) -> str:
    """Score in percent with its 95 % interval over speakers."""
    interval = run[f"{name}_ci95"]
    bounds = f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else ""
    return f"{100 * run[name]:.1f}{bounds}"


def sources() -> str:
    """What each published result measures."""
    kinds: dict[str, list[str]] = {}
    for name, (_, _, published, what) in SYSTEMS.items():
        if published is not None:
            kinds.setdefault(what, []).append(f"`{name}`")
    lines = [f"- {', '.join(names)}: {what}." for what, names in kinds.items()]
    return "\n".join(["## What the published results measure", "", *lines])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
