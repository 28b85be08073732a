"""The four sections of a config, each field with its meaning, default and bounds.

``data`` fixes which clips, ``features`` the bytes of the records, ``model`` the weights, ``train``
the run. Every field is a flag and a line of YAML, by a name that no other section has.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Literal

from emorec_tf.config import choices
from emorec_tf.config.clip import MODALITIES
from emorec_tf.config.fields import check, option

OLD_MODALITIES = ("01", "02", "03")  # RAVDESS's file codes, which older configs have


@dataclass(frozen=True)
class DataConfig:
    """Which clips, which labels, which speakers on which side."""

    dataset: str = option("demo", "corpus name, or several joined by + (ravdess+savee)")
    label: str | None = option(
        None, "which label of a corpus that has several (crema-d: intended or perceived)"
    )
    modality: str = option(
        "auto",
        f"which files, of a corpus that has several for a clip (ravdess): "
        f"{', '.join(MODALITIES)}; auto: all there are",
    )
    records: str | None = option(
        None, "folder of prepared records; none: the demo corpus is built and used"
    )
    classes: str | None = option(
        None, "8, 7 (calm merged into neutral), or a comma list of emotions; none: all there are"
    )
    test_speakers: str | None = option(
        None,
        "comma list of speakers held out for testing, or none for nobody (a model to be shipped); "
        "without it, the last quarter",
    )
    train_speakers: str | None = option(
        None, "comma list of speakers to train on; none: all that are not held out"
    )
    validation_speakers: str | None = option(
        None,
        "comma list of training speakers used to stop early; none: drawn by --seed, an eighth",
    )
    target: Literal["emotion", "activation", "valence"] = option(
        "emotion", "what is learned; activation and valence: ratings from 1 to 5"
    )
    target_scale: Literal["bins", "continuous"] = option(
        "bins",
        "of activation and valence: three classes, cut at 2.5 and 3.5, or the rating itself",
    )
    enrol: int | Literal["self"] | None = option(
        None,
        "normalise each voice by so many unlabelled clips of its speaker, which are not scored, or "
        "self: by the clip alone; none: test speakers stay unseen",
    )

    def __post_init__(self) -> None:
        """Refuse an enrolment by no clips, emotions on a scale, and files of an unknown kind."""
        known = self.modality in ("auto", *MODALITIES, *OLD_MODALITIES)
        check(known, "modality", self.modality, " or ".join(("auto", *MODALITIES)))
        wanted = self.enrol in (None, "self") or int(self.enrol) >= 1
        check(wanted, "enrol", self.enrol, "a number of clips from 1, or self")
        named = self.target_scale == "bins" or self.target != "emotion"
        check(named, "target_scale", self.target_scale, "bins unless target is a rating")

    @property
    def mode(self) -> str:
        """How the model knows a test speaker: named beside every figure."""
        return "enrolled" if self.enrol else "unseen"


@dataclass(frozen=True)
class FeaturesConfig:
    """Everything that decides the bytes of a record; hashed into the stamp of the records."""

    sample_rate_hz: int = option(16000, "sound is resampled to this rate, in hertz")
    clip_seconds: float = option(4.0, "length of one example; longer clips give their middle")
    audio_features: str = option(
        "log_mel", f"what is computed from the audio: {choices.described('audio_features')}"
    )
    mfcc_count: int = option(20, "coefficients of mfcc")
    trim_db: float = option(
        0.0, "cut silence at both ends, quieter than the loudest frame by so many dB; 0: keep it"
    )
    window_seconds: float = option(0.025, "analysis window of the spectrum, in seconds")
    hop_seconds: float = option(0.010, "step between spectra, in seconds")
    mel_bands: int = option(64, "bands of the log-mel spectrogram")
    mel_min_hz: float = option(50.0, "lower edge of the first mel band, in hertz")
    mel_max_hz: float = option(8000.0, "upper edge of the last mel band, in hertz")
    face_frames: int = option(8, "pictures taken from each clip at most; 0: none")
    face_sampling: Literal["even", "rate", "adaptive"] = option(
        "even",
        "even: evenly spaced in time; rate: face_rate_hz a second from the start; adaptive: evenly "
        "spaced among those with a face, and clips with fewer than face_frames are refused",
    )
    face_rate_hz: float = option(3.0, "pictures a second of face_sampling rate")
    face_pixels: int = option(48, "side of the square face crop, in pixels")
    face_channels: Literal[1, 3] = option(1, "1: grey crops, 3: RGB crops")
    face_margin: float = option(0.1, "room around the face, as a share of the box's side")
    face_align: bool | Literal["mesh"] = option(
        True,
        "true: turn and scale each crop so that the eyes, as the detector finds them, are level; "
        "mesh: by the corners of the eyes in the face mesh, which stand stiller; false: the box",
    )
    face_detector: Literal["mediapipe", "yunet", "dlib"] = option(
        "mediapipe", "mediapipe: faces that fill the picture; yunet: small faces; dlib: HOG"
    )
    face_mesh: bool = option(False, "also keep the 478 points of MediaPipe's face mesh")

    @property
    def clip_samples(self) -> int:
        """Samples of one example."""
        return round(self.clip_seconds * self.sample_rate_hz)

    @property
    def window_samples(self) -> int:
        """Samples of one analysis window."""
        return round(self.window_seconds * self.sample_rate_hz)

    @property
    def hop_samples(self) -> int:
        """Samples between two spectra."""
        return round(self.hop_seconds * self.sample_rate_hz)

    @property
    def centred(self) -> bool:
        """Whether audio frames lie around their moment, past both ends, as in librosa."""
        return bool(choices.entry("audio_features", self.audio_features).facts.centred)

    @property
    def audio_frames(self) -> int:
        """Spectra of one example; where not centred, the last window lies inside the clip."""
        reach = 0 if self.centred else self.window_samples
        return 1 + (self.clip_samples - reach) // self.hop_samples

    @property
    def audio_width(self) -> int:
        """Values of one audio frame."""
        width = choices.entry("audio_features", self.audio_features).facts.width
        return width if isinstance(width, int) else int(getattr(self, width))

    def __post_init__(self) -> None:
        """Refuse settings that no signal can satisfy."""
        width = choices.entry("audio_features", self.audio_features).facts.width
        check(self.sample_rate_hz >= 4000, "sample_rate_hz", self.sample_rate_hz, "at least 4000")
        check(self.hop_samples >= 1, "hop_seconds", self.hop_seconds, "at least one sample")
        check(
            self.window_samples <= self.clip_samples,
            "window_seconds",
            self.window_seconds,
            f"at most clip_seconds ({self.clip_seconds})",
        )
        check(
            0 <= self.mel_min_hz < self.mel_max_hz <= self.sample_rate_hz / 2,
            "mel_max_hz",
            self.mel_max_hz,
            f"above mel_min_hz and at most half the sample rate ({self.sample_rate_hz / 2:g})",
        )
        check(self.mel_bands >= 1, "mel_bands", self.mel_bands, "at least 1")
        check(
            1 <= self.mfcc_count <= self.mel_bands or width != "mfcc_count",
            "mfcc_count",
            self.mfcc_count,
            f"1 to mel_bands ({self.mel_bands})",
        )
        check(self.trim_db >= 0, "trim_db", self.trim_db, "at least 0")
        check(0 < self.face_rate_hz <= 60, "face_rate_hz", self.face_rate_hz, "above 0, to 60")
        check(0 <= self.face_frames <= 256, "face_frames", self.face_frames, "0 to 256")
        check(8 <= self.face_pixels <= 512, "face_pixels", self.face_pixels, "8 to 512")
        check(self.face_margin >= 0, "face_margin", self.face_margin, "at least 0")

    def stamp(self) -> str:
        """Eight hexadecimal digits that change with any setting here."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class ModelConfig:
    """Which network. Each choice is a name or a call with knobs: ``lstm(units=64)``."""

    audio: str = option("conv1d", "audio branch, a name or a call such as 'lstm(units=64)'")
    face: str = option("alexnet", "face branch, a name or a call such as 'alexnet(width=0.5)'")
    fusion: str = option("concat", "how audio and face are joined, a name or a call")
    standardise: Literal["bands", "scalar"] = option(
        "bands", "sound has mean 0 and deviation 1 over the training clips: by band, or over all"
    )
    audio_length: Literal["all", "mean_plus_deviation"] = option(
        "all",
        "frames the audio branch is given: all there are, or as many as the training clips' mean "
        "length and one standard deviation; later ones are cut",
    )
    classifier: str = option(
        "none", "classical head on the fused features, found on validation speakers: 'svm()'"
    )
    ensemble: str | None = option(
        None,
        "comma list of configs (YAML files beside this one), each trained for itself: the answer "
        "is the product of their probabilities, and the other settings of the model have no say",
    )
    modality_dropout: float = option(
        0.15, "share of training clips whose voice (and as many whose face) is taken away"
    )

    def __post_init__(self) -> None:
        """Refuse shares that leave no clip with both modalities."""
        check(
            0 <= self.modality_dropout < 0.5, "modality_dropout", self.modality_dropout, "0 to 0.5"
        )


