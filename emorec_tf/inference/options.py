"""Settings of the commands that answer media files: which model, how, on what, shown how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from emorec_tf.config.fields import FACE_MODEL, MESH_MODEL, option
from emorec_tf.inference import devices
from emorec_tf.training import model_store

if TYPE_CHECKING:
    from emorec_tf.inference.predictor import Predictor


@dataclass(frozen=True)
class ModelOptions:
    """Which model answers, and how."""

    run: str | None = option(
        None,
        f"run folder that train wrote, or a model that zoo lists (default: "
        f"{model_store.DEFAULT_TEXT})",
        metavar="MODEL",
    )
    speech_check: bool = option(
        True, "ignore the audio where voice activity detection finds no speech"
    )
    abstain_unfamiliar: bool = option(
        False, "answer 'unsure' where a clip is unlike anything that the model was trained on"
    )
    adapt: str | None = option(
        None,
        "folder of unlabelled recordings of the same speaker or room, to whose level and spread "
        "the model is adapted (default: none; a model trained with --adapt N needs it)",
    )
    adapt_by: Literal["speaker", "corpus"] = option(
        "speaker",
        "what the recordings of --adapt have in common; speaker: one person; corpus: one room and "
        "microphone, several people; a model trained with --adapt N has its own rule",
        expert=True,
    )
    window_hop_seconds: float | None = option(
        None,
        "step between analysis windows, in seconds, from a hundredth of a window to a window "
        "(default: half a window)",
        expert=True,
    )
    people: Literal["main", "all"] = option(
        "main",
        "which people in a video or image of up to two windows are analysed; main: the larger "
        "face; all: each person in view, as in longer videos",
    )
    device: Literal["auto", "cpu", "gpu"] = option(
        "auto", "where the network runs; auto: on a GPU if TensorFlow finds one", expert=True
    )
    face_model: str | None = option(None, FACE_MODEL, expert=True)
    mesh_model: str | None = option(None, MESH_MODEL, expert=True)

    def load(self, run_folder: str, abstain_below: float = 0.0) -> Predictor:
        """Start TensorFlow on the device and load the run.

        Raises:
            UserError: no such device or run, or settings that do not fit the run.
        """
        devices.choose(self.device)
        from emorec_tf.inference import predictor
        from emorec_tf.inference.windows import hop_of

        loaded = predictor.load(
            run_folder,
            self.face_model,
            self.mesh_model,
            abstain_below,
            self.adapt,
            self.speech_check,
            self.abstain_unfamiliar,
            self.adapt_by,
        )
        hop_of(loaded.run.config.features.clip_seconds, self.window_hop_seconds)
        return loaded


@dataclass(frozen=True)
class PredictOptions(ModelOptions):
    """Which clips, by which run, shown how."""

    clips: tuple[str, ...] = option(
        (),
        "videos, audio files, images, or folders that are searched for them",
        positional=True,
        metavar="CLIP",
    )
    json: bool = option(False, "print one JSON object per file instead of a table")
    out: str | None = option(
        None,
        "also write all answers to this file, a row for each clip, or for each window and person; "
        "an earlier file is replaced (default: none)",
        metavar="FILE.csv|.jsonl|.parquet",
    )
    classes: str | None = option(
        None,
        "comma list of the only classes to choose from, such as happy,sad; their probabilities are "
        "scaled to a sum of 1 (default: all)",
        metavar="NAMES",
    )
    top: int = option(3, "how many of the most likely emotions the table shows")
    timeline: str | None = option(
        None,
        "draw the emotions of one video over time, per person, to this .png file; a .csv and a "
        ".json file are written beside it; each of their steps is the mean of the windows that "
        "overlap there, while the table shows each window alone (default: none)",
    )
    windows: Literal["auto", "on", "off"] = option(
        "auto",
        "analyse window by window and person by person; auto: if a video is longer than two "
        "windows; off: always take the middle of the video as one clip",
    )
    live: str | None = option(
        None,
        "predict twice a second on a camera (its number, such as 0) or on a video file that is "
        "played in real time (default: none)",
        metavar="SOURCE",
    )
    abstain_below: float = option(
        0.0, "answer 'unsure' where the highest probability is below this, from 0 to 1", expert=True
    )

    def model(self, run_folder: str) -> Predictor:
        """Load the run, with its classes limited to those asked for.

        Raises:
            UserError: as ``load``; a class that the run does not have.
        """
        loaded = self.load(run_folder, self.abstain_below)
        return loaded if self.classes is None else loaded.limited(self.classes.split(","))
