#!/usr/bin/env bash
# Cross-validate the zoo's RAVDESS nets over unseen actors and write one report of all. The best
# configs, which need larger crops, are those of scripts/ship_models.sh.
#   scripts/ravdess_figures.sh RAVDESS_FOLDER [SEEDS] [WORK_FOLDER]
# Killed, it goes on where it stopped. Runs beside each other share the members they train first.
set -euo pipefail
cd "$(dirname "$0")/.."
source=${1:?give the folder that holds RAVDESS, e.g. ../shared/ravdess/clips}
seeds=${2:-3}
work=${3:-runs/ravdess}
python=${PYTHON:-.venv/bin/python}
# bfloat16 is faster where the processor has it, and costs time elsewhere.
precision=float32
if grep -qE "avx512_bf16|amx_bf16" /proc/cpuinfo; then precision=mixed_bfloat16; fi
names=(concat audio_only face_only) # what trains the others first goes first

"$python" -m emorec_tf.prepare --config configs/ravdess_concat.yaml --source "$source" --records "$work/records"
for name in "${names[@]}"; do
  "$python" -m emorec_tf.crossval --config "configs/ravdess_$name.yaml" --records "$work/records" \
    --protocol ravdess/contiguous6 --allow_partial --seeds "$seeds" --precision $precision --run "$work/cv-$name"
done
"$python" -m emorec_tf.report --run "${names[@]/#/$work/cv-}" --out "$work/report.html"
