"""The ``data`` section of a config: which clips, labels and speakers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from emorec_tf.config import label_map, spellings
from emorec_tf.config.clip import MODALITIES
from emorec_tf.config.fields import CHANNEL, CLASSES, LABEL_MAP, check, option


@dataclass(frozen=True)
class DataConfig:
    """Which clips, labels and speakers."""

    dataset: str = option(
        "demo", "corpus name, or several joined by + (ravdess+savee)", metavar="NAME"
    )
    label: str | None = option(
        None,
        "label set of a corpus that has several, such as crema-d's intended and perceived "
        "(default: the first of them)",
        metavar="NAME",
    )
    modality: str = option(
        "auto",
        f"which files, of a corpus that has several for a clip (ravdess): "
        f"{', '.join(MODALITIES)}; auto: all there are",
    )
    channel: Literal["speech", "song", "all"] = option("speech", CHANNEL)
    records: str | None = option(
        None,
        "folder of prepared records (default: those of the demo corpus, generated on first use)",
    )
    classes: str | None = option(None, CLASSES, metavar="LIST")
    label_map: str | None = option(None, LABEL_MAP, metavar="PAIRS")
    test_speakers: str | None = option(
        None,
        "comma list of speakers held out for testing; the word none holds out no speaker, for a "
        "final model (default: the last quarter of the speakers)",
        metavar="LIST",
    )
    train_speakers: str | None = option(
        None,
        "comma list of speakers to train on (default: all that are not held out)",
        metavar="LIST",
    )
    validation_speakers: str | None = option(
        None,
        "comma list of training speakers used for validation, which chooses the epoch and the "
        "temperature (default: one eighth of the training speakers, drawn with --seed)",
        metavar="LIST",
    )
    target: Literal["emotion", "activation", "valence"] = option(
        "emotion",
        "what is predicted: the emotion class, or a rating from 1 to 5 of activation (arousal) or "
        "valence",
    )
    target_scale: Literal["bins", "continuous"] = option(
        "bins",
        "for activation and valence: bins classifies into low, medium and high (cut at 2.5 and "
        "3.5), continuous predicts the rating itself",
    )
    adapt: int | Literal["self"] | None = option(
        None,
        "adaptation without labels: N unlabelled clips per speaker (not scored) give the level and "
        "spread of the inputs, or self: each clip by itself (default: none, speaker-independent)",
    )
    adapt_by: Literal["speaker", "corpus"] = option(
        "speaker",
        "what the N clips of --adapt have in common; speaker: one person; corpus: one corpus, so "
        "the same room and microphone (of speaker ravdess/01, ravdess; else the whole dataset)",
    )
    adapt_spread: bool = option(
        False,
        "under a classical head with --adapt N: scale each feature to the spread of the training "
        "clips, besides removing its mean",
    )
    adapt_audio: bool = option(
        True,
        "with --adapt, rescale the bands of the audio; off: only the features under a classical "
        "head are adapted",
        expert=True,
    )

    def __post_init__(self) -> None:
        """Refuse adaptation by no clips, emotions on a continuous scale, unknown modalities."""
        spellings.respell(self)
        known = self.modality in ("auto", *MODALITIES)
        check(known, "modality", self.modality, " or ".join(("auto", *MODALITIES)))
        label_map.parse(self.label_map)
        wanted = self.adapt in (None, "self") or int(self.adapt) >= 1
        check(wanted, "adapt", self.adapt, "a number of clips from 1, or self")
        fits = isinstance(self.adapt, int) or not self.adapt_spread
        check(fits, "adapt_spread", self.adapt_spread, "off without --adapt N")
        named = self.target_scale == "bins" or self.target != "emotion"
        check(
            named, "target_scale", self.target_scale, "bins unless target is activation or valence"
        )

    @property
    def mode(self) -> str:
        """Unseen (speaker-independent) or enrolled (speaker-adapted); stored beside scores."""
        return "enrolled" if self.adapt else "unseen"
