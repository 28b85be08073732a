"""Train the expression net of ``--face expression_net`` on FER-2013, or on other images of faces.

python scripts/train_expression_net.py FOLDER OUT [--epochs 30] [--blocks 64,128,256]
python scripts/train_expression_net.py FOLDER OUT --evaluate

FOLDER is FER-2013 (``<train|validation|test>/<emotion>/*.jpg``) or its CSV, as ``prepare --dataset
fer2013`` takes it. After each epoch OUT gets ``ema.keras``, the weights for
``expression_net(weights=...)``: a moving average of those that are trained; ``log.txt``, a line of
JSON; and ``state.npz``, from which the same command goes on. The test images are read by
``--evaluate`` alone, which is meant to be looked at once, when all choices are made.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import cv2
import keras
import numpy as np
import tensorflow as tf

from emorec_tf.config.clip import Clip
from emorec_tf.datasets.corpora import clips
from emorec_tf.models.face.expression_resnet import CLASSES, PIXELS, residual_net
from emorec_tf.models.pretrained.half_precision import rounded
from emorec_tf.models.pretrained.keras_files import load_by_kind

BATCH = 128
PEAK_RATE, FIRST_RATE, LAST_SHARE = 3e-3, 1.2e-4, 1e-3
WARM_SHARE = 0.2  # of all steps
DECAY, SMOOTHING, DROPOUT = 0.05, 0.1, 0.4
AVERAGE = 0.998  # share of the moving average that a step keeps
MIXED_SHARE, MIXED_SHAPE = 0.5, 0.3  # of the batches; of the beta distribution


@dataclass(frozen=True)
class Images:
    """Grey faces uint8 [N, 48, 48], and their class ids [N]."""

    pixels: np.ndarray
    labels: np.ndarray


def images(found: list[Clip], part: str) -> Images:
    """Read the images of a subset."""
    chosen = [clip for clip in found if clip.speaker == part]
    read = [cv2.imread(str(clip.video), cv2.IMREAD_GRAYSCALE) for clip in chosen]
    sized = [cv2.resize(i, (PIXELS, PIXELS), interpolation=cv2.INTER_AREA) for i in read]
    return Images(np.stack(sized), np.array([CLASSES.index(clip.emotion) for clip in chosen]))


def network(blocks: tuple[int, ...]) -> tuple[keras.Model, list[keras.layers.Layer]]:
    """Images [N, 48, 48, 1] of 0 to 255 to scores [N, 7]; and the layers that have weights."""
    image = keras.Input((PIXELS, PIXELS, 1))
    net = residual_net(keras.layers.Rescaling(1 / 255.0)(image), blocks, DROPOUT)
    return keras.Model(image, net.values[:, -len(CLASSES) :]), list(net.layers)


def varied(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Turned, scaled, moved, mirrored, brighter or darker faces, some with a part covered.

    Shapes:
        uint8 [N, 48, 48] -> float32 [N, 48, 48, 1]
    """
    found = np.empty((*pixels.shape, 1), np.float32)
    middle = ((PIXELS - 1) / 2,) * 2
    for number, image in enumerate(pixels):
        turn = cv2.getRotationMatrix2D(middle, random.normal(0, 8), np.exp(random.normal(0, 0.08)))
        turn[:, 2] = turn[:, 2] + random.uniform(-4, 4, 2)
        image = image[:, ::-1] if random.random() < 0.5 else image
        moved = cv2.warpAffine(
            np.ascontiguousarray(image), turn, (PIXELS, PIXELS), borderMode=cv2.BORDER_REFLECT
        ).astype(np.float32)
        mean = moved.mean()
        moved = (moved - mean) * random.uniform(0.7, 1.3) + mean + random.normal(0, 15)
        if random.random() < 0.4:
            height, width = random.integers(6, 18, 2)
            top, left = random.integers(0, PIXELS - height), random.integers(0, PIXELS - width)
            moved[top : top + height, left : left + width] = random.uniform(0, 255)
        found[number, ..., 0] = np.clip(moved, 0, 255)
    return found


