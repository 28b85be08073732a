"""Let each fold's own training speakers choose among candidates; score only what they chose.

python scripts/nested_choice.py cv-voice-* --times cv-face-* --out docs/nested_choice.md

Candidates are cross-validations of one protocol whose runs have answers of inner folds (inner_folds
in their config). In every fold the candidate with the best inner UAR is taken, which no test
speaker had a part in. With ``--times`` a second group is chosen from likewise, and the two answers
are multiplied.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from emorec_tf.errors import UserError
from emorec_tf.evaluation import crossval_files
from emorec_tf.evaluation.model_card import between, percent
from emorec_tf.storage.files import read_csv
from emorec_tf.training import inner_cv, run_dir

Answers = dict[str, dict[str, str]]  # rows of predictions.csv by clip id


def main() -> int:
    """Read, choose, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("candidates", nargs="+", type=Path, help="folders of crossval")
    parser.add_argument("--times", nargs="*", type=Path, default=[], help="others, to multiply by")
    parser.add_argument("--out", help="Markdown file to write; none: the table is printed")
    given = parser.parse_args()
    try:
        text = page([group for group in (given.candidates, given.times) if group])
    except UserError as error:
        print(f"error: {error}")
        return 1
    if given.out:
        Path(given.out).write_text(text, encoding="utf-8")
        print(f"written: {given.out}")
    else:
        print(text)
    return 0


def page(groups: list[list[Path]]) -> str:
    """Choose in every fold and say all of it as Markdown.

    Raises:
        UserError: candidates that cannot stand beside each other.
    """
    everybody = [folder for group in groups for folder in group]
    facts = alike(everybody)
    seeds = min((crossval_files.planned(folder)["seeds"] for folder in everybody), key=len)
    pairs = [(seed, fold["name"]) for seed in seeds for fold in facts["folds"]]
    names = [folder.name.removeprefix("cv-") for folder in everybody]
    lines, rows = [["seed", "fold", *names, "test UAR", "test WAR"]], []
    lines.append(["---"] * len(lines[0]))
    for pair in pairs:
        cells, answers = [], []
        for group in groups:
            found, own = chosen([crossval_files.fold_folder(folder, *pair) for folder in group])
            cells += found
            answers.append(own)
        told = multiplied(answers, facts["classes"])
        scored = crossval_files.pooled(
            [{**row, "seed": 0} for row in told], {**facts, "done": [pair]}
        )
        lines.append([*map(str, pair), *cells, *(f"{scored[name]:.3f}" for name in ("uar", "war"))])
        rows += [{**row, "seed": pair[0], "fold": pair[1]} for row in told]
    total = crossval_files.pooled(rows, {**facts, "done": pairs, "seeds": seeds})
    figures = [
        f"{name.upper()} {percent(total[name])} ({between(total[f'{name}_ci95'])})"
        for name in ("war", "uar")
    ]
    wars = [json.loads((f / "metrics.json").read_text(encoding="utf-8"))["war"] for f in everybody]
    alone = ", ".join(f"{name} {percent(war)}" for name, war in zip(names, wars, strict=True))
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    commands = " --times ".join(" ".join(map(str, group)) for group in groups)
    return (
        f"# Chosen without a look at the test speakers\n\n"
        f"{facts['dataset']}, {len(facts['classes'])} classes, `{facts['protocol']}`, "
        f"{total['mode']} speakers, {len(seeds)} seed(s): **{', '.join(figures)}**, 95 % over "
        f"speakers.\n\n"
        f"In each fold the training and validation speakers are dealt to inner folds, and every "
        f"candidate answers each of them by heads that never met him: the inner UAR. The best "
        f"one{' of each group' if groups[1:] else ''} (bold) is taken"
        f"{', their answers are multiplied' if groups[1:] else ''} and scored on the test "
        f"speakers. What each candidate has on the test speakers for itself played no part: WAR "
        f"{alone}.\n\n{table}\n\n"
        f"The candidates were thought of after looking at figures of these folds (experiments.md): "
        f"the choice among them is free of the test speakers, their making is not.\n\n"
        f"```\npython scripts/nested_choice.py {commands} --out docs/nested_choice.md\n```\n"
    )


def alike(folders: list[Path]) -> dict[str, Any]:
    """Facts of the first cross-validation, which all others share.

    Raises:
        UserError: one that is none, is leaky, or has other folds, classes or speakers known.
    """
    for folder in folders:
        if not (folder / crossval_files.FACTS).exists():
            raise UserError(f"{folder} holds no cross-validation")
    facts = crossval_files.planned(folders[0])
    for folder in folders:
        own = crossval_files.planned(folder)
        same = all(own[key] == facts[key] for key in ("protocol_stamp", "enrol", "classes"))
        if not same or own["leaky"] or not own["classes"]:
            raise UserError(f"{folder}: candidates need one protocol of emotions, none leaky")
    return facts


def chosen(folders: list[Path]) -> tuple[list[str], Answers]:
    """Cells of a fold's line, and the answers of the candidate that is taken.

    Raises:
        UserError: a fold that is not done, or has no answers of inner folds.
    """
    inner = []
    for folder in folders:
        if not crossval_files.is_done(folder):
            raise UserError(f"{folder} is not done; the same crossval command goes on")
        figures = inner_cv.scores(run_dir.load(folder))
        if figures is None:
            raise UserError(f"{folder} has no answers of inner folds; set inner_folds")
        inner.append(figures)
    best = max(range(len(folders)), key=lambda n: (inner[n]["uar"], -inner[n]["nll"]))
    cells = [f"{own['uar']:.3f}" for own in inner]
    cells[best] = f"**{cells[best]}**"
    return cells, {row["clip_id"]: row for row in read_csv(folders[best] / "predictions.csv")}


def multiplied(answers: list[Answers], classes: list[str]) -> list[dict[str, Any]]:
    """Rows of the first with the product of all probabilities, which are calibrated.

    Raises:
        UserError: other clips.
    """
    first = answers[0]
    if any(set(own) != set(first) for own in answers):
        raise UserError("candidates answered other clips; prepare their records from one corpus")
    rows = []
    for clip_id, row in first.items():
        shares = np.prod([[float(own[clip_id][c]) for c in classes] for own in answers], axis=0)
        rows.append({**row, **dict(zip(classes, shares / shares.sum(), strict=True))})
    return rows


if __name__ == "__main__":
    raise SystemExit(main())
