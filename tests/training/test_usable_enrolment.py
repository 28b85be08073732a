"""Enrolment clips count where they have what is learned from them."""

from __future__ import annotations

import logging
import types
import wave
from pathlib import Path
from typing import Any

import made_records
import numpy as np
import pytest
from conftest import TRAIN_FLAGS
from untrained_runs import untrained

import emorec_tf
from emorec_tf.config import config
from emorec_tf.config.clip import Clip
from emorec_tf.config.config import DataConfig, FeaturesConfig
from emorec_tf.errors import UserError
from emorec_tf.inference import predictor
from emorec_tf.predict import main as predict_main
from emorec_tf.train import main as train_main
from emorec_tf.training import run_dir, speaker_adaptation
from emorec_tf.training.enrolment import enrolment_clips, usable

FLAGS = [
    *[flag for flag in TRAIN_FLAGS if "speakers" not in flag],
    "--audio=functionals(coefficients=8)",
    "--face=face_statistics(mesh=False)",
    "--classifier=lda(shrinkage=0.5, pca=4)",
    "--test_speakers=4",
    "--validation_speakers=3",
    "--epochs=1",
    "--enrol=3",
]
DRAWN = sorted(
    clip.clip_id
    for clip in enrolment_clips(
        [
            Clip(f"4-{emotion}-{take}", "4", emotion)
            for emotion in made_records.EMOTIONS
            for take in range(made_records.TAKES)
        ],
        DataConfig(adapt=3),
        0,
    )
)


def test_usable_clips():
    clips = [Clip("1-a", "1", "sad"), Clip("1-b", "1", "sad"), Clip("2-a", "2", "sad")]
    present = {"1-a": {"audio"}, "1-b": {"audio", "face"}, "2-a": {"face"}}
    both = {"1": [clips[1]], "2": [clips[2]]}
    assert usable(clips, present, {"face"}) == both
    assert usable(clips, present, ()) == {"1": clips[:2], "2": clips[2:]}
    with pytest.raises(UserError, match="no enrolment clip of speaker 2 has audio and a face"):
        usable(clips, present, {"audio", "face"})


