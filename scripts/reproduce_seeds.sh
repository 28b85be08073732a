#!/usr/bin/env bash
# Train and score every system of the seeds on RAVDESS and write docs/seeds.md.
#   scripts/reproduce_seeds.sh RAVDESS_FOLDER [SEEDS] [WORK_FOLDER] [CONFIG ...]
# Killed, it goes on where it stopped. Pictures are decoded once and shared by all (see prepare).
set -euo pipefail
cd "$(dirname "$0")/.."
source=${1:?give the folder that holds RAVDESS, e.g. ../shared/ravdess/clips}
seeds=${2:-1}
work=${3:-runs/seeds}
wanted=("${@:4}")
python=${PYTHON:-.venv/bin/python}
# bfloat16 more than halves the large nets' time where the processor has it, and costs it elsewhere.
precision=float32
if grep -qE "avx512_bf16|amx_bf16" /proc/cpuinfo; then precision=mixed_bfloat16; fi
honest=ravdess/seed_actors_21_24

# Configs with the same features share their records.
declare -A records=(
  [speech_fbank_conv]=speech [face_frames_as_channels]=crops [audio_visual_concat]=speech_crops
  [face_landmark_distances]=landmarks [alexnet_visual]=pictures [mfcc_alexnet_cnn]=pictures
  [mfcc_lstm]=pictures [concat_8192]=pictures [single_frame_weighted_cnn]=pictures
  [single_frame_weighted_lstm]=pictures [multi_frame_weighted_cnn]=pictures
  [multi_frame_weighted_lstm]=pictures [logmel_image_cnn]=decibels_faces [face_lrcn]=decibels_faces
  [late_fusion_nn]=decibels_faces [late_fusion_logreg]=decibels_faces
  [late_fusion_logreg_pca]=decibels_faces [late_fusion_svm]=decibels_faces
)
# Voices alone that are trained on the records of both: with the pictures' settings they are the
# very runs that the fusions trained first, and are found again instead of trained anew.
declare -A pictures=(
  [mfcc_lstm]="--face_detector dlib --face_sampling rate --face_frames 9 --face_pixels 224 --face_channels 3"
  [logmel_image_cnn]="--face_detector dlib --face_frames 20"
)
pictures[mfcc_alexnet_cnn]=${pictures[mfcc_lstm]}
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
  read -ra more <<<"${pictures[$name]:-}"
  prepare "$name" "$folder" --source "$source" "${more[@]}"
  score "$name" "$folder" "$work/$name" --protocol $honest --allow_partial --seeds "$seeds" \
    "${more[@]}"
done
for name in "${names[@]}"; do
  folder=$work/records/${records[$name]}
  case $name in
  late_fusion_* | face_lrcn) # seed 004 dealt clips: the inflated figure beside
    score "$name" "$folder" "$work/leaky-$name" --protocol leaky_kfold:5 --folds 0 --seeds 1
    ;;
  audio_visual_concat) # no ratings in RAVDESS: the other targets on the demo corpus
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
"$python" scripts/seeds_table.py "$work" --out docs/seeds.md
