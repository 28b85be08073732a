#!/usr/bin/env bash
# Train and score every system of the seeds on RAVDESS and write docs/seeds.md.
#   scripts/reproduce_seeds.sh RAVDESS_FOLDER [SEEDS] [WORK_FOLDER] [CONFIG ...]
# Killed, it goes on where it stopped. Pictures are decoded once and shared by all (see prepare).
set -euo pipefail
cd "$(dirname "$0")/.."
source=${1:?give the folder that holds RAVDESS, e.g. ../shared/ravdess/clips}
seeds=${2:-1}
work=${3:-saved_models/seeds}
wanted=("${@:4}")
python=${PYTHON:-.venv/bin/python}
# bfloat16 more than halves the large nets' time where the processor has it, and costs it elsewhere.
precision=float32
if grep -qE "avx512_bf16|amx_bf16" /proc/cpuinfo; then precision=mixed_bfloat16; fi
honest=ravdess/seed_actors_21_24

# Configs with the same features share their records.
declare -A records=(
  [speech_fbank_conv]=speech [face_frames_as_channels]=crops [audio_visual_concat]=speech_crops
  [face_landmark_distances]=landmarks [alexnet_visual]=pictures [mfcc_alexnet_cnn]=mfcc
  [mfcc_lstm]=mfcc [concat_8192]=pictures [single_frame_weighted_cnn]=pictures
  [single_frame_weighted_lstm]=pictures [multi_frame_weighted_cnn]=pictures
  [multi_frame_weighted_lstm]=pictures [logmel_image_cnn]=decibels [face_lrcn]=decibels_faces
  [late_fusion_nn]=decibels_faces [late_fusion_logreg]=decibels_faces
  [late_fusion_logreg_pca]=decibels_faces [late_fusion_svm]=decibels_faces
)
order=( # fusions before the branch whose records they share: what is trained first is found again
  speech_fbank_conv face_frames_as_channels face_landmark_distances audio_visual_concat
  mfcc_lstm single_frame_weighted_lstm multi_frame_weighted_lstm alexnet_visual
  single_frame_weighted_cnn multi_frame_weighted_cnn concat_8192 mfcc_alexnet_cnn
  late_fusion_nn late_fusion_logreg late_fusion_logreg_pca late_fusion_svm face_lrcn
  logmel_image_cnn
)

prepare() { # config, dataset, source, records
  "$python" -m emorec_tf.prepare --config "configs/$1.yaml" --dataset "$2" --source "$3" \
    --records "$4" --allow_refused
}

for name in "${wanted[@]:-${order[@]}}"; do
  folder=$work/records/${records[$name]}
  prepare "$name" ravdess "$source" "$folder"
  "$python" -m emorec_tf.crossval --config "configs/$name.yaml" --records "$folder" \
    --protocol $honest --allow_partial --seeds "$seeds" --precision $precision \
    --run "$work/$name"
  case $name in
  face_lrcn | late_fusion_*) # seed 004 dealt clips: the inflated figure beside
    "$python" -m emorec_tf.crossval --config "configs/$name.yaml" --records "$folder" \
      --protocol leaky_kfold:5 --folds 0 --seeds 1 --precision $precision --run "$work/leaky-$name"
    ;;
  audio_visual_concat) # no ratings in RAVDESS: the other targets on the demo corpus
    demo=$work/records/demo
    "$python" -m emorec_tf.prepare --config "configs/$name.yaml" --dataset demo --records "$demo" \
      --allow_refused
    for target in "activation bins" "valence bins" "activation continuous" "valence continuous"; do
      read -r what scale <<<"$target"
      "$python" -m emorec_tf.crossval --config "configs/$name.yaml" --dataset demo \
        --records "$demo" --target "$what" --target_scale "$scale" --protocol group_kfold:4 \
        --folds 0 --seeds 1 --run "$work/demo-$what-$scale"
    done
    ;;
  esac
done
"$python" scripts/seeds_table.py "$work" --out docs/seeds.md
