"""Clips as vectors: which clips are alike, and do they share an emotion across speakers?

python docs/own_dataset.py --out own          # or any run, and any clips
python docs/embeddings.py --model own/run --source own/clips --out embeddings.npz
"""

from __future__ import annotations

import argparse

import numpy as np

import emorec_tf
from emorec_tf.datasets.corpora import clips

parser = argparse.ArgumentParser()
parser.add_argument("--model", default="own/run", help="one of list_models(), or a run's folder")
parser.add_argument("--source", default="own/clips")
parser.add_argument("--out", default="embeddings.npz")
given = parser.parse_args()
model = emorec_tf.load(given.model)
found = clips("folder", given.source)
vectors = np.stack([model.embedding(str(clip.video)) for clip in found])
np.savez(given.out, ids=[clip.clip_id for clip in found], vectors=vectors)

# The nearest clip of anybody else, by the angle between the vectors.
apart = vectors - vectors.mean(0)
apart /= np.linalg.norm(apart, axis=1, keepdims=True) + 1e-9
alike = apart @ apart.T
speakers = np.array([clip.speaker for clip in found])
alike[speakers[:, None] == speakers[None]] = -np.inf
nearest = alike.argmax(1)
for clip, other in zip(found[:6], nearest, strict=False):
    print(f"{clip.clip_id}: nearest {found[other].clip_id}")
same = np.mean([c.emotion == found[other].emotion for c, other in zip(found, nearest, strict=True)])
print(f"{len(found)} vectors of {vectors.shape[1]} numbers in {given.out}; the nearest clip of")
print(f"somebody else has the same emotion in {same:.0%}")
