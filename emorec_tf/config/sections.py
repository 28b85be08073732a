"""The four sections of a config: every setting with its meaning, default and bounds.

``data`` chooses clips, labels and speakers, ``features`` the contents of the records, ``model`` the
network and ``train`` how it is trained. Every field is a flag and a line of YAML; no name stands in
two sections.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from typing import Literal

from emorec_tf.config import choices, spellings
from emorec_tf.config.data_config import DataConfig
from emorec_tf.config.fields import check, option
from emorec_tf.config.train_config import TrainConfig

__all__ = ["DataConfig", "FeaturesConfig", "ModelConfig", "TrainConfig"]

MOST_AUDIO_MIB = 256  # of one clip in memory, from its samples to the features


@dataclass(frozen=True)
class FeaturesConfig:
    """How a clip becomes arrays: audio features and face crops."""

    sample_rate_hz: int = option(16000, "audio is resampled to this rate, in hertz")
    clip_seconds: float = option(
        4.0, "length of one example in seconds; of longer clips the middle is used"
    )
    audio_features: str = option(
        "log_mel", f"what is computed from the audio: {choices.described('audio_features')}"
    )
    mfcc_count: int = option(20, "number of MFCC coefficients (audio_features mfcc)", expert=True)
    trim_db: float = option(
        0.0,
        "trim leading and trailing silence: audio that is this many dB quieter than the loudest "
        "frame; 0: no trimming",
        expert=True,
    )
    window_seconds: float = option(
        0.025, "length of the spectrum's analysis window, in seconds", expert=True
    )
    hop_seconds: float = option(
        0.010, "step from one analysis window to the next, in seconds", expert=True
    )
    mel_bands: int = option(64, "number of mel bands")
    mel_min_hz: float = option(50.0, "lower edge of the lowest mel band, in hertz", expert=True)
    mel_max_hz: float = option(8000.0, "upper edge of the highest mel band, in hertz", expert=True)
    face_frames: int = option(8, "most video frames used per clip; 0: no face input")
    face_sampling: Literal["even", "rate", "adaptive"] = option(
        "even",
        "which video frames are used; even: evenly spaced in time; rate: face_rate_hz per second "
        "from the start; adaptive: evenly spaced among the frames with a face; clips with fewer "
        "than face_frames such frames are refused",
        expert=True,
    )
    face_rate_hz: float = option(3.0, "frames per second, with --face_sampling rate", expert=True)
    face_pixels: int = option(48, "side of the square face crop, in pixels")
    face_channels: Literal[1, 3] = option(1, "1: greyscale crops, 3: RGB crops")
    face_margin: float = option(
        0.1, "margin around the detected face, as a fraction of the box's side", expert=True
    )
    face_align: bool | Literal["mesh"] = option(
        True,
        "true: rotate and scale each crop so that the detector's eye points are level; mesh: align "
        "by face-mesh eye corners (more stable than detector eyes); false: crop the detected box",
        expert=True,
    )
    face_detector: Literal["mediapipe", "yunet", "dlib"] = option(
        "mediapipe",
        "mediapipe: for faces close to the camera; yunet: also finds small faces; dlib: HOG",
    )
    face_mesh: bool = option(False, "also store the 478 points of MediaPipe's face mesh")

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
    def reach_samples(self) -> int:
        """Samples that a clip needs for its first audio frame; 0 where frames are centred."""
        facts = choices.entry("audio_features", self.audio_features).facts
        return 0 if facts.centred else int(getattr(self, facts.window))

    @property
    def audio_frames(self) -> int:
        """Spectra of one example (T); where not centred, the last window ends within the clip."""
        return 1 + (self.clip_samples - self.reach_samples) // self.hop_samples

    @property
    def audio_width(self) -> int:
        """Values of one audio frame."""
        width = choices.entry("audio_features", self.audio_features).facts.width
        return width if isinstance(width, int) else int(getattr(self, width))

    def __post_init__(self) -> None:
        """Refuse settings that no signal can satisfy, or no memory."""
        for name in [f.name for f in dataclasses.fields(self) if f.type == "float"]:
            check(math.isfinite(getattr(self, name)), name, getattr(self, name), "finite")
        width = choices.entry("audio_features", self.audio_features).facts.width
        check(self.sample_rate_hz >= 4000, "sample_rate_hz", self.sample_rate_hz, "at least 4000")
        check(self.hop_samples >= 1, "hop_seconds", self.hop_seconds, "at least one sample")
        check(
            self.window_samples >= 1, "window_seconds", self.window_seconds, "at least one sample"
        )
        check(
            self.window_samples <= self.clip_samples,
            "window_seconds",
            self.window_seconds,
            f"at most clip_seconds ({self.clip_seconds})",
        )
        check(
            self.reach_samples <= self.clip_samples,
            "hop_seconds",
            self.hop_seconds,
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
        self._check_memory()
        check(self.trim_db >= 0, "trim_db", self.trim_db, "at least 0")
        check(0 < self.face_rate_hz <= 60, "face_rate_hz", self.face_rate_hz, "above 0, to 60")
        check(0 <= self.face_frames <= 256, "face_frames", self.face_frames, "0 to 256")
        check(8 <= self.face_pixels <= 512, "face_pixels", self.face_pixels, "8 to 512")
        check(self.face_margin >= 0, "face_margin", self.face_margin, "at least 0")

    def _check_memory(self) -> None:
        """Refuse audio of one clip that would fill the memory, its spectrum included."""
        values = self.clip_samples + self.audio_frames * (self.window_samples + self.audio_width)
        mib = values * 4 / 2**20
        check(
            mib <= MOST_AUDIO_MIB,
            "clip_seconds",
            self.clip_seconds,
            f"shorter: at {self.sample_rate_hz} Hz, hop_seconds {self.hop_seconds:g} and "
            f"{self.audio_width} values a frame one clip takes {mib:,.0f} MiB of at most "
            f"{MOST_AUDIO_MIB}",
        )

    def fingerprint(self) -> str:
        """Fingerprint of the settings: eight hexadecimal digits that change with any of them."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class ModelConfig:
    """Which network. ``python -m emorec_tf.zoo`` lists the choices and their arguments."""

    audio: str = option(
        "conv1d",
        "audio branch, a name or a call such as 'lstm(units=64)'; audio_only and face_only of "
        "--fusion leave the other branch out",
        metavar="CHOICE",
    )
    face: str = option(
        "alexnet", "face branch, a name or a call such as 'alexnet(width=0.5)'", metavar="CHOICE"
    )
    fusion: str = option(
        "concat",
        "how the two branches are joined: concat, gated, audio_only, ..., or a call",
        metavar="CHOICE",
    )
    standardise: Literal["bands", "scalar"] = option(
        "bands",
        "audio features are scaled to mean 0 and standard deviation 1 over the training clips; "
        "bands: each band by itself, scalar: all bands together",
        expert=True,
    )
    audio_length: Literal["all", "mean_plus_deviation"] = option(
        "all",
        "audio frames that the branch gets; all: every one; mean_plus_deviation: mean length of "
        "the training clips plus one standard deviation, and the rest is cut off",
        expert=True,
    )
    classifier: str = option(
        "none",
        "classical classifier in place of the network's output layer, such as 'svm()'; its "
        "hyperparameters are chosen on the validation speakers",
        metavar="CHOICE",
    )
    ensemble: str | None = option(
        None,
        "comma list of configs (YAML files beside this one) to ensemble (product of experts); "
        "other model settings are ignored (default: none)",
        metavar="LIST",
        expert=True,
    )
    modality_dropout: float = option(
        0.15, "probability of dropping each modality during training (ModDrop)"
    )

    def __post_init__(self) -> None:
        """Refuse probabilities that leave no clip with both modalities."""
        spellings.respell(self)
        check(
            0 <= self.modality_dropout < 0.5, "modality_dropout", self.modality_dropout, "0 to 0.5"
        )
