#!/usr/bin/env bash
# Test on each corpus that was left out, train on all of them and package general-audio, general-face
# and general-av.
#   scripts/ship_general.sh RAVDESS EMODB TESS NEMO FER2013 EXPRESSION_NET [WORK_FOLDER]
# The first five are folders of corpora. FER2013 holds the images of the public test, the corpus's own
# validation images, halved into train/ and validation/: a head that is fitted to images that the net
# was trained on would trust it too much. EXPRESSION_NET is ema.keras of scripts/train_expression_net.py.
# WHISPER=FILE gives Whisper's weights in place of a download. The same command resumes.
set -euo pipefail
cd "$(dirname "$0")/.."
ravdess=${1:?give the folder that holds RAVDESS (https://zenodo.org/records/1188976)}
emodb=${2:?give the folder that holds EMO-DB (http://emodb.bilderbar.info/)}
tess=${3:?give the folder that holds TESS (doi 10.5683/SP2/E8H2MF)}
nemo=${4:?give the folder that holds nEMO (https://github.com/amu-cai/nEMO)}
fer=${5:?give the folder that holds FER-2013, halved}
net=${6:?give ema.keras of scripts/train_expression_net.py}
work=${7:-runs/work}
python=${PYTHON:-.venv/bin/python}
audio=(--config configs/general_whisper.yaml --audio "whisper(layers='concat', weights='${WHISPER:-download}')")
face=(--config configs/general_face.yaml --face "expression_net(weights='$net', frozen=True)")
heard="$work/records/ravdess-general,$work/records/speech"
seen="$work/records/ravdess-general,$work/records/faces"

prepare() { # datasets, sources, records
  "$python" -m emorec_tf.prepare --config configs/general_whisper.yaml --label_map "" --dataset "$1" \
    --source "$2" --records "$work/records/$3"
}

evaluate_and_ship() { # name, records, note, settings
  local name=$1 records=$2 note=$3
  shift 3
  "$python" -m emorec_tf.crossval "$@" --records "$records" --protocol leave_one_corpus_out --seeds 1 \
    --no_robustness --run "$work/loco-$name"
  "$python" -m emorec_tf.train "$@" --records "$records" --test_speakers none --run "$work/final-$name"
  "$python" -m emorec_tf.report --run "$work/loco-$name" --out "$work/report-$name.html"
  "$python" -m emorec_tf.ship --run "$work/final-$name" --crossval "$work/loco-$name" --note "$note" \
    --out "saved_models/$name" --overwrite
}

prepare ravdess "$ravdess" ravdess-general
prepare emodb+tess+nemo "$emodb,$tess,$nemo" speech
prepare fer2013 "$fer" faces
evaluate_and_ship general-audio "$heard" "Chosen by corpora left out: docs/experiments.md." "${audio[@]}"
evaluate_and_ship general-face "$seen" "Chosen by corpora left out: docs/experiments.md." "${face[@]}"
"$python" -m emorec_tf.ship --members general-audio,general-face --out saved_models/general-av --overwrite
