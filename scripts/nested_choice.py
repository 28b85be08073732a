"""Nested selection: each fold's training speakers choose among candidates; only those are scored.

python scripts/nested_choice.py cv-voice-* --times cv-face-* --out docs/nested_choice.md

Candidates are cross-validations of one protocol with inner cross-validation (inner_folds in their
config). In each fold the candidate with the best inner UAR is selected, without the test speakers.
With ``--times``, one candidate of a second group is selected in the same way, and the
probabilities of both are multiplied.
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

EVALUATION = {  # the stored mode of a run, in the words of the field
    "unseen": "speaker-independent",
    "enrolled": "speaker-adapted",
    "known": "speaker-dependent",
}
Answers = dict[str, dict[str, str]]  # rows of predictions.csv by clip id


def main() -> int:
    """Read the candidates, select, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("candidates", nargs="+", type=Path, help="crossval folders")
    parser.add_argument(
        "--times", nargs="*", type=Path, default=[], help="second group, multiplied with the first"
    )
    parser.add_argument("--out", help="Markdown file to write (default: print)")
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
    """Select in each fold and report the result as Markdown.

    Raises:
        UserError: candidates that are not comparable.
    """
    folders = [folder for group in groups for folder in group]
    facts = common_facts(folders)
    seeds = min((crossval_files.planned(folder)["seeds"] for folder in folders), key=len)
    pairs = [(seed, fold["name"]) for seed in seeds for fold in facts["folds"]]
    names = [folder.name.removeprefix("cv-") for folder in folders]
    lines, rows = [["seed", "fold", *names, "test UAR", "test WAR"]], []
    lines.append(["---"] * len(lines[0]))
    for pair in pairs:
        cells, answers = [], []
        for group in groups:
            found, own = chosen([crossval_files.fold_folder(folder, *pair) for folder in group])
            cells += found
            answers.append(own)
        product = multiplied(answers, facts["classes"])
        scored = crossval_files.pooled(
            [{**row, "seed": 0} for row in product], {**facts, "done": [pair]}
        )
        lines.append([*map(str, pair), *cells, *(f"{scored[name]:.3f}" for name in ("uar", "war"))])
        rows += [{**row, "seed": pair[0], "fold": pair[1]} for row in product]
    total = crossval_files.pooled(rows, {**facts, "done": pairs, "seeds": seeds})
    summary = [
        f"{name.upper()} {percent(total[name])} ({between(total[f'{name}_ci95'])})"
        for name in ("war", "uar")
    ]
    wars = [json.loads((f / "metrics.json").read_text(encoding="utf-8"))["war"] for f in folders]
    alone = ", ".join(f"{name} {percent(war)}" for name, war in zip(names, wars, strict=True))
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    commands = " --times ".join(" ".join(map(str, group)) for group in groups)
    return (
        f"# Nested selection\n\n"
        f"{facts['dataset']}, {len(facts['classes'])} classes, `{facts['protocol']}`, "
        f"{EVALUATION[total['mode']]}, {len(seeds)} random seed(s): **{', '.join(summary)}**, 95 % "
        f"intervals over speakers.\n\n"
        f"In each fold, every candidate is scored by inner cross-validation over the training and "
        f"validation speakers (inner UAR). The best "
        f"candidate{' of each group' if groups[1:] else ''} (bold) is selected"
        f"{', their probabilities are multiplied' if groups[1:] else ''} and scored on the test "
        f"speakers. Test WAR of each candidate alone, not used in the selection: "
        f"{alone}.\n\n{table}\n\n"
        f"The candidates were designed with results on these folds ([experiments.md]"
        f"(experiments.md)): the selection among them is unbiased, their design is not.\n\n"
        f"```\npython scripts/nested_choice.py {commands} --out docs/nested_choice.md\n```\n"
    )


def common_facts(folders: list[Path]) -> dict[str, Any]:
    """Facts of the first cross-validation, shared by all others.

    Raises:
        UserError: no cross-validation, a leaky one, or other folds, classes or enrolment.
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
    """Cells of a fold's row, and the predictions of the selected candidate.

    Raises:
        UserError: an unfinished fold, or one without inner cross-validation.
    """
    inner = []
    for folder in folders:
        if not crossval_files.is_done(folder):
            raise UserError(f"{folder} is not done; run the same crossval command to resume")
        scores = inner_cv.scores(run_dir.load(folder))
        if scores is None:
            raise UserError(f"{folder} has no inner cross-validation; set inner_folds")
        inner.append(scores)
    best = max(range(len(folders)), key=lambda n: (inner[n]["uar"], -inner[n]["nll"]))
    cells = [f"{own['uar']:.3f}" for own in inner]
    cells[best] = f"**{cells[best]}**"
    return cells, {row["clip_id"]: row for row in read_csv(folders[best] / "predictions.csv")}


def multiplied(answers: list[Answers], classes: list[str]) -> list[dict[str, Any]]:
    """Rows of the first group with the product of all calibrated probabilities.

    Raises:
        UserError: the candidates have other clips.
    """
    first = answers[0]
    if any(set(own) != set(first) for own in answers):
        raise UserError("candidates have different clips; prepare their records from one corpus")
    rows = []
    for clip_id, row in first.items():
        shares = np.prod([[float(own[clip_id][c]) for c in classes] for own in answers], axis=0)
        rows.append({**row, **dict(zip(classes, shares / shares.sum(), strict=True))})
    return rows


if __name__ == "__main__":
    raise SystemExit(main())
