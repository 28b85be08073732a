#!/usr/bin/env bash
# Speaker-independent cross-validation of the RAVDESS networks, with one report. The best configs,
# which need larger face crops, are in scripts/ship_models.sh.
#   scripts/ravdess_results.sh RAVDESS_FOLDER [RANDOM_SEEDS] [WORK_FOLDER]
# The same command resumes an interrupted run. Runs share their pretraining stages.
set -euo pipefail
cd "$(dirname "$0")/.."
source=${1:?give the folder that holds RAVDESS (https://zenodo.org/records/1188976)}
seeds=${2:-3}
work=${3:-runs/ravdess}
python=${PYTHON:-.venv/bin/python}
# bfloat16 is faster on processors that support it and slower on others.
precision=float32
if grep -qE "avx512_bf16|amx_bf16" /proc/cpuinfo; then precision=mixed_bfloat16; fi
names=(concat audio_only face_only) # first the run that pretrains the others

"$python" -m emorec_tf.prepare --config configs/ravdess_concat.yaml --source "$source" --records "$work/records"
for name in "${names[@]}"; do
  "$python" -m emorec_tf.crossval --config "configs/ravdess_$name.yaml" --records "$work/records" \
    --protocol ravdess/contiguous6 --allow_partial --seeds "$seeds" --precision $precision --run "$work/cv-$name"
done
"$python" -m emorec_tf.report --run "${names[@]/#/$work/cv-}" --out "$work/report.html"
