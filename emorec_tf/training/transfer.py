"""Weights that a run takes from its pretraining stages, and from finished runs."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from emorec_tf.config import choices
from emorec_tf.config.config import Config
from emorec_tf.config.fields import check
from emorec_tf.errors import UserError
from emorec_tf.training import run_dir, source_runs, stages
from emorec_tf.training.run_dir import Run
from emorec_tf.training.stages import has_classifier

if TYPE_CHECKING:
    import keras

_LOG = logging.getLogger(__name__)


def load_matching_weights(model: keras.Model, run: Run) -> None:
    """Copy the weights of branches, and of what stands on one branch alone.

    They are those of source runs, then those of stages. Layers of the same name whose weights have
    the same shapes are taken to be the same. Where the run freezes its branches, they are not
    trained any more.

    Raises:
        UserError: a stage or source run without matching layers, or a branch that none of them
            trained and nothing later trains.
    """
    own = branch_layers(model)
    given = from_sources(run.config, run.classes, model)
    for name, layer in given.items():
        model.get_layer(name).set_weights(layer.get_weights())
    taken = set(given)
    for facts in run.steps.values():
        done = run_dir.load(run.folder / facts["folder"])
        trained = branch_layers(run_dir.load_model(done.model_file))
        names = matching(run.config, own, done.config, trained, facts["config"])
        for name in sorted(names):
            own[name].set_weights(trained[name].get_weights())
        taken |= names
    where = "finished runs" if not run.steps else "stages" if not given else "stages and runs"
    _LOG.info("weights taken from %s: %s", where, ", ".join(sorted(taken)))
    check_trained(run.config, set(own) - taken - {f"{kind}_branch" for kind in run.unused})
    fixed = {name for name in taken if name not in given or name.endswith("_branch")}
    for name in fixed if run.config.train.freeze_branches else ():
        own[name].trainable = False


def branch_layers(
    model: keras.Model, prefixes: tuple[str, ...] = ("audio_", "face_")
) -> dict[str, keras.layers.Layer]:
    """Layers with weights that belong to one branch, or stand on it alone, by name."""
    return {n.name: n for n in model.layers if n.name.startswith(prefixes) and n.weights}


def matching(
    settings: Config,
    own: dict[str, keras.layers.Layer],
    stage: Config,
    trained: dict[str, keras.layers.Layer],
    file: str,
) -> set[str]:
    """Names of the layers that a stage can give to a run.

    Args:
        settings: of the run.
        own: the run's ``branch_layers``.
        stage: settings of the stage.
        trained: the stage's ``branch_layers``.
        file: the stage's config.

    Raises:
        UserError: nothing fits, or an audio branch that is given other audio.
    """
    found = {n for n in set(own) & set(trained) if shapes(own[n]) == shapes(trained[n])}
    if not found:
        raise UserError(
            f"pretrain: nothing of {file} fits this run's model "
            f"({settings.model.audio}, {settings.model.face}); name the same branches"
        )
    if "audio_branch" in found:
        _check_same_audio(settings, stage, file)
    return found


def _check_same_audio(settings: Config, trained: Config, where: str) -> None:
    """Refuse an audio branch that is given other audio than in the run that trained it."""
    for name in ("standardise", "audio_length"):
        here, there = getattr(settings.model, name), getattr(trained.model, name)
        check(here == there, name, here, f"{there!r}, as in {where}, whose branch this run takes")


def from_sources(
    settings: Config, classes: Sequence[str], model: keras.Model
) -> dict[str, keras.layers.Layer]:
    """Layers of the finished runs in ``pretrain`` that a run takes, by name; the last one counts.

    A branch is the same if its choice, its layers' names and their shapes are; a class layer if it
    also has the same classes, as two sets of seven emotions have equal shapes. The layers of a
    fusion are taken where all of it is the same.

    Args:
        settings: of the run.
        classes: of the run.
        model: of the run.

    Raises:
        UserError: a run that has no such layer, or an audio branch that is given other audio.
    """
    found: dict[str, keras.layers.Layer] = {}
    own = branch_layers(model)
    for run in stages.sources_of(settings):
        network = run_dir.load_model(run.model_file)
        trained = branch_layers(network)
        unlike = {kind: _unlike(kind, settings, run, own, trained) for kind in run.modalities}
        names = {
            name
            for name in set(own) & set(trained)
            if not unlike.get(name.partition("_")[0], "another modality")
            and shapes(own[name]) == shapes(trained[name])
            and (run.classes == tuple(classes) or not name.endswith("_head"))
        }
        if not names:
            why = "; ".join(filter(None, unlike.values())) or "it has no branch with weights"
            raise UserError(f"pretrain: nothing of {run.folder} fits this run's model: {why}")
        if "audio_branch" in names:
            _check_same_audio(settings, run.config, str(run.folder))
            source_runs.check_features(settings, run)
        found |= {name: trained[name] for name in names}
        same = run.classes == tuple(classes) and run.config.model.fusion == settings.model.fusion
        if same and not any(unlike.values()):
            ours, theirs = (branch_layers(net, ("joint_",)) for net in (model, network))
            both = {name: theirs[name] for name in ours if name in theirs}
            found |= {n: layer for n, layer in both.items() if shapes(layer) == shapes(ours[n])}
    return found


def loaded_branches(settings: Config, runs: Iterable[Run]) -> dict[str, keras.Model]:
    """Branches of runs with a pretrained network inside, where a run has the same ones, by kind.

    They are taken whole, so that the file of that network is not needed a second time.
    """
    found = {}
    for run in runs:
        for kind in run.modalities:
            name, given = choices.check(kind, getattr(settings.model, kind))
            entry = choices.entry(kind, name)
            same = (name, given) == choices.parse(getattr(run.config.model, kind))
            if same and entry.facts.inside({**entry.arguments, **given}):
                found[kind] = run_dir.load_model(run.model_file).get_layer(f"{kind}_branch")
    return found


def _unlike(
    kind: str,
    settings: Config,
    run: Run,
    own: dict[str, keras.layers.Layer],
    trained: dict[str, keras.layers.Layer],
) -> str:
    """What makes a branch of a run another than that of a finished run; "" if nothing does."""
    here, there = getattr(settings.model, kind), getattr(run.config.model, kind)
    if choices.parse(here)[0] != choices.parse(there)[0]:
        return f"{kind} is {here}, there {there}"
    layers = own.get(f"{kind}_branch"), trained.get(f"{kind}_branch")
    pairs = zip_longest(*(layer.weights if layer else () for layer in layers))
    for ours, theirs in pairs:
        if ours is None or theirs is None or ours.shape != theirs.shape:
            shown = [w.shape if w is not None else "no weights" for w in (ours, theirs)]
            where = (theirs if ours is None else ours).path
            return f"{kind} is {here}, there {there}: {where} has {shown[0]}, there {shown[1]}"
    return ""


def check_trained(settings: Config, untrained: Collection[str]) -> None:
    """Refuse a run that would keep the random weights of a branch.

    Branches without weights, or with loaded weights that are fixed, need no training.

    Raises:
        UserError: a branch in ``untrained`` that nothing trains.
    """
    branches = {f"{kind}_branch": kind for kind in ("audio", "face")}
    left = sorted(
        name
        for name in set(untrained) & set(branches)
        if choices.needs_training(kind := branches[name], getattr(settings.model, kind))
    )
    if left and (settings.train.freeze_branches or has_classifier(settings)):
        raise UserError(
            f"pretrain: no config of it trains this run's {', '.join(left)}, and nothing later "
            f"does; name one with the same branch by --pretrain"
        )


def with_weights(layers: Iterable[keras.layers.Layer]) -> set[str]:
    """Names of the layers that have weights."""
    return {layer.name for layer in layers if layer.weights}


def shapes(layer: keras.layers.Layer) -> list[tuple[int, ...]]:
    """Shapes of a layer's weights, in order."""
    return [tuple(weight.shape) for weight in layer.weights]
