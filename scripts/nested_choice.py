"""Let each fold's own training speakers choose among candidates; score only what they chose.

python scripts/nested_choice.py saved_models/work/cv-* --out docs/nested_choice.md

Candidates are cross-validations of one protocol whose runs have answers of inner folds (inner_folds
in their config). In every fold the candidate with the best inner UAR is taken, which no test
speaker had a part in, and its answers about the test speakers are joined with those of the others.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from emorec_tf import fold_files, inner_folds, runs
from emorec_tf.clip import UserError
from emorec_tf.model_card import between, percent
from emorec_tf.records import read_csv


def main() -> int:
    """Read, choose, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("candidates", nargs="+", type=Path, help="folders of crossval")
    parser.add_argument("--out", help="Markdown file to write; none: the table is printed")
    given = parser.parse_args()
    try:
        text = page(given.candidates)
    except UserError as error:
        print(f"error: {error}")
        return 1
    if given.out:
        Path(given.out).write_text(text, encoding="utf-8")
        print(f"written: {given.out}")
    else:
        print(text)
    return 0


def page(folders: list[Path]) -> str:
    """Choose in every fold and say all of it as Markdown.

    Raises:
        UserError: candidates that cannot stand beside each other.
    """
    for folder in folders:
        if not (folder / fold_files.FACTS).exists():
            raise UserError(f"{folder} holds no cross-validation")
    found = [fold_files.planned(folder) for folder in folders]
    facts = found[0]
    for folder, other in zip(folders, found, strict=True):
        for key in ("protocol_stamp", "enrol", "classes"):
            if other[key] != facts[key] or facts["leaky"]:
                raise UserError(f"{folder}: candidates need one protocol that is not leaky")
    seeds = min((other["seeds"] for other in found), key=len)
    pairs = [(seed, fold["name"]) for seed in seeds for fold in facts["folds"]]
    lines, rows = [], []
    for pair in pairs:
        line, own = chosen([fold_files.fold_folder(folder, *pair) for folder in folders])
        lines.append([*map(str, pair), *line])
        rows += [{**row, "seed": pair[0], "fold": pair[1]} for row in own]
    total = fold_files.pooled(rows, {**facts, "done": pairs, "seeds": seeds})
    wars = [json.loads((f / "metrics.json").read_text(encoding="utf-8"))["war"] for f in folders]
    names = [folder.name.removeprefix("cv-") for folder in folders]
    head = ["seed", "fold", *names, "test UAR", "test WAR"]
    table = "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *lines])
    figures = [
        f"{n.upper()} {percent(total[n])} ({between(total[f'{n}_ci95'])})" for n in ("war", "uar")
    ]
    alone = ", ".join(f"{name} {percent(war)}" for name, war in zip(names, wars, strict=True))
    command = f"python scripts/nested_choice.py {' '.join(map(str, folders))}"
    return (
        f"# Chosen without a look at the test speakers\n\n"
        f"{facts['dataset']}, {len(facts['classes'])} classes, `{facts['protocol']}`, "
        f"{total['mode']} speakers, {len(seeds)} seed(s): **{', '.join(figures)}**, 95 % over "
        f"speakers.\n\n"
        f"In each fold the training and validation speakers are dealt to inner folds, and every "
        f"candidate answers each of them by heads that never met him: the inner UAR. The best one "
        f"(bold) is taken and scored on the test speakers. Each candidate for itself, with figures "
        f"of the test speakers: WAR {alone}.\n\n{table}\n\n"
        f"The candidates were thought of after looking at figures of these folds (experiments.md): "
        f"the choice among them is free of the test speakers, their making is not.\n\n"
        f"```\n{command} --out docs/nested_choice.md\n```\n"
    )


def chosen(folders: list[Path]) -> tuple[list[str], list[dict[str, Any]]]:
    """Cells of a fold's line, and the answers of the candidate that is taken.

    Raises:
        UserError: a fold that is not done, or has no answers of inner folds.
    """
    inner = []
    for folder in folders:
        if not fold_files.is_done(folder):
            raise UserError(f"{folder} is not done; the same crossval command goes on")
        figures = inner_folds.figures(runs.load(folder))
        if figures is None:
            raise UserError(
                f"{folder} has no answers of inner folds; set inner_folds in its config"
            )
        inner.append(figures)
    best = max(range(len(folders)), key=lambda n: (inner[n]["uar"], -inner[n]["nll"]))
    cells = [f"{own['uar']:.3f}" for own in inner]
    cells[best] = f"**{cells[best]}**"
    scored = json.loads((folders[best] / "metrics.json").read_text(encoding="utf-8"))
    cells += [f"{scored[name]:.3f}" for name in ("uar", "war")]
    return cells, read_csv(folders[best] / "predictions.csv")


if __name__ == "__main__":
    raise SystemExit(main())
