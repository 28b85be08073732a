"""Clip: one labelled recording, which every other module passes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# The order fixes class ids everywhere; a corpus keeps the subset it has, in this order.
EMOTIONS = (
    "neutral",
    "calm",
    "happy",
    "sad",
    "angry",
    "fearful",
    "disgust",
    "surprised",
    "boredom",
)

SEPARATOR = "/"  # between the name of a corpus and that of its speaker, where several are joined

# What a media file holds, where a corpus has several of one clip; the order is the preference.
MODALITIES = ("audio_visual", "video_only", "audio_only")


@dataclass(frozen=True)
class Clip:
    """One labelled recording on disk. Nothing is decoded yet.

    Modalities and labels are joined by ``clip_id``, never by position in a listing.
    ``video`` and ``audio`` name the same file where one file holds both; ``None`` says that the
    corpus has no such modality for this clip.
    """

    clip_id: str
    speaker: str
    emotion: str
    video: str | None = None
    audio: str | None = None
    session: str = ""
    activation: float | None = None  # arousal, 1 (calm) to 5 (excited)
    valence: float | None = None  # 1 (negative) to 5 (positive)
    start_seconds: float = 0.0
    end_seconds: float | None = None  # None: to the end of the file
    traits: Mapping[str, str] = field(default_factory=dict, hash=False)  # sex, intensity, statement

    @property
    def is_cropped(self) -> bool:
        """Whether its images are faces that are cut out already, so that none is detected."""
        return self.traits.get("framing") == "cropped"


def corpus_of(speaker: str, dataset: str = "") -> str:
    """Name the corpus of a speaker: that of the prefix, which joined corpora give their speakers.

    Own clips may have prefixes in their labels.csv too: "kitchen/anna".

    Args:
        speaker: as in the records, such as "ravdess/1".
        dataset: of the records, where prefixes count only if it joins several corpora by "+"; "":
            they always count.

    Returns:
        Without a prefix: the dataset.
    """
    if dataset and "+" not in dataset:
        return dataset
    name, separator, _ = speaker.partition(SEPARATOR)
    return name if separator else dataset
