"""Cost of reading: epochs from records against the same epochs from tensors in memory.

python scripts/time_input.py RECORDS [--repeats 5] [--batches 40] [--precision float32]

Each round trains one epoch from memory and one from records with each --cache, in turns; medians
and their ratios are printed. Augmentation is first off and then on, for both.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any

from emorec_tf.storage.quiet import QUIET_START

BRANCHES = (
    ("conv1d", {"fusion": "audio_only", "audio": "conv1d"}),
    ("alexnet", {"fusion": "face_only", "face": "alexnet"}),
    ("face_hog", {"fusion": "face_only", "face": "face_hog"}),
)


def epochs_of(model: Any, streams: dict[str, Any], steps: int, repeats: int) -> dict[str, list]:
    """Seconds of each epoch for each stream, in turns; the first round is a warm-up."""
    seconds: dict[str, list] = {name: [] for name in streams}
    iterators = {name: iter(stream) for name, stream in streams.items()}
    for turn in range(repeats + 1):
        names = list(streams) if turn % 2 else list(streams)[::-1]
        for name in names:
            start = time.perf_counter()
            for _ in range(steps):
                model.train_function(iterators[name])
            model.get_metrics_result()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def held(records: Any, clips: Any, settings: Any, mean: Any, uses: Any, batches: int) -> Any:
    """Baseline without reading: examples as tensors in memory, augmented like the others."""
    import tensorflow as tf

    from emorec_tf.records import augmentation, input_pipeline

    parts = [inputs for inputs, _ in input_pipeline.evaluation(records, clips, 64)]
    arrays = {n: tf.concat([p[n] for p in parts], 0) for n in parts[0]}
    order = tf.random.shuffle(tf.range(len(clips)), seed=0)[: batches * settings.batch_size]
    labels = tf.one_hot(tf.range(len(clips)) % 8, 8)

    def batch(rows: Any, step: Any) -> Any:
        rows = tf.ensure_shape(rows, [settings.batch_size])
        inputs = {n: tf.gather(a, rows) for n, a in arrays.items()}
        if settings.augment:
            kind, seed = records.features.audio_features, tf.stack([0, step])
            inputs = augmentation.augmented(inputs, mean, seed, kind, uses)
        return inputs, tf.gather(labels, rows), tf.ones(settings.batch_size)

    rows = tf.data.Dataset.from_tensor_slices(order).repeat().batch(settings.batch_size)
    stream = tf.data.Dataset.zip(rows, tf.data.Dataset.counter())
    return stream.map(batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(4)


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batches", type=int, default=40, help="largest number of steps per epoch")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--branches", default="conv1d,alexnet")
    given = parser.parse_args()
    import keras
    import numpy as np

    from emorec_tf.config import choices, config
    from emorec_tf.models import model
    from emorec_tf.records import input_pipeline
    from emorec_tf.records import records_dir as records
    from emorec_tf.tasks import tasks

    opened = records.open_records(given.records)
    clips, classes = opened.clips, opened.emotions
    mean, deviation = input_pipeline.statistics(opened, clips)
    keras.mixed_precision.set_global_policy(given.precision)
    print(f"{len(clips)} clips, {given.precision}, medians of {given.repeats} rounds in turns")
    for name, chosen in BRANCHES:
        if name not in given.branches.split(","):
            continue
        for augment in (False, True):
            values = {**chosen, "augment": augment, "modality_dropout": 0}
            settings = config.build({**values, **vars(opened.features)})
            uses = choices.facts("fusion", chosen["fusion"]).uses
            network = model.build_model(settings, classes, mean, deviation)
            model.compile_model(network, settings.train, 1000)
            network.make_train_function()
            streams = {"tensors": held(opened, clips, settings.train, mean, uses, given.batches)}
            for cache in ("memory", "none"):
                own = config.build({"cache": cache}, settings).train
                task = tasks.of(settings.data, classes)
                streams[cache] = input_pipeline.TrainingStream(
                    opened, clips, task, own, mean, uses=uses
                ).batches(0)
            steps = min(given.batches, len(clips) // settings.train.batch_size)
            spent = epochs_of(network, streams, steps, given.repeats)
            base = np.array(spent["tensors"])
            line = [f"tensors {statistics.median(base):.2f} s"]
            for cache in ("memory", "none"):
                ratio = statistics.median(np.array(spent[cache]) / base)
                line.append(
                    f"--cache {cache} {statistics.median(spent[cache]):.2f} s ({ratio:.3f})"
                )
            print(f"{name}, augment {'on' if augment else 'off'}: {', '.join(line)}", flush=True)


if __name__ == "__main__":
    os.environ.update(QUIET_START)
    main()
