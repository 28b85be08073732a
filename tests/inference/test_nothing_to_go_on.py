"""Nothing is answered where nothing is there that the network uses, and what is missing is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import DETECTOR
from made_videos import AUDIO_HZ, taken_apart, write
from untrained_runs import on_disk

from emorec_tf.config.config import FeaturesConfig
from emorec_tf.inference import predictor
from emorec_tf.inference.long_media import Settings
from emorec_tf.inference.media_answer import answer_media
from emorec_tf.inference.model import Model
from emorec_tf.inference.predictor import Predictor

FEATURES = FeaturesConfig(
    face_detector=DETECTOR,  # type: ignore[arg-type]
    sample_rate_hz=8000,
    clip_seconds=1.5,
    mel_bands=16,
    mel_max_hz=4000.0,
    face_frames=2,
    face_pixels=24,
)
BOTH, AUDIO, FACE = "concat", "audio_only", "face_only"
NO_AUDIO, NO_SPEECH = "it holds no audio", "it holds no speech"
NO_FACE = "no face is found in it"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Predictor]:
    folder = tmp_path_factory.mktemp("runs")
    names = (BOTH, AUDIO, FACE)
    return {n: predictor.load(str(on_disk(folder / n, FEATURES, fusion=n))) for n in names}


@pytest.fixture(scope="module")
def clips(demo_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What is there: nothing at all, a face, speech, or audio that is no speech."""
    import cv2

    folder = tmp_path_factory.mktemp("clips")
    frames, wave = taken_apart(min((demo_clips / "clips").glob("actor03*.mp4")))
    black = [np.zeros_like(frame) for frame in frames]
    hum = 0.3 * np.sin(np.arange(len(wave)) * 2 * np.pi * 100 / AUDIO_HZ)
    cv2.imwrite(str(folder / "black.png"), black[0])
    return {
        "black": write(folder / "black.mov", black),
        "image": folder / "black.png",
        "face": write(folder / "face.mov", frames),
        "speech": write(folder / "speech.wav", wave=wave),
        "black with speech": write(folder / "talk.mov", black, wave),
        "hum": write(folder / "hum.wav", wave=hum),
        "black with hum": write(folder / "hum.mov", black, hum),
    }


@pytest.mark.parametrize("windows", ["off", "on"])
@pytest.mark.parametrize(
    ("fusion", "clip", "missing"),
    [
        (BOTH, "black", f"{NO_AUDIO} and {NO_FACE}"),
        (BOTH, "image", f"{NO_AUDIO} and {NO_FACE}"),
        (BOTH, "hum", f"{NO_SPEECH} and {NO_FACE}"),
        (BOTH, "black with hum", f"{NO_SPEECH} and {NO_FACE}"),
        (BOTH, "face", None),
        (BOTH, "speech", None),
        (BOTH, "black with speech", None),
        (AUDIO, "black", f"{NO_AUDIO}; the model goes by audio alone"),
        (AUDIO, "face", f"{NO_AUDIO}; the model goes by audio alone"),
        (AUDIO, "hum", f"{NO_SPEECH}; the model goes by audio alone"),
        (AUDIO, "black with speech", None),
        (FACE, "speech", f"{NO_FACE}; the model goes by face alone"),
        (FACE, "black with speech", f"{NO_FACE}; the model goes by face alone"),
        (FACE, "face", None),
    ],
)
def test_what_the_network_lacks_is_not_answered_but_said(
    runs: dict[str, Predictor], clips: dict[str, Path], caplog: pytest.LogCaptureFixture,
    windows: str, fusion: str, clip: str, missing: str | None,
) -> None:  # fmt: skip
    path = str(clips[clip])
    answer = answer_media(runs[fusion], path, Settings(windows=windows)).answer
    if missing is None:
        assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-4)
        assert caplog.messages == []
    else:
        assert (answer["emotion"], answer["probabilities"]) == (None, {})
        assert caplog.messages == [f"{path}: no answer, {missing}"]


def test_arrays_without_a_face_are_not_answered(runs: dict[str, Predictor]) -> None:
    model = Model(runs[BOTH])
    black = np.zeros((6, 240, 320, 3), np.uint8)
    answer = model.predict_arrays(frames=black, frame_rate_hz=6.0)
    assert (answer["emotion"], answer["face_present"], answer["audio_present"]) == (
        None, False, False,
    )  # fmt: skip
