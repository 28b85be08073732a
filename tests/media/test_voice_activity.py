"""Speech is detected in speech, and not in other audio."""

from __future__ import annotations

import numpy as np
import pytest
from made_videos import AUDIO_HZ, taken_apart
from places import DATA

from emorec_tf.media import decode
from emorec_tf.media.voice_activity import has_speech

RATE = 16000
TIME = np.arange(4 * RATE) / RATE


def melody() -> np.ndarray:
    """Sixteen plucked notes with five harmonics."""
    random, wave = np.random.default_rng(0), np.zeros(4 * RATE)
    length = RATE // 4
    for start in range(0, 4 * RATE, length):
        note = random.choice([0, 2, 4, 5, 7, 9, 11])
        hertz, at = 220 * 2 ** (note / 12), TIME[:length]
        for harmonic in range(1, 6):
            tone = np.sin(2 * np.pi * hertz * harmonic * at) / harmonic
            wave[start : start + length] += tone * np.exp(-6 * at)
    return 0.6 * wave / np.abs(wave).max()


NOISE = np.random.default_rng(0).normal(size=4 * RATE)
NO_SPEECH = {
    "silence": 0 * TIME,
    "hiss": 1e-4 * NOISE,
    "noise": 0.1 * NOISE,
    "loud noise": np.clip(0.3 * NOISE, -1, 1),
    "tone": 0.5 * np.sin(2 * np.pi * 440 * TIME),
    "hum": 0.3 * np.sign(np.sin(2 * np.pi * 50 * TIME)),
    "melody": melody(),
    "clicks": 0.8 * (np.arange(4 * RATE) % 8000 < 50),
}


@pytest.mark.parametrize("name", NO_SPEECH)
def test_no_speech_in_music_and_noise(name):
    assert not has_speech(NO_SPEECH[name].astype(np.float32), RATE)


def test_empty_audio_has_no_speech():
    assert not has_speech(np.zeros(0, np.float32), RATE)
    assert not has_speech(np.full(7, 0.1, np.float32), 8000)


def test_synthetic_voices_are_speech(demo_clips):
    for video in sorted((demo_clips / "clips").glob("*.mp4")):
        _, wave = taken_apart(video)
        assert has_speech(wave, AUDIO_HZ), video


def test_state_does_not_leak_from_one_recording_to_the_next(demo_clips):
    _, wave = taken_apart(min((demo_clips / "clips").glob("*.mp4")))
    for _ in range(2):
        assert has_speech(wave, AUDIO_HZ)
        assert not has_speech(NO_SPEECH["noise"].astype(np.float32), RATE)


@pytest.mark.data("ravdess/clips")
def test_acted_speech_is_speech():
    for video in sorted((DATA / "ravdess/clips").glob("*/*.mp4"))[::60]:  # 20 clips
        waveform = decode.decode(
            str(video), sample_rate_hz=RATE, clip_seconds=None, want_video=False
        ).waveform
        assert waveform is not None
        assert has_speech(waveform, RATE), video
