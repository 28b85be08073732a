"""Fine-tune a model on own clips: a new head that tells smiling faces from others.

python docs/own_dataset.py --out own          # or any packaged model or run, and any clips
python docs/fine_tuning.py --model own/run --source own/clips --out smiling
"""

from __future__ import annotations

import argparse

import emorec_tf
from emorec_tf.datasets.corpora import clips


def main() -> None:
    """Map the labels to two, fit a new head, score it on a speaker that was held out."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="own/run", help="one of list_models(), or a folder")
    parser.add_argument("--source", default="own/clips")
    parser.add_argument("--out", default="smiling", help="folder of the run")
    given = parser.parse_args()

    # happy stays, all other labels become neutral; the last speaker is held out for the test
    found = clips("folder", given.source)
    others = sorted({clip.emotion for clip in found} - {"happy", "neutral"})
    run = emorec_tf.finetune(
        given.model,
        given.source,
        run=given.out,
        label_map=",".join(f"{name}=neutral" for name in others) or None,
        test_speakers=max(clip.speaker for clip in found),
    )
    scores = emorec_tf.evaluate(run)
    print(f"UAR {scores['uar']:.2f} on a new speaker (chance {scores['chance_uar']:.2f})")
    print(f"classes {', '.join(run.classes)}; written: {run.folder}")

    # plain Keras from here on: {array name: [B, ...]} -> logits [B, 2]
    network = emorec_tf.load(run).network
    print(f"{network.count_params():,} parameters, output {network.output_shape}")


if __name__ == "__main__":  # clips are decoded by several processes
    main()
