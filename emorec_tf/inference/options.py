"""Settings that every command that answers media files has: which model, how, on what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from emorec_tf.config.fields import option
from emorec_tf.inference import devices, model_store

if TYPE_CHECKING:
    from emorec_tf.inference.predictor import Predictor


@dataclass(frozen=True)
class ModelOptions:
    """Which model answers, and how."""

    run: str | None = option(
        None, f"run directory that train wrote, or a model's name; none: {model_store.DEFAULT}"
    )
    window_hop_seconds: float | None = option(
        None, "step from window to window, in seconds; none: half a window"
    )
    speech_check: Literal["on", "off"] = option(
        "on", "leave the audio out where a check finds no speech"
    )
    device: Literal["auto", "cpu", "gpu"] = option(
        "auto", "what the network runs on; auto: a GPU if TensorFlow sees one"
    )
    face_model: str | None = option(None, "face detector's model file, where it has none inside")
    mesh_model: str | None = option(None, "face mesh's model file, where MediaPipe has none inside")
    enrol: str | None = option(
        None,
        "folder of unlabelled clips of the one speaker, for a run that was trained with --enrol",
    )

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
            self.enrol,
            self.speech_check == "on",
        )
        hop_of(loaded.run.config.features.clip_seconds, self.window_hop_seconds)
        return loaded
