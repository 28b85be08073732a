"""Settings that every command that answers media files has: which model, how, on what."""

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
