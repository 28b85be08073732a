"""What machines agree on while they train together: epochs, metrics, when to stop.

All machines must call each function here at the same point; otherwise they wait for one another.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from emorec_tf import __version__
from emorec_tf.errors import UserError
from emorec_tf.training.distributed import cluster
from emorec_tf.training.distributed import replicas as replicated


def replicas() -> int:
    """Count the devices that share a batch, over all machines."""
    own = cluster.team()
    if own:  # TensorFlow may not start before all machines have met
        return len(own) * max(1, len(tf.config.list_physical_devices("GPU")))
    return int(cluster.strategy().num_replicas_in_sync)


def everywhere(values: Sequence[Any], how: str = "SUM") -> list[tf.Tensor]:
    """Add up (or average) each of these values over all machines, which wait for one another."""
    strategy = cluster.strategy()

    @tf.function
    def reduced(given: list[tf.Tensor]) -> list[tf.Tensor]:
        def reduce() -> list[tf.Tensor]:
            context = tf.distribute.get_replica_context()
            here = [tf.identity(value) for value in given]  # on the replica's device
            return [context.all_reduce(tf.distribute.ReduceOp.MEAN, value) for value in here]

        found = strategy.run(reduce)
        return [strategy.experimental_local_results(value)[0] for value in found]

    factor = float(len(cluster.team() or ())) if how == "SUM" else 1.0
    given = [tf.cast(tf.convert_to_tensor(value), tf.float32) for value in values]
    return [value * factor for value in reduced(given)]


def decided_by_chief(flag: bool) -> bool:
    """Return the chief's flag on all machines, which wait for one another here."""
    if cluster.team() is None:
        return flag
    return bool(everywhere([float(flag and cluster.is_chief())])[0] > 0.5)


def check_same_epoch(done: int, folder: Any) -> None:
    """Refuse to resume from different epochs.

    Raises:
        UserError: machines found different checkpoints.
    """
    if cluster.team() is None:
        return
    total, squares = everywhere([float(done), float(done) ** 2])
    if abs(float(squares) * len(cluster.team() or ()) - float(total) ** 2) > 0.5:
        raise UserError(
            f"the machines found different epochs in {folder} (here {done}); it must lie on a disk "
            f"that all of them share"
        )


def average_statistics(model: keras.Model) -> None:
    """Give moving statistics their mean over all machines, so that all keep what the chief saves.

    Batch normalisation computes them from the whole batch where it can (see ``replicas``); with a
    mask it sees its own machine's clips alone, and the mean of variances leaves out how far the
    machines' means lie apart.
    """
    moving = [
        variable
        for layer in replicated.batch_norms(model)
        for variable in (layer.moving_mean, layer.moving_variance)
    ]
    if cluster.team() is None or not moving:
        return
    for variable, mean in zip(moving, everywhere([v.value for v in moving], "MEAN"), strict=True):
        variable.assign(mean)


@contextlib.contextmanager
def watched(folder: Any) -> Iterator[None]:
    """Report in one line that another machine was lost.

    Raises:
        UserError: instead of TensorFlow's error.
    """
    own = cluster.team()
    if own is None:
        yield
        return
    try:
        yield
    except tf.errors.OpError as error:
        raise UserError(
            f"another machine was lost, or ended ({type(error).__name__}); every finished epoch is "
            f"kept in {folder}: give the same command on all {len(own)} again"
        ) from error


def facts(settings: Mapping[str, Any], manifest: str) -> dict[str, str]:
    """What must be the same on all machines: settings, records, versions, devices."""
    own = {name: repr(value) for name, value in settings.items() if name != "records"}
    versions = {"emorec_tf": __version__, "keras": keras.__version__, "tensorflow": tf.__version__}
    gpus = str(len(tf.config.list_physical_devices("GPU")))
    return {**versions, "GPUs": gpus, "the records' manifest": manifest, **own}
