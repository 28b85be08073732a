"""Entries of the tables of choices: a function, and the facts that other code needs about it.

A fact is a literal, or the name of a function of the same file: ``choices`` reads the tables as
text, so that help, searches and reports know the facts without loading TensorFlow. Read as text,
``function`` and any other function are given by their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from emorec_tf.errors import UserError


@dataclass(frozen=True)
class Row:
    """What every entry has."""

    function: Any
    _: KW_ONLY
    small: str = ""  # arguments that make it small and fast, for tests: "units=4"
    # arguments of older configs, by the names they have now
    renamed: Mapping[str, str] = field(default_factory=dict)
    may_be_zero: tuple[str, ...] = ()  # arguments that 0 turns off, though their default does not
    required: tuple[str, ...] = ()  # arguments that every choice has to give: files of the user


@dataclass(frozen=True)
class Branch(Row):
    """An audio branch or a face branch: model inputs to ``Tokens``."""

    _: KW_ONLY
    # False: no weights, so nothing has to train it before a classifier; or a function of the
    # arguments that says whether training must find any of its weights
    trainable: Any = True
    standardised: bool = True  # of audio branches: False: gets the audio features as they are
    # settings of the features without which it is refused
    features: Mapping[str, Any] = field(default_factory=dict)
    needs_mesh: bool = False  # of face branches: whether records without mesh points are refused
    # by the argument "weights" (* stands for any file): whose pretrained network is inside, with
    # its licence; "{name}" is the argument of that name
    pretrained: Mapping[str, str] = field(default_factory=dict)
    pretrained_on: tuple[str, ...] = ()  # corpora that files of such weights were trained on

    def inside(self, arguments: Mapping[str, Any]) -> str:
        """Say whose pretrained network these arguments put inside; "" for none."""
        weights = str(arguments.get("weights", "none"))
        text = self.pretrained.get(weights, self.pretrained.get("*", ""))
        return text.format(**arguments) if weights != "none" else ""

    def check_mesh(self, name: str, face_mesh: bool) -> None:
        """Refuse a branch of mesh points for records without them.

        Args:
            name: of the branch, for the message.
            face_mesh: whether the records hold mesh points.

        Raises:
            UserError: they do not, and the branch needs them.
        """
        if self.needs_mesh and not face_mesh:
            raise UserError(f"face branch {name} needs mesh points; prepare with --face_mesh")


@dataclass(frozen=True)
class Fusion(Row):
    """A fusion: the tokens of both branches to logits."""

    _: KW_ONLY
    uses: tuple[str, ...] = ("audio", "face")  # branches that it reads
    head_replaceable: bool = False  # whether a classifier can stand in place of its head


@dataclass(frozen=True)
class Classifier(Row):
    """A classical head: what is tried on the joined features of the branches."""


@dataclass(frozen=True)
class AudioFeature(Row):
    """An audio feature: ``FeaturesConfig`` to the layer that turns a waveform into it."""

    _: KW_ONLY
    centred: bool  # frames lie around their moment, past both ends, as in librosa; else inside
    window: str = "window_samples"  # setting: how many samples a frame covers that is not centred
    width: str | int  # values of one frame: a number, or the setting that holds it
    # (features, math) to functions from values [..., width] to mel powers [..., M] and back;
    # None: there is no way, so noise and other channels cannot be simulated
    powers: Any
    loudness_step: float  # what 3 dB more add to each value; 0: augmentation leaves loudness alone
    spectral: bool = True  # values are bands of frequency, which augmentation may warp
    # values are those of the waveform: level and noise are simulated on them, nothing is augmented
    samples: bool = False

    def check_powers(self, name: str) -> None:
        """Refuse a feature that does not say how it becomes power.

        Args:
            name: of the feature, for the message.

        Raises:
            UserError: its entry has ``powers=None``.
        """
        if self.powers is None:
            raise UserError(
                f"audio_features {name!r} has no powers at its entry, so noise and other channels "
                f"cannot be simulated; turn off what needs them, or give the entry powers"
            )
