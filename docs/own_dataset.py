"""Train on your own clips: from a folder to a model that answers. By default, on the demo corpus.

    python docs/own_dataset.py --source my_clips --out own

``my_clips`` holds folders <speaker>/<emotion>/, or a labels.csv with the columns
path,emotion,speaker. Speakers matter: those in the test must not be in the training set.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import emorec_tf
from emorec_tf.datasets.corpora import clips
from emorec_tf.datasets.demo import demo_corpus


def main() -> None:
    """Prepare, train, evaluate, predict."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=Path, help="your clips (default: 24 generated ones)")
    parser.add_argument("--out", type=Path, default=Path("own"))
    given = parser.parse_args()
    source = given.source or demo_corpus.build(
        given.out / "clips", actors=4, takes=2, emotions=("neutral", "happy", "sad")
    )

    # What was found, before anything is decoded.
    found = clips("folder", str(source))
    speakers = sorted({clip.speaker for clip in found})
    print(f"{len(found)} clips of {len(speakers)} speakers: {', '.join(speakers)}")

    # Decode once. So few frames of so few pixels are for a quick try; leave these settings out.
    quick = {"clip_seconds": 1.5, "face_frames": 2, "face_pixels": 24, "mel_bands": 16}
    records = emorec_tf.prepare(source, given.out / "records", config=quick)
    print(records)

    # Train on some speakers, choose the epoch on another, test on the last one.
    small = {"audio": "conv1d(filters=8, blocks=2)", "face": "alexnet(width=0.1, dense=8)"}
    run = emorec_tf.train(
        {"epochs": 5, "batch_size": 4, "learning_rate": 0.01, **small},
        records=records,
        run=given.out / "run",
        validation_speakers=speakers[-2],
        test_speakers=speakers[-1],
    )
    scores = emorec_tf.evaluate(run)
    print(f"UAR {scores['uar']:.2f} on speaker {speakers[-1]}; chance {scores['chance_uar']:.2f}")

    # Recognise the emotion in a clip.
    model = emorec_tf.load(run)
    clip = next(clip for clip in found if clip.speaker == speakers[-1])
    print(model, model.predict_clip(str(clip.video))["probabilities"], sep="\n")


if __name__ == "__main__":  # the processes that decode begin by reading this file
    main()
