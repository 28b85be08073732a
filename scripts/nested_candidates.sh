#!/usr/bin/env bash
# Nested selection: cross-validate further audio and face candidates beside those of
# ravdess_best_unseen and select per fold. Uses the records and runs of scripts/ship_models.sh.
#   scripts/nested_candidates.sh RAVDESS_FOLDER [WORK_FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."
ravdess=${1:?give the folder that holds RAVDESS (https://zenodo.org/records/1188976)}
work=${2:-runs/work}
python=${PYTHON:-.venv/bin/python}

candidate() { # name, config, records, flags
  "$python" -m emorec_tf.crossval --config "configs/$2.yaml" --records "$work/records/$3" \
    --protocol ravdess/contiguous6 --allow_partial --seeds 1 --run "$work/cv-$1" "${@:4}"
}

voice=ravdess_voice_modulations face=ravdess_face_gradients
candidate face_8_cells $face ravdess --face "face_statistics(cells=8, mesh=False)"
candidate voice_no_copies $voice ravdess --augmented_copies 0
"$python" -m emorec_tf.prepare --config configs/$face.yaml --face_align true --source "$ravdess" \
  --records "$work/records/ravdess-eyes"
candidate face_by_eyes $face ravdess-eyes --face_align true
candidate voice_no_modulations $voice ravdess --audio functionals
"$python" scripts/nested_choice.py \
  "$work"/cv-{$voice,voice_no_copies,voice_no_modulations} \
  --times "$work"/cv-{$face,face_8_cells,face_by_eyes} --out docs/nested_choice.md
