"""The epochs of a run: build or reload its model, and train what is left."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emorec_tf.config import choices
from emorec_tf.config.clip import Clip
from emorec_tf.records import records_dir
from emorec_tf.storage import paths
from emorec_tf.training import assembly, run_dir, stages
from emorec_tf.training.distributed import cluster
from emorec_tf.training.run_dir import Run, best_epoch

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from emorec_tf.records.input_pipeline import Adapt
    from emorec_tf.training.callback import Keeper
    from emorec_tf.training.speaker_adaptation import Standard


def fit(
    begun: Run,
    opened: records_dir.Records,
    sides: dict[str, list[Clip]],
    until: int | None = None,
) -> None:
    """Build or reload the model and run the epochs that are left."""
    import keras

    from emorec_tf.models import model as models
    from emorec_tf.records import input_pipeline
    from emorec_tf.training import callback, speaker_adaptation
    from emorec_tf.training.distributed import sync

    started = time.perf_counter()
    settings, data = begun.config.train, begun.config.data
    keras.utils.set_random_seed(settings.seed)
    keras.mixed_precision.set_global_policy(settings.precision)
    standard = input_pipeline.statistics(opened, sides["train"])
    known = [*sides["train"], *sides["validation"]]
    adapt = speaker_adaptation.adapter(data, opened, known, standard, settings.seed)
    scored = speaker_adaptation.scored(sides["validation"], data, settings.seed)
    sides = {"train": sides["train"], "validation": scored}
    last = begun.folder / "last.keras"
    with models.strategy().scope():
        model = (
            run_dir.load_model(last, for_training=True)
            if last.exists()
            else fresh_model(begun, opened, sides, standard, adapt)
        )
    adapt = speaker_adaptation.with_features(adapt, model, data, opened, known, settings.seed)
    steps_an_epoch = len(sides["train"]) // settings.batch_size
    done = int(model.optimizer.iterations.numpy()) // steps_an_epoch
    if not model.trainable_weights:  # then one epoch is all
        done = int(last.exists())
    sync.check_same_epoch(done, begun.folder)
    if cluster.is_chief():
        copy_best(begun, done)
    if begun.is_finished(done):
        print(f"run {begun.folder} is finished ({done} epochs); --overwrite trains it anew")
        return
    if until and done >= until:
        return
    fresh = f"{model.count_params():,} parameters, {steps_an_epoch} steps an epoch"
    print(f"going on after epoch {done}" if done else fresh)
    keep = callback.Keeper(begun, opened, scored, adapt, model, done)
    if model.trainable_weights:
        run_epochs(begun, opened, sides["train"], model, keep, standard, adapt, until)
    else:
        callback.once(keep, model, started)


def copy_best(begun: Run, done: int) -> None:
    """Keep the last epoch as the best if it is: a kill may have come between saving and copying."""
    reached = begun.scores(begun.history[:done])
    if reached and best_epoch(reached) == done:
        paths.copy(begun.folder / "last.keras", begun.folder / "best.keras")


def fresh_model(
    begun: Run,
    opened: records_dir.Records,
    sides: Mapping[str, Sequence[Clip]],
    standard: Standard,
    adapt: Adapt | None,
) -> keras.Model:
    """Build the model, with what was trained first in it, and a classical head if asked for."""
    from emorec_tf.models import model as models
    from emorec_tf.records import input_pipeline

    settings, training = begun.config.train, sides["train"]
    if begun.config.model.ensemble:
        model = assembly.multiplied(begun)
    else:
        cut = begun.config.model.audio_length != "all"
        frames = input_pipeline.typical_frames(opened, training) if cut else None
        model = models.build_model(begun.config, begun.classes, *standard, frames)
        if begun.steps:
            stages.take_over(model, begun)
        else:
            stages.check_trained(begun.config, {n.name for n in model.layers if n.weights})
        if stages.has_classifier(begun.config):
            features = models.undistributed(model)
            model = assembly.classical(features, begun, opened, sides, adapt)
    total = len(training) // settings.batch_size * settings.epochs
    models.compile_model(model, settings, total, begun.task)
    return model


def run_epochs(
    begun: Run,
    opened: records_dir.Records,
    clips: Sequence[Clip],
    model: keras.Model,
    keep: Keeper,
    standard: Standard,
    adapt: Adapt | None,
    until: int | None = None,
) -> None:
    """Run the epochs that are left; above frozen branches that always answer alike, those alone."""
    import keras

    from emorec_tf.models import model as models
    from emorec_tf.records import input_pipeline
    from emorec_tf.training.distributed import replicas

    settings, done, strategy = begun.config.train, len(keep.rows), models.strategy()
    if stages.branches_answer_alike(begun.config):
        below, above = models.above_branches(model)
        adapt = assembly.remembered(below, opened, clips, adapt)
    else:
        above = model
    if strategy.num_replicas_in_sync > 1:
        with strategy.scope():
            above = replicas.replicated(above, cluster.team() is not None)
    if above is not model:
        with strategy.scope():
            model.optimizer.build(model.trainable_variables)  # in the order of the whole model
            models.compile_model(above, settings, 0, begun.task, model.optimizer)
    uses, rating = choices.facts("fusion", begun.config.model.fusion).uses, begun.task.rating
    stream = functools.partial(
        input_pipeline.training,
        opened,
        clips,
        begun.classes,
        settings,
        standard[0],
        done,
        adapt,
        rating,
        uses,
    )
    curves = keras.callbacks.TensorBoard(begun.folder / "logs", write_graph=False)
    above.fit(
        share(stream, strategy),
        initial_epoch=done,
        epochs=until or settings.epochs,
        steps_per_epoch=len(clips) // settings.batch_size,
        callbacks=[keep, curves] if cluster.is_chief() else [keep],
        shuffle=False,  # the stream is shuffled already
        verbose=0,
    )


def share(stream: Callable[..., tf.data.Dataset], strategy: tf.distribute.Strategy) -> Any:
    """Let each machine make its own part of every batch; devices of one machine split a batch."""
    from emorec_tf.records import input_pipeline

    own = cluster.team()
    if own is None:
        return stream()
    here = strategy.num_replicas_in_sync // len(own)
    part = input_pipeline.Part(own.index, len(own), here)
    return strategy.distribute_datasets_from_function(lambda _: stream(part=part))
