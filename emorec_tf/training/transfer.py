"""Weights that a run takes from its pretraining stages."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from emorec_tf.config import choices
from emorec_tf.config.config import Config
from emorec_tf.config.fields import check
from emorec_tf.errors import UserError
from emorec_tf.training import run_dir
from emorec_tf.training.run_dir import Run
from emorec_tf.training.stages import has_classifier

if TYPE_CHECKING:
    import keras

_LOG = logging.getLogger(__name__)


def load_matching_weights(model: keras.Model, run: Run) -> None:
    """Copy the weights of branches, and of what stands on one branch alone, from the stages.

    Layers of the same name whose weights have the same shapes are taken to be the same. Where the
    run freezes its branches, they are not trained any more.

    Raises:
        UserError: a stage without matching layers, or a branch that no stage trained and nothing
            later trains.
    """
    own = branch_layers(model)
    taken: set[str] = set()
    for facts in run.steps.values():
        done = run_dir.load(run.folder / facts["folder"])
        trained = branch_layers(run_dir.load_model(done.model_file))
        names = matching(run.config, own, done.config, trained, facts["config"])
        for name in sorted(names):
            own[name].set_weights(trained[name].get_weights())
        taken |= names
    _LOG.info("weights taken from stages: %s", ", ".join(sorted(taken)))
    check_trained(run.config, set(own) - taken - {f"{kind}_branch" for kind in run.unused})
    for name in taken if run.config.train.freeze_branches else ():
        own[name].trainable = False


def branch_layers(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """Layers with weights that belong to one branch, or stand on it alone, by name."""
    prefixes = ("audio_", "face_")
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
        for name in ("standardise", "audio_length"):
            here, there = getattr(settings.model, name), getattr(stage.model, name)
            wanted = f"{there!r}, as in {file}, whose branch this run takes"
            check(here == there, name, here, wanted)
    return found


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
