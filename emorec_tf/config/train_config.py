"""The ``train`` section of a config: how the network is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from emorec_tf.config.fields import check, option


@dataclass(frozen=True)
class TrainConfig:
    """How the network is trained."""

    epochs: int = option(30, "passes over the training clips")
    batch_size: int = option(32, "clips per training step, over all devices together")
    learning_rate: float = option(3e-3, "peak of the one-cycle cosine schedule")
    weight_decay: float = option(2e-2, "decoupled weight decay of AdamW", expert=True)
    label_smoothing: float = option(
        0.05, "share of each label that is spread evenly over all classes", expert=True
    )
    class_weights: bool = option(
        True, "weight clips so that every class counts equally in the loss", expert=True
    )
    balance: Literal["none", "corpora"] = option(
        "none",
        "corpora: weight clips so that every corpus, and every class within it, counts equally, in "
        "the loss and in classical classifiers; none: class_weights alone decides",
        expert=True,
    )
    augment: bool = option(
        True,
        "augment training clips: masked time and bands, time shift; rotated, zoomed, shifted and "
        "mirrored faces, other brightness",
    )
    augment_channel: bool = option(
        False,
        "channel augmentation for 50 % of clips: random gain +-20 dB, spectral tilt, and for half "
        "of them additive noise at 10 to 35 dB SNR",
        expert=True,
    )
    train_frames: int = option(
        0,
        "video frames per clip in a training step, drawn at random each time; 0: all of them",
        expert=True,
    )
    pretrain: str | None = option(
        None,
        "comma list of configs (YAML files beside this one), each trained first, and of finished "
        "runs or models (folder or name); their matching branches are the start of this run "
        "(default: none)",
        metavar="LIST",
        expert=True,
    )
    freeze_branches: bool = option(
        False, "keep pretrained branches fixed; only the fusion is trained", expert=True
    )
    refit: bool = option(
        False,
        "fit the chosen classical classifier (or those of the ensemble) again on training and "
        "validation speakers together; the temperature is fitted before that",
        expert=True,
    )
    inner_folds: int | Literal["corpora"] = option(
        0,
        "folds of inner speaker-disjoint cross-validation that choose hyperparameters and "
        "temperature of the classical classifier (needs --refit); corpora: each leaves one corpus "
        "out, for corpora that were not trained on; 0: use the validation speakers",
        expert=True,
    )
    augmented_copies: int = option(
        0,
        "augmented copies per clip (tempo, frequency warp, channel) for the classical classifier",
        expert=True,
    )
    channel_copies: int = option(
        0,
        "copies per clip from other channels (telephone band, reverberation, level, noise) for the "
        "classical classifier",
        expert=True,
    )
    keep: Literal["best", "last"] = option(
        "best",
        "which epoch's weights the run keeps: the best on the validation speakers (UAR; CCC for "
        "ratings), or the last",
        expert=True,
    )
    patience: int = option(
        0, "stop after this many epochs without a better validation score; 0: never", expert=True
    )
    cache: Literal["memory", "disk", "none"] = option(
        "memory",
        "where examples are kept during training; memory: fastest, refused if they do not fit; "
        "disk: records are copied to this machine once; none: read again in every epoch. The "
        "result is the same",
        expert=True,
    )
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = option(
        "float32",
        "arithmetic of the layers; mixed_bfloat16 is faster on hardware that supports it",
        expert=True,
    )
    jit: Literal["auto", "on", "off"] = option(
        "auto", "compile with XLA; auto: on a GPU only", expert=True
    )
    seed: int = option(
        0, "random seed of weights, order, augmentation and drawn validation speakers"
    )

    def __post_init__(self) -> None:
        """Refuse runs that cannot train."""
        check(self.epochs >= 1, "epochs", self.epochs, "at least 1")
        check(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        rate = self.learning_rate
        check(0 < rate < math.inf, "learning_rate", rate, "above 0, and finite")
        decay = self.weight_decay
        check(0 <= decay < math.inf, "weight_decay", decay, "at least 0, and finite")
        check(0 <= self.seed < 2**32, "seed", self.seed, "from 0 to 4294967295")
        check(0 <= self.label_smoothing < 1, "label_smoothing", self.label_smoothing, "0 to 1")
        check(self.train_frames >= 0, "train_frames", self.train_frames, "at least 0")
        check(
            not self.freeze_branches or self.pretrain is not None,
            "freeze_branches",
            self.freeze_branches,
            "off unless pretrain names configs or runs",
        )
        check(self.patience >= 0, "patience", self.patience, "at least 0")
        for name in ("augmented_copies", "channel_copies"):
            check(getattr(self, name) >= 0, name, getattr(self, name), "at least 0")
        folds = self.inner_folds
        enough = folds == "corpora" or folds == 0 or folds >= 2
        check(enough, "inner_folds", folds, "at least 2, or 0, or corpora")
        check(folds == 0 or self.refit, "inner_folds", folds, "0 unless refit is on")
