#!/usr/bin/env bash
# Cross-validate, train on everybody and pack the models of saved_models/; then the leaderboard.
#   scripts/ship_models.sh RAVDESS_FOLDER EMODB_FOLDER [WORK_FOLDER]
# Killed, it goes on where it stopped.
set -euo pipefail
cd "$(dirname "$0")/.."
ravdess=${1:?give the folder that holds RAVDESS, e.g. ../shared/ravdess/clips}
emodb=${2:?give the folder that holds EMO-DB, e.g. ../shared/emodb/flac}
work=${3:-runs/work}
python=${PYTHON:-.venv/bin/python}

judge() { # config, records, protocol, seeds: cross-validation
  "$python" -m emorec_tf.crossval --config "configs/$1.yaml" --records "$work/records/$2" \
    --protocol "$3" --allow_partial --seeds "$4" --run "$work/cv-$1"
}

ship() { # config, records, name, note for the card
  "$python" -m emorec_tf.train --config "configs/$1.yaml" --records "$work/records/$2" \
    --test_speakers none --run "$work/final-$1"
  "$python" -m emorec_tf.ship --run "$work/final-$1" --crossval "$work/cv-$1" \
    --note "$4" --out "saved_models/$3" --overwrite
}

"$python" -m emorec_tf.prepare --config configs/ravdess_best_unseen.yaml --source "$ravdess" \
  --records "$work/records/ravdess"
"$python" -m emorec_tf.prepare --config configs/emodb_voice.yaml --source "$emodb" \
  --records "$work/records/emodb"
# what trains the others first goes first
configs=(ravdess_best_unseen ravdess_best_enrolled ravdess_voice_modulations ravdess_face_gradients)
# Seeds draw the clips that enrol; in the others nothing is drawn by chance.
judge ravdess_best_unseen ravdess ravdess/contiguous6 1
judge ravdess_best_enrolled ravdess ravdess/contiguous6 3
judge ravdess_voice_modulations ravdess ravdess/contiguous6 1
judge ravdess_face_gradients ravdess ravdess/contiguous6 1
judge emodb_voice emodb emodb/loso10 1
"$python" -m emorec_tf.report --run "${configs[@]/#/$work/cv-}" --out "$work/report.html"
"$python" -m emorec_tf.report --run "$work/cv-emodb_voice" --out "$work/report-emodb.html"
seen="What this model is made of was chosen after looking at figures of these very folds some hundred \
times (docs/experiments.md), so a little of the figures is chance; its settings' rivals and what the \
training speakers themselves choose are in docs/nested_choice.md."
ship ravdess_best_unseen ravdess ravdess-av "$seen"
ship ravdess_best_enrolled ravdess ravdess-av-enrolled "$seen"
ship ravdess_voice_modulations ravdess ravdess-audio "$seen"
ship ravdess_face_gradients ravdess ravdess-face "$seen"
ship emodb_voice emodb emodb-audio "What this model is made of was chosen on RAVDESS, not on EMO-DB."
clip=$(find "$ravdess" -name '01-01-*.mp4' | sort | sed -n 1p)
"$python" scripts/leaderboard.py "${configs[@]/#/$work/cv-}" --clip "$clip" --out docs/leaderboard.md
