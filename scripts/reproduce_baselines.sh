#!/usr/bin/env bash
# Train and score every reimplemented baseline on RAVDESS and write docs/baselines.md.
#   scripts/reproduce_baselines.sh RAVDESS_FOLDER [RANDOM_SEEDS] [WORK_FOLDER] [CONFIG ...]
# The same command resumes an interrupted run. Clips are decoded once and shared by all configs.
set -euo pipefail
cd "$(dirname "$0")/.."
source=${1:?give the folder that holds RAVDESS (https://zenodo.org/records/1188976)}
seeds=${2:-1}
work=${3:-runs/baselines}
wanted=("${@:4}")
python=${PYTHON:-.venv/bin/python}
# bfloat16 more than halves the time of the large networks on processors that support it.
precision=float32
if grep -qE "avx512_bf16|amx_bf16" /proc/cpuinfo; then precision=mixed_bfloat16; fi
protocol=ravdess/seed_actors_21_24

# Configs with the same features share their records.
declare -A records=(
  [speech_fbank_conv]=speech [face_frames_as_channels]=crops [audio_visual_concat]=speech_crops
  [face_landmark_distances]=landmarks [alexnet_visual]=frames [mfcc_alexnet_cnn]=frames
  [mfcc_lstm]=frames [concat_8192]=frames [single_frame_weighted_cnn]=frames
  [single_frame_weighted_lstm]=frames [multi_frame_weighted_cnn]=frames
  [multi_frame_weighted_lstm]=frames [logmel_image_cnn]=decibels_faces [face_lrcn]=decibels_faces
  [late_fusion_nn]=decibels_faces [late_fusion_logreg]=decibels_faces
  [late_fusion_logreg_pca]=decibels_faces [late_fusion_svm]=decibels_faces
)
# Audio-only baselines use the records of both modalities: with these face settings they equal the
# runs that the fusions pretrained, so those are reused instead of trained again.
declare -A face_settings=(
  [mfcc_lstm]="--face_detector dlib --face_sampling rate --face_frames 9 --face_pixels 224 --face_channels 3"
  [logmel_image_cnn]="--face_detector dlib --face_frames 20"
)
face_settings[mfcc_alexnet_cnn]=${face_settings[mfcc_lstm]}
order=( # fusions before their branches
  speech_fbank_conv face_frames_as_channels face_landmark_distances audio_visual_concat
  single_frame_weighted_lstm multi_frame_weighted_lstm mfcc_lstm alexnet_visual
  single_frame_weighted_cnn multi_frame_weighted_cnn concat_8192 mfcc_alexnet_cnn
  late_fusion_nn late_fusion_logreg late_fusion_logreg_pca late_fusion_svm face_lrcn
  logmel_image_cnn
)

prepare() { # config, records, then more flags
  "$python" -m emorec_tf.prepare --config "configs/$1.yaml" --records "$2" --allow_refused "${@:3}"
}

score() { # config, records, run, then protocol and more flags
  "$python" -m emorec_tf.crossval --config "configs/$1.yaml" --records "$2" --run "$3" \
    --precision $precision "${@:4}"
}

names=("${wanted[@]:-${order[@]}}")
for name in "${names[@]}"; do
  folder=$work/records/${records[$name]}
  read -ra more <<<"${face_settings[$name]:-}"
  prepare "$name" "$folder" --source "$source" "${more[@]}"
  score "$name" "$folder" "$work/$name" --protocol $protocol --allow_partial --seeds "$seeds" \
    "${more[@]}"
done
for name in "${names[@]}"; do
  folder=$work/records/${records[$name]}
  case $name in
  late_fusion_* | face_lrcn) # baseline 004 split by clip: also the inflated, leaky result
    score "$name" "$folder" "$work/leaky-$name" --protocol leaky_kfold:5 --folds 0 --seeds 1
    ;;
  audio_visual_concat) # RAVDESS has no ratings: these targets use the demo corpus
    demo=$work/records/demo
    prepare "$name" "$demo" --dataset demo
    for target in activation valence; do
      for scale in bins continuous; do
        score "$name" "$demo" "$work/demo-$target-$scale" --dataset demo --target $target \
          --target_scale $scale --protocol group_kfold:4 --folds 0 --seeds 1
      done
    done
    ;;
  esac
done
"$python" scripts/baselines_table.py "$work" --out docs/baselines.md
