"""The epochs of a run: build or reload its model, and train what is left."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from emorec_tf.storage import paths
from emorec_tf.training import run_dir, stages, transfer
from emorec_tf.training.distributed import cluster
from emorec_tf.training.run_dir import Run, best_epoch

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from emorec_tf.records.input_pipeline import Transform
    from emorec_tf.training.callback import EpochEnd
    from emorec_tf.training.experiment import Experiment
    from emorec_tf.training.speaker_adaptation import SpeakerAdapter

_LOG = logging.getLogger(__name__)


def fit(run: Run, experiment: Experiment, until: int | None = None) -> None:
    """Build or reload the model and run the epochs that are left.

    Args:
        run: is written to.
        experiment: of the run.
        until: stop after this many epochs.
    """
    import keras

    from emorec_tf.records import input_pipeline
    from emorec_tf.training.callback import EpochEnd
    from emorec_tf.training.distributed import sync
    from emorec_tf.training.speaker_adaptation import SpeakerAdapter

    started = time.perf_counter()
    settings = run.config.train
    keras.utils.set_random_seed(settings.seed)
    keras.mixed_precision.set_global_policy(settings.precision)
    standard = input_pipeline.statistics(experiment.records, experiment.train)
    adapter = SpeakerAdapter(run.config.data.adapt, standard, run.config.data.adapt_audio)
    adapter.fit(experiment, experiment.train_and_validation)
    last = run.folder / "last.keras"
    with cluster.strategy().scope():
        if last.exists():
            model = run_dir.load_model(last, for_training=True)
        else:
            model = fresh_model(run, experiment, adapter)
    adapter.fit_features(model)
    done = epochs_done(run, experiment, model)
    sync.check_same_epoch(done, run.folder)
    if cluster.is_chief():
        copy_best(run, done)
    if run.is_finished(done):
        _LOG.info(
            "run %s is finished (%d epochs); --overwrite trains it from scratch", run.folder, done
        )
        return
    if until and done >= until:
        return
    if done:
        _LOG.info("going on after epoch %d", done)
    else:
        steps = steps_an_epoch(experiment)
        _LOG.info("%s parameters, %d steps an epoch", f"{model.count_params():,}", steps)
    epoch_end = EpochEnd(run, experiment, adapter, model, done)
    if model.trainable_weights:
        run_epochs(epoch_end, until)
    else:
        epoch_end.run_once(model, started)


def steps_an_epoch(experiment: Experiment) -> int:
    """Whole batches of the training clips."""
    return len(experiment.train) // experiment.settings.train.batch_size


def audio_frames(experiment: Experiment) -> int | None:
    """Audio frames that the audio branch is given; None: all."""
    from emorec_tf.records import input_pipeline

    if experiment.settings.model.audio_length == "all":
        return None
    return input_pipeline.typical_frames(experiment.records, experiment.train)


def epochs_done(run: Run, experiment: Experiment, model: keras.Model) -> int:
    """Epochs that a model has been trained for; without trainable weights one epoch is all."""
    if not model.trainable_weights:
        return int((run.folder / "last.keras").exists())
    return int(model.optimizer.iterations.numpy()) // steps_an_epoch(experiment)


def copy_best(run: Run, done: int) -> None:
    """Copy the last epoch if it is the best: a kill may have come between saving and copying."""
    reached = run.scores(run.history[:done])
    if reached and best_epoch(reached) == done:
        paths.copy(run.folder / "last.keras", run.folder / "best.keras")


def fresh_model(run: Run, experiment: Experiment, adapter: SpeakerAdapter) -> keras.Model:
    """Build the model, with the weights of its stages, and a classical head if asked for."""
    from emorec_tf.models import model as models
    from emorec_tf.training import ensemble

    if run.config.model.ensemble:
        model = ensemble.product_model(run)
    else:
        model = _network(run, experiment, adapter)
    total = steps_an_epoch(experiment) * run.config.train.epochs
    models.compile_model(model, run.config.train, total, run.task)
    return model


def _network(run: Run, experiment: Experiment, adapter: SpeakerAdapter) -> keras.Model:
    from emorec_tf.models import model as models
    from emorec_tf.training import classical_stage

    assert adapter.standard is not None
    frames = audio_frames(experiment)
    sources = stages.sources_of(run.config)
    given = transfer.loaded_branches(run.config, sources)
    standard = adapter.standard
    model = models.build_model(run.config, run.classes, *standard, frames, run.unused, given)
    if run.steps or run.started_from:
        transfer.load_matching_weights(model, run)
    else:
        transfer.check_trained(run.config, transfer.with_weights(model.layers))
    if not stages.has_classifier(run.config):
        return model
    features = models.undistributed(model)
    return classical_stage.with_classifier(features, run, experiment, adapter)


def run_epochs(epoch_end: EpochEnd, until: int | None = None) -> None:
    """Run the remaining epochs; frozen branches with constant tokens are computed only once."""
    import keras

    from emorec_tf.models import model as models
    from emorec_tf.records.input_pipeline import TrainingStream

    run, experiment, done = epoch_end.run, epoch_end.experiment, len(epoch_end.rows)
    model, transform = trained_part(epoch_end)
    if model is not epoch_end.whole:
        with cluster.strategy().scope():
            optimizer = epoch_end.whole.optimizer
            optimizer.build(epoch_end.whole.trainable_variables)  # in the order of the whole model
            models.compile_model(model, run.config.train, 0, run.task, optimizer)
    standard = epoch_end.adapter.standard
    assert standard is not None
    stream = TrainingStream(
        experiment.records,
        experiment.train,
        run.task,
        run.config.train,
        standard[0],
        transform,
        run.modalities,
    )
    curves = keras.callbacks.TensorBoard(run.folder / "logs", write_graph=False)
    model.fit(
        share(lambda part=None: stream.batches(done, part)),
        initial_epoch=done,
        epochs=until or run.config.train.epochs,
        steps_per_epoch=stream.steps,
        callbacks=[epoch_end, curves] if cluster.is_chief() else [epoch_end],
        shuffle=False,  # the stream is shuffled already
        verbose=0,
    )


def trained_part(epoch_end: EpochEnd) -> tuple[keras.Model, Transform]:
    """The part of the model that is trained, and what makes its inputs."""
    from emorec_tf.models import model as models
    from emorec_tf.training import token_cache
    from emorec_tf.training.distributed import replicas

    experiment, model = epoch_end.experiment, epoch_end.whole
    transform: Transform = epoch_end.adapter
    if token_cache.is_possible(experiment.settings):
        below, model = models.above_branches(model)
        transform = token_cache.TokenCache(below, experiment.records, experiment.train, transform)
    if cluster.strategy().num_replicas_in_sync > 1:
        with cluster.strategy().scope():
            model = replicas.replicated(model, cluster.team() is not None)
    return model, transform


def share(stream: Callable[..., tf.data.Dataset]) -> Any:
    """Let each machine make its own part of every batch; devices of one machine split a batch."""
    from emorec_tf.records.input_pipeline import Part

    own, strategy = cluster.team(), cluster.strategy()
    if own is None:
        return stream()
    here = strategy.num_replicas_in_sync // len(own)
    part = Part(own.index, len(own), here)
    return strategy.distribute_datasets_from_function(lambda _: stream(part=part))