def batch(data: Images, chosen: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Varied images and smoothed labels; those of some batches mixed in pairs (mixup)."""
    x = varied(data.pixels[chosen], random)
    smooth = np.eye(len(CLASSES), dtype=np.float32) * (1 - SMOOTHING) + SMOOTHING / len(CLASSES)
    y = smooth[data.labels[chosen]]
    if random.random() < MIXED_SHARE:
        share = np.float32(random.beta(MIXED_SHAPE, MIXED_SHAPE))
        other = random.permutation(len(chosen))
        x, y = share * x + (1 - share) * x[other], share * y + (1 - share) * y[other]
    return x, y


class Training:
    """A network, its optimiser and the moving average of its weights, resumable after any epoch."""

    def __init__(self, out: Path, blocks: tuple[int, ...], steps: int, epochs: int) -> None:
        """Build all, or go on from ``state.npz``; ``steps`` are those of an epoch."""
        self.out, self.model, self.done = out, network(blocks)[0], 0
        warm = round(steps * epochs * WARM_SHARE)
        schedule = keras.optimizers.schedules.CosineDecay(
            FIRST_RATE,
            steps * epochs - warm,
            alpha=LAST_SHARE,
            warmup_target=PEAK_RATE,
            warmup_steps=warm,
        )
        self.optimizer = keras.optimizers.AdamW(schedule, weight_decay=DECAY, clipnorm=5.0)
        self.optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
        self.optimizer.build(self.model.trainable_variables)
        weights = self.model.weights
        self.average = [tf.Variable(w.numpy(), trainable=False, dtype="float32") for w in weights]
        self.loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        self.step = tf.function(self._step)
        if (out / "state.npz").exists():
            self._resume()

    def _step(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = self.loss(y, self.model(x, training=True))
        variables = self.model.trainable_variables
        gradients = tape.gradient(loss, [v.value for v in variables])
        self.optimizer.apply(gradients, variables)
        for mean, weight in zip(self.average, self.model.weights, strict=True):
            mean.assign(mean * AVERAGE + (1 - AVERAGE) * tf.cast(weight, tf.float32))
        return loss

    def _kinds(self) -> dict[str, list]:
        return {
            "weights": self.model.weights,
            "optimizer": self.optimizer.variables,
            "average": self.average,
        }

    def _resume(self) -> None:
        with np.load(self.out / "state.npz") as stored:
            self.done = int(stored["done"])
            for kind, variables in self._kinds().items():
                for number, variable in enumerate(variables):
                    variable.assign(stored[f"{kind}-{number}"])

    def save(self) -> None:
        """Write the state; ``ema.keras`` is written by ``averaged``."""
        state = {
            f"{kind}-{number}": np.array(variable)
            for kind, variables in self._kinds().items()
            for number, variable in enumerate(variables)
        }
        draft = self.out / ".state.npz"
        np.savez(draft, done=self.done, **state)
        draft.replace(self.out / "state.npz")

    def averaged(self, data: Images) -> tuple[float, float]:
        """Write the averaged weights; their accuracy on images, and with mirrored ones as well."""
        live = self.model.get_weights()
        self.model.set_weights([mean.numpy() for mean in self.average])
        draft = self.out / ".ema.keras"
        self.model.save(draft)
        draft.replace(self.out / "ema.keras")
        plain, mirrored = shares(self.model, data.pixels)
        self.model.set_weights(live)
        return accuracy(plain, data.labels), accuracy((plain + mirrored) / 2, data.labels)


def shares(model: keras.Model, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [N, 7] of images uint8 [N, 48, 48], and of the mirrored ones."""

    def of(x: np.ndarray) -> np.ndarray:
        parts = [x[at : at + 256, ..., None].astype(np.float32) for at in range(0, len(x), 256)]
        return np.concatenate([tf.nn.softmax(model(part, training=False)) for part in parts])

    return of(pixels), of(pixels[:, :, ::-1])


def accuracy(found: np.ndarray, labels: np.ndarray) -> float:
    """Share of images whose most likely class is right."""
    return float((found.argmax(axis=1) == labels).mean())


def train(found: list[Clip], out: Path, blocks: tuple[int, ...], epochs: int) -> None:
    """Train epoch by epoch; one line each on stdout and in ``log.txt``."""
    out.mkdir(parents=True, exist_ok=True)
    training, validation = images(found, "train"), images(found, "validation")
    steps = max(1, len(training.labels) // BATCH)
    run = Training(out, blocks, steps, epochs)
    for epoch in range(run.done, epochs):
        random, started, losses = np.random.default_rng(1000 + epoch), time.time(), []
        order = random.permutation(len(training.labels))
        for chosen in np.array_split(order[: steps * BATCH], steps):
            x, y = batch(training, chosen, random)
            losses.append(float(run.step(tf.constant(x), tf.constant(y))))
        run.done = epoch + 1
        plain, mirrored = run.averaged(validation)
        run.save()
        line = json.dumps({
            "epoch": run.done,
            "loss": float(np.mean(losses)),
            "validation_accuracy": plain,
            "validation_accuracy_mirrored": mirrored,
            "seconds": round(time.time() - started),
        })  # fmt: skip
        print(line, flush=True)
        with (out / "log.txt").open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def evaluate(found: list[Clip], weights: Path, blocks: tuple[int, ...], part: str) -> None:
    """Print accuracy with its interval over images, and recalls, also in half precision."""
    model, layers = network(blocks)
    load_by_kind(layers, weights, "this script, with the same --blocks")
    data = images(found, part)
    plain, mirrored = shares(model, data.pixels)
    both = (plain + mirrored) / 2
    for name, answer in (("plain", plain), ("with the mirrored image", both)):
        print(f"{part}, {name}: accuracy {interval(accuracy(answer, data.labels), len(both))}")
        right = answer.argmax(axis=1) == data.labels
        recalls = {c: right[data.labels == k].mean() for k, c in enumerate(CLASSES)}
        print("  recalls " + "  ".join(f"{c} {r:.3f}" for c, r in recalls.items()))
        print(f"  mean of the recalls {np.mean(list(recalls.values())):.3f}")
    for layer in layers:
        layer.set_weights([rounded(values) for values in layer.get_weights()])
    half = shares(model, data.pixels)[0]
    same = (half.argmax(axis=1) == plain.argmax(axis=1)).mean()
    print(f"{part}, weights in half precision: accuracy {accuracy(half, data.labels):.4f}, "
          f"{same:.2%} of the answers are the same")  # fmt: skip


def interval(share: float, count: int) -> str:
    """Write a share with its 95 % interval over ``count`` images (Wilson's)."""
    z = 1.959964
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    reach = math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    reach *= z / (1 + z * z / count)
    return f"{share:.4f} (95 % over {count} images {middle - reach:.4f} to {middle + reach:.4f})"


def main() -> None:
    """Train, or evaluate."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--blocks", default="64,128,256", help="filters of each pair of blocks")
    parser.add_argument("--precision", default="mixed_bfloat16", help="of training")
    parser.add_argument("--evaluate", action="store_true", help="on the test images, once")
    parser.add_argument("--part", default="test", help="subset that --evaluate reads")
    parser.add_argument("--weights", type=Path, help="default: OUT/ema.keras")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    blocks = tuple(int(filters) for filters in given.blocks.split(","))
    found = clips("fer2013", given.folder)
    if given.evaluate:
        evaluate(found, given.weights or given.out / "ema.keras", blocks, given.part)
        return
    keras.utils.set_random_seed(0)
    keras.mixed_precision.set_global_policy(given.precision)
    train(found, given.out, blocks, given.epochs)


if __name__ == "__main__":
    main()
