"""Draw the figure of README: a demo clip, the model inputs made from it, and the prediction.

python scripts/draw_overview.py RUN CLIP OUT.png
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from emorec_tf.storage.quiet import QUIET_START

os.environ.update(QUIET_START)  # before anything imports TensorFlow

import matplotlib as mpl
import numpy as np

mpl.use("agg")

from matplotlib.figure import Figure

from emorec_tf.config.clip import Clip
from emorec_tf.features import examples
from emorec_tf.inference import predictor
from emorec_tf.media import decode
from emorec_tf.training import run_dir


def main(run: str, path: str, out: str) -> None:
    """Decode, extract features, predict and draw."""
    features = run_dir.load(run).config.features
    example, _ = examples.maker(features)(Clip(path, "", "", video=path, audio=path))
    answer = predictor.load(run).answer_clip(path, speech_check=False)
    video = decode.decode(path, sample_rate_hz=16000, clip_seconds=None, frame_count=1)
    figure = Figure(figsize=(11, 3.2), dpi=120)
    grid = figure.add_gridspec(2, 3, width_ratios=(1.25, 1.6, 1.3), wspace=0.5, hspace=0.45)
    axes = figure.add_subplot(grid[:, 0])
    axes.imshow(video.frames[0])
    axes.set_title(Path(path).name, fontsize=10)
    axes.axis("off")
    crops = figure.add_subplot(grid[0, 1])
    crops.imshow(np.hstack([*example["faces"][..., 0]]), cmap="gray", vmin=0, vmax=255)
    crops.set_title("face crops, eyes level", fontsize=10)
    crops.axis("off")
    spectrogram = figure.add_subplot(grid[1, 1])
    frames = example["audio"][example["audio_mask"] > 0]
    seconds = len(frames) * features.hop_seconds
    extent = (0, seconds, 0, features.mel_bands)
    spectrogram.imshow(frames.T, origin="lower", aspect="auto", cmap="magma", extent=extent)
    spectrogram.set_title("log-mel spectrogram", fontsize=10)
    spectrogram.set_xlabel("seconds", fontsize=8)
    spectrogram.set_ylabel("mel band", fontsize=8)
    bars = figure.add_subplot(grid[:, 2])
    names = list(answer.probabilities)[::-1]
    shares = [answer.probabilities[n] for n in names]
    colours = ["#2b6cb0" if n == answer.emotion else "#b6c6da" for n in names]
    bars.barh(names, shares, color=colours)
    bars.set_xlim(0, 1)
    bars.set_title(f"answer: {answer.emotion}", fontsize=10)
    bars.spines[["top", "right"]].set_visible(False)
    figure.savefig(out, bbox_inches="tight", metadata={"Software": None})


if __name__ == "__main__":
    main(*sys.argv[1:])