@pytest.mark.parametrize(
    ("without", "status", "said"),
    [
        (DRAWN[:1], 0, "fewer than 3 enrolment clips have what the network uses: of speaker 4 (2)"),
        (DRAWN, 1, "no enrolment clip of speaker 4 has audio and a face"),
        ([], 0, ""),
    ],
)
def test_speakers_of_the_records(
    without: list[str],
    status: int,
    said: str,
    features: FeaturesConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    records = made_records.make(
        tmp_path / "records", features, lambda c: ("audio",) if c.clip_id in without else ()
    )
    where = ["--records", str(records), "--run", str(tmp_path / "run")]
    assert train_main([*where, *FLAGS]) == status
    lines = [n for n in capsys.readouterr().err.splitlines() if n.startswith(("warn", "error"))]
    assert len(lines) == bool(said)
    assert said in "".join(lines)
    assert (tmp_path / "run").exists() == (status == 0)


def enrolling(folder: Path, features: FeaturesConfig, enrol: int = 2, **model):
    """A run of random weights that hears and is adapted by clips, on disk, and its network."""
    run, network = untrained(folder, features, {"adapt": enrol}, **model)
    (folder / "config.yaml").write_text(config.to_yaml(run.config), encoding="utf-8")
    run_dir.write_facts(run)
    run_dir.save_model(network, run.model_file)
    return run, network


def clip_of(inputs, features: FeaturesConfig, seed: int, *gone: str):
    drawn = inputs(features, count=1, seed=seed)
    return {n: np.zeros_like(a) if n.startswith(gone or "-") else a for n, a in drawn.items()}


def test_clips_without_audio_do_not_count(features, inputs, tmp_path: Path, caplog):
    _, network = enrolling(tmp_path, features)
    whole = [clip_of(inputs, features, seed) for seed in range(2)]
    mute = clip_of(inputs, features, 3, "audio")
    made = speaker_adaptation.SpeakerAdapter.for_model
    with caplog.at_level(logging.WARNING):
        alone = made(network, 2).fit_speaker(whole, network)(whole[0])
        mixed = made(network, 2).fit_speaker([mute, *whole], network)(whole[0])
    np.testing.assert_array_equal(np.asarray(alone["audio"]), np.asarray(mixed["audio"]))
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        made(network, 2).fit_speaker([mute, whole[0]], network)
    said = "1 of 2 enrolment clips have speech; the run was trained with 2 of each speaker"
    assert said in caplog.text
    with pytest.raises(UserError, match="none of the 1 enrolment clips has speech; give others"):
        made(network, 2).fit_speaker([mute], network)


def test_what_a_model_needs(features, tmp_path: Path):
    for fusion, needed in (("concat", {"audio"}), ("audio_only", {"audio"}), ("face_only", set())):
        _, network = untrained(tmp_path, features, {"adapt": 2}, fusion=fusion)
        assert speaker_adaptation.needed_by(network) == needed


def test_files_without_speech_do_not_count(features, tmp_path: Path):
    folder, clips = tmp_path / "run", tmp_path / "clips"
    folder.mkdir()
    clips.mkdir()
    enrolling(folder, features, fusion="audio_only")
    tone = (8000 * np.sin(np.arange(16000) / 5)).astype("<i2")
    with wave.open(str(clips / "tone.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", "not compressed"))
        file.writeframes(tone.tobytes())
    with pytest.raises(UserError, match="none of the 1 enrolment clips has speech") as error:
        predictor.load(str(folder), adapt=str(clips))
    assert "\n" not in str(error.value)
    predictor.load(str(folder), adapt=str(clips), speech_check=False)


def test_what_cannot_be_read_is_said_once(features, tmp_path: Path, caplog, capsys):
    folder, clips = tmp_path / "run", tmp_path / "clips"
    folder.mkdir()
    clips.mkdir()
    enrolling(folder, features, fusion="audio_only")
    (clips / "broken.wav").write_bytes(b"RIFF")
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(
            UserError, match=r"clips can be read \(.*broken\.wav.*\); give others"
        ) as one,
    ):
        predictor.load(str(folder), adapt=str(clips))
    assert not caplog.records
    assert str(one.value).count("broken.wav") == 1
    missing = tmp_path / "missing"
    with pytest.raises(UserError, match=f"--adapt {missing}: no such file or folder"):
        predictor.load(str(folder), adapt=str(missing))
    words = [f"--run={folder}", f"--adapt={missing}", str(clips / "broken.wav")]
    assert predict_main(words) == 1
    assert capsys.readouterr().err == f"error: --adapt {missing}: no such file or folder\n"
    assert not caplog.records


def test_a_damaged_clip_among_others_is_named_and_does_not_count(features, tmp_path: Path, caplog):
    folder, clips = tmp_path / "run", tmp_path / "clips"
    folder.mkdir()
    clips.mkdir()
    enrolling(folder, features, fusion="audio_only")
    (clips / "broken.wav").write_bytes(b"RIFF")
    noise = np.random.default_rng(0).normal(0, 3000, 16000).astype("<i2")
    with wave.open(str(clips / "noise.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", "not compressed"))
        file.writeframes(noise.tobytes())
    with caplog.at_level(logging.WARNING):
        predictor.load(str(folder), adapt=str(clips), speech_check=False)
    assert "broken.wav" in caplog.text
    assert "does not count" in caplog.text


@pytest.mark.parametrize("wrong", [3, 2.5, b"clips", [3], ""])
def test_recordings_are_named_by_text_or_paths(features, tmp_path: Path, wrong):
    enrolling(tmp_path, features, fusion="audio_only")
    with pytest.raises(UserError, match="adapt") as error:
        emorec_tf.load(tmp_path, adapt=wrong)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="enrol is the former name of adapt"):
        emorec_tf.load(tmp_path, adapt=str(tmp_path), enrol=str(tmp_path))


def test_an_open_model_is_not_adapted_by_a_number():
    loaded: Any = types.SimpleNamespace(adapted=None)
    model: Any = emorec_tf.Model(loaded)
    with pytest.raises(UserError, match="adapt is 3; it must be a folder or files of recordings"):
        model.adapt(3)
