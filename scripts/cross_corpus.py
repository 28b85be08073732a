"""Cross-corpus evaluation: score a model on another corpus, over the emotions of both.

python scripts/cross_corpus.py ravdess-audio emodb EMODB/
"""

from __future__ import annotations

import os
import sys

import numpy as np

from emorec_tf.datasets import corpora
from emorec_tf.evaluation.model_card import between, percent
from emorec_tf.inference import predictor
from emorec_tf.storage.quiet import QUIET_START
from emorec_tf.tasks import metrics


def main(model: str, dataset: str, source: str) -> None:
    """Predict each clip of a shared emotion and print the scores."""
    ready = predictor.load(model)
    known = ready.run.classes
    clips = corpora.clips(dataset, source)
    both = [name for name in known if name in {clip.emotion for clip in clips}]
    clips = [clip for clip in clips if clip.emotion in both]
    columns = [known.index(name) for name in both]
    predictions = []
    for clip in clips:
        answer = ready.answer_clip(str(clip.video or clip.audio), speech_check=False)
        shares = np.array(list(answer.probabilities.values()))[columns]
        predictions.append(shares / shares.sum())
    labels, speakers = [clip.emotion for clip in clips], [clip.speaker for clip in clips]
    found = metrics.scores(labels, np.array(predictions), tuple(both), speakers)
    counts = f"{len(clips)} clips, {len(set(speakers))} speakers"
    print(f"{model} on {dataset}: {counts}, {', '.join(both)}")
    for name in ("uar", "war"):
        print(f"{name.upper()} {percent(found[name])} ({between(found[f'{name}_ci95'])})")
    print(f"chance UAR {percent(found['chance_uar'])}")
    recalls = found["per_class_recall"].items()
    print("recalls " + ", ".join(f"{name} {percent(recall)}" for name, recall in recalls))


if __name__ == "__main__":
    os.environ.update(QUIET_START)
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
