"""Nothing is answered where nothing is there that the network uses, and what is missing is said."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import DETECTOR, TINY_FEATURES
from made_videos import AUDIO_HZ, taken_apart, write
from untrained_runs import on_disk, untrained

import emorec_tf
from emorec_tf.config.schema import schema
from emorec_tf.inference import predictor, presence
from emorec_tf.inference.live_table import LiveTable
from emorec_tf.inference.long_media import Settings
from emorec_tf.inference.media_answer import answer_media
from emorec_tf.inference.model import Model
from emorec_tf.inference.model_inputs import batch_of
from emorec_tf.inference.predictor import Predictor
from emorec_tf.inference.presence import Basis
from emorec_tf.models import branch_outputs
from emorec_tf.models.face.face_branches import FACE_BRANCHES
from emorec_tf.predict import main as predict_main
from emorec_tf.training import ensemble, run_dir

BOTH, AUDIO, FACE = "concat", "audio_only", "face_only"
NO_AUDIO, NO_SPEECH = "there is no audio", "there is no speech in the audio"
NO_FACE = "no face was found"
ALONE = {AUDIO: ["audio"], FACE: ["face"], BOTH: ["audio", "face"]}  # what each looks at


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Predictor]:
    folder = tmp_path_factory.mktemp("runs")
    names = (BOTH, AUDIO, FACE)
    return {n: predictor.load(str(on_disk(folder / n, TINY_FEATURES, fusion=n))) for n in names}


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
    ("fusion", "clip", "reason"),
    [
        (BOTH, "black", f"{NO_AUDIO} and {NO_FACE}"),
        (BOTH, "image", f"{NO_AUDIO} and {NO_FACE}"),
        (BOTH, "hum", f"{NO_SPEECH} and {NO_FACE}"),
        (BOTH, "black with hum", f"{NO_SPEECH} and {NO_FACE}"),
        (BOTH, "face", None),
        (BOTH, "speech", None),
        (BOTH, "black with speech", None),
        (AUDIO, "black", NO_AUDIO),
        (AUDIO, "face", NO_AUDIO),
        (AUDIO, "hum", NO_SPEECH),
        (AUDIO, "black with speech", None),
        (FACE, "speech", NO_FACE),
        (FACE, "black with speech", NO_FACE),
        (FACE, "face", None),
    ],
)
def test_what_the_network_lacks_is_not_answered_but_said(
    runs: dict[str, Predictor], clips: dict[str, Path], caplog: pytest.LogCaptureFixture,
    windows: str, fusion: str, clip: str, reason: str | None,
) -> None:  # fmt: skip
    path = str(clips[clip])
    found = answer_media(runs[fusion], path, Settings(windows=windows))
    rows = [found.answer, *found.answer.get("windows", ()), *found.timeline]
    assert len(rows) == 1 if windows == "off" else len(rows) >= 3
    for answer in rows:
        if reason is None:
            assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-4)
            assert not {"missing", "reason"} & set(answer)
        else:
            assert (answer["emotion"], answer["probabilities"]) == (None, {})
            assert (answer["missing"], answer["reason"]) == (ALONE[fusion], reason)
    only = f"; the model goes by {ALONE[fusion][0]} alone" if fusion != BOTH else ""
    assert caplog.messages == ([f"{path}: no answer: {reason}{only}"] if reason else [])


def test_arrays_without_a_face_are_not_answered(runs: dict[str, Predictor]) -> None:
    model = Model(runs[BOTH])
    black = np.zeros((6, 240, 320, 3), np.uint8)
    answer = model.predict_arrays(frames=black, frame_rate_hz=6.0)
    assert (answer["emotion"], answer["face_present"], answer["audio_present"]) == (
        None, False, False,
    )  # fmt: skip
    assert answer["reason"] == f"{NO_AUDIO} and {NO_FACE}"
    silence = np.zeros(AUDIO_HZ, np.float32)
    quiet = model.predict_arrays(silence, AUDIO_HZ, black, 6.0)
    assert (quiet["emotion"], quiet["audio_present"]) == (None, True)
    assert quiet["reason"] == f"the audio is silent and {NO_FACE}"
    hiss = np.random.default_rng(0).normal(0, 1e-3, AUDIO_HZ).astype(np.float32)
    assert model.predict_arrays(hiss, AUDIO_HZ)["emotion"] in model.classes


@pytest.mark.parametrize("windows", ["off", "on"])
def test_digital_silence_is_no_audio_even_unchecked(
    runs: dict[str, Predictor], tmp_path: Path, windows: str
) -> None:
    path = write(tmp_path / "silence.wav", wave=np.zeros(3 * AUDIO_HZ // 2))
    unchecked = Settings(windows=windows, speech_check=False)
    for fusion, reason in (
        (AUDIO, "the audio is silent"),
        (BOTH, f"the audio is silent and {NO_FACE}"),
    ):
        answer = answer_media(runs[fusion], str(path), unchecked).answer
        assert (answer["emotion"], answer["reason"]) == (None, reason)
    checked = answer_media(runs[AUDIO], str(path), Settings(windows=windows)).answer
    assert (checked["emotion"], checked["reason"]) == (None, NO_SPEECH)


def test_the_command_says_it_in_the_table_and_succeeds(
    runs: dict[str, Predictor], clips: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(runs[FACE].run.folder)
    assert predict_main(["--run", run, str(clips["speech"])]) == 0
    assert "no answer: no face was found" in " ".join(capsys.readouterr().out.split())
    assert predict_main(["--run", run, "--json", str(clips["speech"])]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (answer["emotion"], answer["missing"]) == (None, ["face"])


def test_a_stream_says_it_too(runs: dict[str, Predictor], clips: dict[str, Path]) -> None:
    table = LiveTable(runs[FACE], str(clips["speech"]), as_json=False, top=3)
    line = next(lines := table.lines())
    lines.close()  # type: ignore[attr-defined]
    assert line.endswith("  no answer: no face was found")
    assert table.stream.answer["missing"] == ["face"]


@pytest.mark.parametrize(
    ("model", "clip", "reason"),
    [
        ("ravdess-face", "speech", NO_FACE),
        ("ravdess-face", "image", NO_FACE),
        ("ravdess-audio", "image", NO_AUDIO),
        ("ravdess-audio", "hum", NO_SPEECH),
    ],
)
def test_packaged_models(clips: dict[str, Path], model: str, clip: str, reason: str) -> None:
    if DETECTOR != "mediapipe":
        pytest.skip("MediaPipe has no face detector inside")
    answer = emorec_tf.load(model).predict_clip(clips[clip])
    assert (answer["emotion"], answer["probabilities"], answer["reason"]) == (None, {}, reason)


MESHED = dataclasses.replace(TINY_FEATURES, face_mesh=True)


@pytest.mark.parametrize("name", FACE_BRANCHES)
def test_a_part_is_present_where_its_branch_has_tokens(tmp_path: Path, name: str) -> None:
    """What the masks of a clip say agrees with the masks of the network's own tokens."""
    face = f"{name}({FACE_BRANCHES[name].small})"
    run, network = untrained(tmp_path, MESHED, fusion=BOTH, face=face)
    basis = Basis.of(network, run.modalities)
    whole = branch_outputs.with_branches(network)
    masks = ["audio_mask", "face_mask", "mesh_mask"]
    for there in itertools.product((0, 1), repeat=3):
        example = {n: np.zeros(s.shape, s.dtype) for n, s in schema(MESHED).items()}
        for mask, value in zip(masks, there, strict=True):
            example[mask][:1] = value
        tokens = whole.predict_on_batch(batch_of(example))["tokens"]
        present = [kind for kind, (_, m) in zip(presence.KINDS, tokens, strict=True) if m.any()]
        assert [k for k in presence.KINDS if k not in basis.missing(example)] == present
        assert basis.answerable(example) is bool(present)


def test_an_ensemble_of_audio_models_does_not_look_at_faces(tmp_path: Path) -> None:
    folders = [on_disk(tmp_path / name, TINY_FEATURES, fusion=AUDIO) for name in "ab"]
    members = [run_dir.load(folder) for folder in folders]
    network = ensemble.product(TINY_FEATURES, members)
    assert Basis.of(network, ("audio", "face")).kinds == ("audio",)
