"""Training in steps: branches first, each a run of its own, then what is built on them.

A step takes model and training from its own config; data, features, split and seed from the run
that needs it, so no step hears or sees a speaker whom that run is tested on. Steps lie in
``first/`` beside the run (or the cross-validation), named by all that decides them: runs beside
each other share them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emorec_tf.config import choices
from emorec_tf.config.config import (
    Config,
    ModelConfig,
    TrainConfig,
    build,
    flat,
    read_yaml,
    section_of,
)
from emorec_tf.config.fields import check, nearest
from emorec_tf.config.flags import checked
from emorec_tf.errors import UserError
from emorec_tf.splits.splits import Split
from emorec_tf.storage.locks import alone
from emorec_tf.storage.paths import copy
from emorec_tf.training import run_dir
from emorec_tf.training.run_dir import Run

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Step:
    """A run that comes first."""

    file: Path  # its config
    folder: Path
    settings: Config


def has_classifier(settings: Config) -> bool:
    """Whether a classical head is asked for."""
    return choices.parse(settings.model.classifier)[0] != "none"


def named(settings: Config) -> str:
    """Comma list of the configs that come first: steps, or members."""
    return settings.model.ensemble or settings.train.pretrain or ""


def branches_answer_alike(settings: Config) -> bool:
    """Whether branches give the same for a clip in every epoch, as nothing is drawn by chance."""
    train = settings.train
    varied = train.augment or train.augment_channel
    drawn = varied or train.train_frames or settings.model.modality_dropout
    return train.freeze_branches and not drawn


def check_steps(settings: Config) -> None:
    """Refuse steps and heads that cannot be, before anything is begun; note what they leave aside.

    Raises:
        UserError: no such config, one that has steps itself, or a classifier that does not fit.
    """
    for file in files_of(named(settings)):
        own, values = of_file(file, settings), read_yaml(file)
        uses = choices.facts("fusion", own.model.fusion).uses
        for name in [n for n in values if section_of(n) == "features"]:
            needed = ("face" if name.startswith("face_") else "audio") in uses
            used = getattr(settings.features, name)
            if used != values[name] and needed:
                print(f"note: {file} has {name} {values[name]}; the records have {used}")
    check_members(settings)
    if settings.train.augment_channel or settings.train.augmented_copies:
        name = settings.features.audio_features
        choices.facts("audio_features", name).check_powers(name)
    if not has_classifier(settings):
        refit = settings.train.refit and settings.model.ensemble is None
        check(not refit, "refit", True, "off unless a classifier or members are asked for")
        for name in ("inner_folds", "augmented_copies"):
            given = getattr(settings.train, name)
            check(not given, name, given, "0 without a classifier; members have their own")
        return
    choice, fusion = settings.model.classifier, choices.parse(settings.model.fusion)[0]
    replaceable = [n for n, e in choices.entries("fusion").items() if e.facts.head_replaceable]
    choices.resolve("classifier", choice)(settings.train.class_weights)  # refuses wrong knobs
    heads = f"{', '.join(replaceable)} under a classifier, which takes the head's place"
    check(fusion in replaceable, "fusion", fusion, heads)
    used = choices.facts("fusion", fusion).uses
    heard = "audio" in used or not settings.train.augmented_copies
    check(
        heard, "augmented_copies", settings.train.augmented_copies, "0 where the face alone is used"
    )
    branches = {kind: choices.facts(kind, getattr(settings.model, kind)) for kind in used}
    if settings.train.pretrain is None:
        check_trained(settings, [f"{kind}_branch" for kind in used if branches[kind].trainable])
    scale = settings.data.target_scale
    check(scale == "bins", "target_scale", scale, "bins under a classifier")


def check_members(settings: Config) -> None:
    """Refuse members of a run that is to train something itself, or that estimate a rating."""
    if settings.model.ensemble is None:
        return
    alone = settings.train.pretrain is None and not settings.train.freeze_branches
    alone = alone and not has_classifier(settings) and settings.data.target_scale == "bins"
    check(
        alone,
        "ensemble",
        settings.model.ensemble,
        "without pretrain, freeze_branches, classifier and target_scale continuous: each member "
        "is trained on its own, and their probabilities are multiplied",
    )


def planned(settings: Config, first: Path, classes: Sequence[str], split: Split) -> list[Step]:
    """Say what is trained first, in which folder of ``first``; nothing is trained or written here.

    Raises:
        UserError: no such config, or one that has steps itself.
    """
    found = []
    for file in files_of(named(settings)):
        own = of_file(file, settings)
        name = f"{file.stem}-{stamp(flat(own), list(classes), dataclasses.asdict(split))}"
        found.append(Step(file, first / name, own))
    return found


def stamps(settings: Config) -> dict[str, str]:
    """Eight hexadecimal digits for each config of ``pretrain``, of its model and training."""
    own = {str(f): of_file(f, settings) for f in files_of(named(settings))}
    return {n: stamp(vars(c.model), {**vars(c.train), "seed": 0}) for n, c in own.items()}


def stamp(*facts: Any) -> str:
    """Eight hexadecimal digits that change with any of these facts."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]


def files_of(pretrain: str) -> list[Path]:
    """Find the configs in a comma list: there, else in ``configs``, with or without .yaml.

    Raises:
        UserError: no such file.
    """
    found = []
    for name in [n.strip() for n in pretrain.split(",") if n.strip()]:
        places = [Path(name), Path("configs", Path(name).name)]
        tries = [path for p in places for path in (p, p.with_name(f"{p.name}.yaml"))]
        file = next((path for path in tries if path.is_file()), None)
        if file is None:
            there = [p.stem for place in places for p in place.parent.glob("[!.]*.yaml")]
            hint = nearest(Path(name).stem, there) if there else "give the file's path"
            raise UserError(f"pretrain: there is no config {name}; {hint}")
        found.append(file)
    return found


