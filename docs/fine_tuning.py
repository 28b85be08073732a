"""Fine-tune a trained network: its layers, new classes, plain Keras from there on.

python docs/own_dataset.py --out own          # or any run, and any clips
python docs/fine_tuning.py --model own/run --source own/clips --out smiling.keras
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import emorec_tf
from emorec_tf.datasets.corpora import clips

parser = argparse.ArgumentParser()
parser.add_argument("--model", default="own/run", help="one of list_models(), or a run's folder")
parser.add_argument("--source", default="own/clips")
parser.add_argument("--out", type=Path, default=Path("smiling.keras"))
given = parser.parse_args()
known = emorec_tf.load(given.model)

# Clips become arrays as in training; the last speaker is held out for the test.
found = clips("folder", given.source)
inputs = known.inputs([str(clip.video) for clip in found])
smiles = np.array([int(clip.emotion == "happy") for clip in found])
kept = np.array([clip.speaker == max(clip.speaker for clip in found) for clip in found])
training = {name: array[~kept] for name, array in inputs.items()}
test = {name: array[kept] for name, array in inputs.items()}

# Layers of equal shape keep their trained weights; the new output layer starts from random ones.
network = emorec_tf.build_model(["not smiling", "smiling"], weights=given.model)
import keras  # noqa: E402 - after emorec_tf, which loads it faster

for layer in network.layers:
    layer.trainable = not layer.name.endswith("_branch")
network.compile(
    keras.optimizers.Adam(1e-2),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
network.fit(training, smiles[~kept], batch_size=6, epochs=20, verbose=0)
_, before = network.evaluate(training, smiles[~kept], verbose=0)
_, after = network.evaluate(test, smiles[kept], verbose=0)
chance = max(smiles[kept].mean(), 1 - smiles[kept].mean())
print(f"accuracy {before:.0%} in training, {after:.0%} on a new speaker (chance {chance:.0%})")
network.save(given.out)
print(f"written: {given.out}")
