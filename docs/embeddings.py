"""Compare clips by their embeddings: do near clips of different speakers share an emotion?

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

# The nearest clip of another speaker, by the angle between the embeddings.
centred = vectors - vectors.mean(0)
centred /= np.linalg.norm(centred, axis=1, keepdims=True) + 1e-9
cosine = centred @ centred.T
speakers = np.array([clip.speaker for clip in found])
cosine[speakers[:, None] == speakers[None]] = -np.inf
nearest = cosine.argmax(1)
for clip, other in zip(found[:6], nearest, strict=False):
    print(f"{clip.clip_id}: nearest {found[other].clip_id}")
same = np.mean([c.emotion == found[other].emotion for c, other in zip(found, nearest, strict=True)])
print(f"{len(found)} embeddings of {vectors.shape[1]} values in {given.out}")
print(f"the nearest clip of another speaker has the same emotion in {same:.0%} of cases")