def of_file(file: Path, settings: Config) -> Config:
    """Model and training of a step's config, with the rest of the run that needs it.

    Raises:
        UserError: the config has steps or a classifier itself, or an unknown choice.
    """
    values = read_yaml(file)
    given = {k: v for k, v in values.items() if section_of(k) in ("model", "train")}
    own = build(checked(given, file, ModelConfig, TrainConfig))
    classifier = has_classifier(own) and settings.model.ensemble is None
    if own.train.pretrain or own.model.ensemble or classifier:
        raise UserError(f"pretrain: {file} has steps of its own; name those here instead")
    for kind in choices.NETWORK:
        choices.check(kind, getattr(own.model, kind))
    same = {name: getattr(settings.train, name) for name in ("seed", "precision", "jit")}
    if settings.model.ensemble and "precision" in values:
        same["precision"] = own.train.precision  # a network of its own, whatever stands beside it
    train = dataclasses.replace(own.train, **same)
    return dataclasses.replace(settings, model=own.model, train=train)


def run_all(steps: Sequence[Step], begun: Run, train: Callable[[Step], Run]) -> Run:
    """Train what is not trained yet, one process at a time, and note how it went in run.json."""
    import keras

    scores = {}
    for step in steps:
        with alone(step.folder.with_name(f".{step.folder.name}.lock")):
            done = finished(step.folder)
            print(f"first: {step.file}{', trained already' if done else ''}")
            keras.utils.clear_session()
            done = done or train(step)
        reached = done.scores(done.history)
        score = max(reached) if done.config.train.keep == "best" else reached[-1]
        scores[step.folder.name] = noted(step, begun.folder) | {f"val_{done.task.score}": score}
    begun = dataclasses.replace(begun, steps=scores)
    run_dir.write_facts(begun)
    return begun


def finished(folder: Path) -> Run | None:
    """Open a step that is trained to its end; the last that is written is its temperature."""
    run = run_dir.load(folder) if (folder / "run.json").exists() else None
    return run if run and run.is_finished() and run.temperature is not None else None


def adopt(begun: Run, first: Path) -> None:
    """Take over a step that is this very run: same settings, data and split, trained to its end."""
    from emorec_tf.training import inner_cv

    facts = flat(begun.config), list(begun.classes), dataclasses.asdict(begun.split)
    for folder in sorted(first.glob(f"*-{stamp(*facts)}")):
        if finished(folder) and not begun.history:
            print(f"trained already, as a step of another run: {folder}")
            names = (
                "best.keras",
                "last.keras",
                "refitted.keras",
                "history.csv",
                "temperature.json",
                inner_cv.FILE,
            )
            for name in [n for n in names if (folder / n).exists()]:
                copy(folder / name, begun.folder / name)


def noted(step: Step, folder: Path) -> dict[str, Any]:
    """Say in the run.json of ``folder`` what a step is, without how it went."""
    return {"config": str(step.file), "folder": os.path.relpath(step.folder, folder)}


def take_over(model: keras.Model, begun: Run) -> None:
    """Copy the weights of branches, and of what stands on one branch alone, from the steps.

    Layers of the same name whose weights have the same shapes are taken to be the same. Where the
    run is frozen, they are not trained any more.

    Raises:
        UserError: a step of which nothing fits, or a branch that no step trained in a frozen run.
    """
    own = {n.name: n for n in model.layers if n.name.startswith(("audio_", "face_")) and n.weights}
    taken: set[str] = set()
    for facts in begun.steps.values():
        done = run_dir.load(begun.folder / facts["folder"])
        theirs = {layer.name: layer for layer in run_dir.load_model(done.model_file).layers}
        fits = {n for n in set(own) & set(theirs) if shapes(own[n]) == shapes(theirs[n])}
        if not fits:
            raise UserError(
                f"pretrain: nothing of {facts['config']} fits this run's model "
                f"({begun.config.model.audio}, {begun.config.model.face}); name the same branches"
            )
        if "audio_branch" in fits:
            same_sound(begun.config, done.config, facts["config"])
        for layer in sorted(fits):
            own[layer].set_weights(theirs[layer].get_weights())
        taken |= fits
    print(f"taken over: {', '.join(sorted(taken))}")
    check_trained(begun.config, set(own) - taken)
    for layer in taken if begun.config.train.freeze_branches else ():
        own[layer].trainable = False


def check_trained(settings: Config, untrained: Collection[str]) -> None:
    """Refuse branches with weights of which nobody finds better ones than those drawn at first."""
    left = sorted(name for name in untrained if name.endswith("_branch"))
    if left and (settings.train.freeze_branches or has_classifier(settings)):
        raise UserError(
            f"pretrain: no config of it trains this run's {', '.join(left)}, and nothing later "
            f"does; name one with the same branch by --pretrain"
        )


def same_sound(own: Config, theirs: Config, file: str) -> None:
    """Refuse an audio branch that was trained on sound standardised or cut in another way."""
    for name in ("standardise", "audio_length"):
        here, there = getattr(own.model, name), getattr(theirs.model, name)
        check(here == there, name, here, f"{there!r}, as in {file}, whose branch this run takes")


def shapes(layer: keras.layers.Layer) -> list[tuple[int, ...]]:
    """Shapes of a layer's weights, in order."""
    return [tuple(weight.shape) for weight in layer.weights]
