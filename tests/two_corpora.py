"""Two small corpora of 4 and 2 speakers, as folders of records; they share two classes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import made_records

from emorec_tf.config.config import FeaturesConfig

ENGLISH = ("neutral", "happy", "sad")
GERMAN = ("neutral", "sad", "angry")
BOTH = ("neutral", "sad")
FLAGS = [
    "--fusion=audio_only",
    "--audio=functionals(coefficients=8)",
    "--classifier=lda(shrinkage=0.1)",
    "--batch_size=4",
    "--folds=2",
]


def make(folder: Path, features: FeaturesConfig) -> str:
    """Write records ``english`` and ``german`` below a folder; return them joined by a comma."""
    features = dataclasses.replace(features, face_frames=0)
    parts = [("english", "1234", ENGLISH, 0), ("german", "12", GERMAN, 1)]
    for name, speakers, emotions, seed in parts:
        made_records.make(
            folder / name,
            features,
            lambda clip: (),
            prefix=name[0],
            speakers=speakers,
            emotions=emotions,
            takes=4,
            seed=seed,
        )
    return ",".join(str(folder / name) for name, *_ in parts)
