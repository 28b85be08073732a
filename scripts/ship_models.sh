#!/usr/bin/env bash
# Cross-validate, train on all speakers and package the models of saved_models/; then the leaderboard.
#   scripts/ship_models.sh RAVDESS_FOLDER EMODB_FOLDER [WORK_FOLDER]
# The same command resumes an interrupted run.
set -euo pipefail
cd "$(dirname "$0")/.."
ravdess=${1:?give the folder that holds RAVDESS (https://zenodo.org/records/1188976)}
emodb=${2:?give the folder that holds EMO-DB (http://emodb.bilderbar.info/)}
work=${3:-runs/work}
python=${PYTHON:-.venv/bin/python}

cross_validate() { # config, records, protocol, random seeds
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
# first the run that trains the ensemble members
configs=(ravdess_best_unseen ravdess_best_enrolled ravdess_voice_modulations ravdess_face_gradients)
# Random seeds select the enrolment clips; the other configs are deterministic.
cross_validate ravdess_best_unseen ravdess ravdess/contiguous6 1
cross_validate ravdess_best_enrolled ravdess ravdess/contiguous6 3
cross_validate ravdess_voice_modulations ravdess ravdess/contiguous6 1
cross_validate ravdess_face_gradients ravdess ravdess/contiguous6 1
cross_validate emodb_voice emodb emodb/loso10 1
"$python" -m emorec_tf.report --run "${configs[@]/#/$work/cv-}" --out "$work/report.html"
"$python" -m emorec_tf.report --run "$work/cv-emodb_voice" --out "$work/report-emodb.html"
bias="Feature design used results on these folds (several hundred evaluations, docs/experiments.md), so \
expect optimistic bias; docs/nested_choice.md has the nested selection."
ship ravdess_best_unseen ravdess ravdess-av "$bias"
ship ravdess_best_enrolled ravdess ravdess-av-enrolled "$bias"
ship ravdess_voice_modulations ravdess ravdess-audio "$bias"
ship ravdess_face_gradients ravdess ravdess-face "$bias"
ship emodb_voice emodb emodb-audio "The features of this model were designed on RAVDESS, not on EMO-DB."
clip=$(find "$ravdess" -name '01-01-*.mp4' | sort | sed -n 1p)
"$python" scripts/leaderboard.py "${configs[@]/#/$work/cv-}" --clip "$clip" --out docs/leaderboard.md