@dataclass(frozen=True)
class TrainConfig:
    """How the weights are found."""

    epochs: int = option(30, "passes over the training clips")
    batch_size: int = option(32, "clips per step, over all devices together")
    learning_rate: float = option(3e-3, "peak of the one-cycle cosine schedule")
    weight_decay: float = option(2e-2, "AdamW's decoupled weight decay")
    label_smoothing: float = option(0.05, "share of the label spread over all classes")
    class_weights: bool = option(True, "weigh clips so that every class counts the same")
    augment: bool = option(True, "mask bands and time, shift, mirror and vary light in training")
    augment_channel: bool = option(
        False,
        "in training, hear half of the voices as by other microphones: up to 20 dB louder or "
        "quieter, of another colour, half of them in noise of 10 to 35 dB",
    )
    train_frames: int = option(
        0, "pictures of each clip in a training step, drawn anew each time; 0: all of them"
    )
    pretrain: str | None = option(
        None,
        "comma list of configs (YAML files beside this one) whose branches are trained first",
    )
    freeze_branches: bool = option(
        False, "leave branches that were trained first as they are; only the fusion is trained"
    )
    refit: bool = option(
        False,
        "fit the classifier that was found, or those of members, to training and validation "
        "speakers together; the temperature stays that of the first fit, made without the latter",
    )
    inner_folds: int = option(
        0,
        "with refit: deal training and validation speakers to so many folds, and let answers for "
        "speakers that a classical head has not met choose its settings and fit its temperature; "
        "0: the validation speakers do both",
    )
    augmented_copies: int = option(
        0,
        "so many copies of each clip, with other pace, pitch and microphone (as in "
        "augment_channel), to which a classical head is fitted beside the clips",
    )
    keep: Literal["best", "last"] = option(
        "best", "which epoch the run keeps: best validation UAR (CCC of ratings), or the last"
    )
    patience: int = option(0, "stop after so many epochs without better validation UAR; 0: never")
    cache: Literal["memory", "disk", "none"] = option(
        "memory",
        "where training keeps its examples: memory (fastest, refused where they do not fit); disk: "
        "shards are copied to this machine once; none: read anew in every epoch. Same result",
    )
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = option(
        "float32", "arithmetic of the layers; mixed_bfloat16 is fast where the processor has it"
    )
    jit: Literal["auto", "on", "off"] = option("auto", "XLA; auto: on a GPU only")
    seed: int = option(0, "seed of weights, order, augmentation and validation speakers")

    def __post_init__(self) -> None:
        """Refuse runs that cannot train."""
        check(self.epochs >= 1, "epochs", self.epochs, "at least 1")
        check(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        check(self.learning_rate > 0, "learning_rate", self.learning_rate, "above 0")
        check(0 <= self.label_smoothing < 1, "label_smoothing", self.label_smoothing, "0 to 1")
        check(self.train_frames >= 0, "train_frames", self.train_frames, "at least 0")
        check(
            not self.freeze_branches or self.pretrain is not None,
            "freeze_branches",
            self.freeze_branches,
            "off unless pretrain names what is trained first",
        )
        check(self.patience >= 0, "patience", self.patience, "at least 0")
        check(self.augmented_copies >= 0, "augmented_copies", self.augmented_copies, "at least 0")
        folds = self.inner_folds
        check(folds == 0 or folds >= 2, "inner_folds", folds, "at least 2, or 0")
        check(folds == 0 or self.refit, "inner_folds", folds, "0 unless refit is on")
