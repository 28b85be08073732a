"""Train a small network in a separate process, on the given devices or as TF_CONFIG says.

python replica_worker.py DEVICES PRECISION... prints the result as JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from emorec_tf.models import model
from emorec_tf.records import input_pipeline
from emorec_tf.training import fit
from emorec_tf.training.distributed import cluster, replicas, sync

CLIPS, SIZE, STEPS = 48, 12, 5


def network() -> keras.Model:
    inputs = keras.Input((6,), name="audio")
    x = keras.layers.Dense(8, name="first")(inputs)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(x))
    return keras.Model({"audio": inputs}, keras.layers.Dense(3, dtype="float32")(x))


def stream(part: input_pipeline.Part | None = None) -> tf.data.Dataset:
    """Weighted batches; each machine gets its own rows of them."""
    random = np.random.default_rng(0)
    audio = random.normal(size=(CLIPS, 6)).astype(np.float32)
    labels = np.eye(3, dtype=np.float32)[random.integers(0, 3, CLIPS)]
    weights = random.uniform(0.2, 3.0, CLIPS).astype(np.float32)
    part = part or input_pipeline.Part()

    def ready(
        rows: tf.Tensor, _: tf.Tensor, __: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
        rows = tf.ensure_shape(rows, [SIZE // part.workers // part.replicas])
        return {"audio": tf.gather(audio, rows)}, tf.gather(labels, rows), tf.gather(weights, rows)

    rows = tf.data.Dataset.range(CLIPS).repeat().batch(SIZE, drop_remainder=True)
    pieces = tf.data.Dataset.zip(rows, tf.data.Dataset.counter()).flat_map(part.pieces)
    return input_pipeline.keep(pieces.map(ready), None)


def trained(precision: str) -> dict[str, Any]:
    """Two short epochs of stochastic gradient descent: metrics, weights, moving statistics."""
    strategy = cluster.strategy()
    keras.utils.set_random_seed(0)
    keras.mixed_precision.set_global_policy(precision)
    with strategy.scope():
        whole = network()
        training = whole
        if strategy.num_replicas_in_sync > 1:
            training = replicas.replicated(whole, cluster.team() is not None)
        training.compile(
            keras.optimizers.SGD(0.1, clipnorm=0.2),  # below the norm of the gradients
            keras.losses.CategoricalCrossentropy(from_logits=True),
            weighted_metrics=[keras.metrics.CategoricalAccuracy(name="war")],
            jit_compile=False,
        )
    keras.mixed_precision.set_global_policy("float32")
    fitted = training.fit(
        fit.share(stream), epochs=2, steps_per_epoch=STEPS, verbose=0, shuffle=False
    )
    sync.average_statistics(whole)
    answers = model.undistributed(whole).predict_on_batch({"audio": np.ones((3, 6), np.float32)})
    return {
        "replicas": strategy.num_replicas_in_sync,
        "loss": fitted.history["loss"],
        "war": fitted.history["war"],
        "weights": [float(value) for weight in whole.get_weights() for value in np.ravel(weight)],
        "answers": list(answers.shape),
    }


def main(devices: int, *precisions: str) -> None:
    if devices > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(devices)]
        )
    results = {precision: trained(precision) for precision in precisions}
    sync.decided_by_chief(True)
    print("RESULT " + json.dumps(results), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
