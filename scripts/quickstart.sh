#!/usr/bin/env bash
# From a fresh checkout to a prediction: environment, demo corpus, records, training, evaluation.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/environment.sh .venv requirements.lock
python=.venv/bin/python
export EMOREC_CACHE=${EMOREC_CACHE:-$HOME/.cache/emorec_tf}
"$python" -m emorec_tf.prepare --config configs/demo.yaml --records records/demo
"$python" -m emorec_tf.train --config configs/demo.yaml --fusion concat --records records/demo --run runs/demo-concat
"$python" -m emorec_tf.evaluate --run runs/demo-concat
clip=$EMOREC_CACHE/demo-corpus/clips/actor07_happy_1.mp4
echo "a clip of a test actor, generated as happy:"
"$python" -m emorec_tf.predict --run runs/demo-concat "$clip"
