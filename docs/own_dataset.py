"""Your own clips: from a folder to a run that answers. Without arguments, on the demo corpus.

    python docs/own_dataset.py --source my_clips --out own

``my_clips`` holds folders <speaker>/<emotion>/, or a labels.csv of path,emotion,speaker. Speakers
matter: those who are tested must be nobody that was trained on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from emorec_tf import evaluate, predict, prepare, train
from emorec_tf.datasets.corpora import clips
from emorec_tf.datasets.demo import demo_corpus


def main() -> None:
    """Prepare, train, evaluate, predict."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=Path, help="your clips; none: 24 drawn ones")
    parser.add_argument("--out", type=Path, default=Path("own"))
    given = parser.parse_args()
    source = given.source or demo_corpus.build(
        given.out / "clips", actors=4, takes=2, emotions=("neutral", "happy", "sad")
    )

    # What was found, before anything is decoded.
    found = clips("folder", str(source))
    speakers = sorted({clip.speaker for clip in found})
    print(f"{len(found)} clips of {len(speakers)} speakers: {', '.join(speakers)}")

    # Decode once. So few pictures of so few pixels are for a quick try; leave these flags out.
    quick = ["--clip_seconds=1.5", "--face_frames=2", "--face_pixels=24", "--mel_bands=16"]
    records, run = str(given.out / "records"), str(given.out / "run")
    where = ["--dataset=folder", f"--source={source}", f"--records={records}"]
    assert prepare.main([*where, *quick]) == 0

    # Train on some speakers, choose the epoch by another, and test on the last, met by nobody.
    sides = [f"--validation_speakers={speakers[-2]}", f"--test_speakers={speakers[-1]}"]
    small = ["--audio=conv1d(filters=8, blocks=2)", "--face=alexnet(width=0.1, dense=8)"]
    settings = ["--epochs=5", "--batch_size=4", "--learning_rate=0.01", *small]
    assert train.main([f"--records={records}", f"--run={run}", *sides, *settings]) == 0
    assert evaluate.main([f"--run={run}"]) == 0

    # And ask it.
    unseen = next(clip for clip in found if clip.speaker == speakers[-1])
    assert predict.main([f"--run={run}", str(unseen.video)]) == 0


if __name__ == "__main__":  # the processes that decode begin by reading this file
    main()
