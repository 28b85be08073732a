"""Synthesise wordless speech by source and filter, from a ``Voice`` and a ``Prosody``.

A glottal pulse train (Rosenberg 1971, the trigonometric pulse B) with its own f0 contour, jitter
and breath runs through four formant resonators in cascade (Klatt 1980) that glide from vowel to
vowel. The audio serves the demo corpus; it is no evidence about real voices.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy import signal

SAMPLE_RATE_HZ = 24_000
FRAME_SAMPLES = 240  # the vocal tract moves every 10 ms

Track = NDArray[np.float64]


@dataclass(frozen=True)
class Voice:
    """Properties of one speaker's voice."""

    f0_hz: float
    formant_scale: float  # above 1: a shorter vocal tract
    breath: float
    jitter: float  # relative, from one 5 ms step to the next
    tempo: float  # factor of the syllable rate


@dataclass(frozen=True)
class Prosody:
    """A manner of speaking. The numbers mix like vectors."""

    shift_semitones: float  # mean pitch above the speaker's own
    accent_semitones: float  # height of the bump on each syllable
    slope_semitones: float  # from the first to the last syllable
    syllables_per_second: float
    brightness_hz: float  # corner of the source's low pass
    breath: float
    level_db: float
    tremor_semitones: float  # at 6 Hz


# The first three formants of men's vowels (Peterson & Barney 1952); the fourth is fixed.
VOWELS_HZ = {
    "i": (270, 2290, 3010),
    "e": (530, 1840, 2480),
    "a": (730, 1090, 2440),
    "o": (570, 840, 2410),
    "u": (300, 870, 2240),
}
FOURTH_FORMANT_HZ = 3400.0
BANDWIDTHS_HZ = np.array([70.0, 100.0, 150.0, 220.0])


def blend(rest: Prosody, full: Prosody, strength: float) -> Prosody:
    """``rest`` at strength 0, ``full`` at 1, beyond it above 1."""
    names = [entry.name for entry in fields(Prosody)]
    pairs = {n: (getattr(rest, n), getattr(full, n)) for n in names}
    return Prosody(**{n: r + strength * (f - r) for n, (r, f) in pairs.items()})


def speak(
    voice: Voice, prosody: Prosody, seconds: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """A mono wave of shape (round(seconds * 24000),), float32, within -1 to 1."""
    samples = round(seconds * SAMPLE_RATE_HZ)
    time = np.arange(samples) / SAMPLE_RATE_HZ
    starts, ends = _syllables(prosody.syllables_per_second * voice.tempo, seconds, rng)
    f0 = _f0_contour(voice, prosody, time, starts, ends, rng)
    envelope = _envelope(time, starts, ends, rng)
    source = _glottal_source(f0) * envelope
    low_pass = signal.butter(1, prosody.brightness_hz, fs=SAMPLE_RATE_HZ)
    source = signal.lfilter(*low_pass, source)
    breath = max(0.0, voice.breath + prosody.breath) * rng.standard_normal(samples) * envelope
    wave = _vocal_tract(source + 0.3 * breath, voice, time, starts, ends, rng)
    wave += _consonants(time, starts, rng) * 0.1 * np.std(wave)
    wave *= 0.05 * 10 ** (prosody.level_db / 20) / (np.std(wave) + 1e-12)
    room = 3e-4 * rng.standard_normal(samples)
    return np.tanh(wave + room).astype(np.float32)


def _syllables(rate: float, seconds: float, rng: np.random.Generator) -> tuple[Track, Track]:
    """Start and end times of the syllables, with a short silence before and after them."""
    lead, tail = rng.uniform(0.12, 0.22, 2)
    count = max(2, round((seconds - lead - tail) * rate))
    shares = rng.uniform(0.75, 1.25, count)
    edges = lead + np.concatenate([[0], np.cumsum(shares)]) / shares.sum() * (seconds - lead - tail)
    return edges[:-1], edges[:-1] + 0.86 * np.diff(edges)


def _f0_contour(
    voice: Voice, how: Prosody, time: Track, starts: Track, ends: Track, rng: np.random.Generator
) -> Track:
    """Fundamental frequency in Hz at every sample."""
    progress = (time - starts[0]) / (ends[-1] - starts[0])
    semitones = how.shift_semitones + how.slope_semitones * (np.clip(progress, 0, 1) - 0.5)
    accents = how.accent_semitones * rng.uniform(0.5, 1.3, len(starts))
    for start, end, accent in zip(starts, ends, accents, strict=True):
        semitones += accent * np.exp(-(((time - (start + end) / 2) / (0.4 * (end - start))) ** 2))
    semitones += how.tremor_semitones * np.sin(2 * np.pi * (6 * time + rng.uniform()))
    steps = np.arange(0, time[-1] + 0.005, 0.005)
    jitter = np.interp(time, steps, 1 + voice.jitter * rng.standard_normal(len(steps)))
    return voice.f0_hz * 2 ** (semitones / 12) * jitter


def _envelope(time: Track, starts: Track, ends: Track, rng: np.random.Generator) -> Track:
    """Loudness of the voice, 0 to about 1: one rounded hump a syllable."""
    envelope = np.zeros_like(time)
    for start, end, stress in zip(starts, ends, rng.uniform(0.7, 1, len(starts)), strict=True):
        inside = np.clip((time - start) / (end - start), 0, 1)
        envelope += stress * np.sin(np.pi * inside) ** 0.6
    return envelope


def _glottal_source(f0: Track) -> Track:
    """The derivative of the glottal flow at unit amplitude, open for 60 % of each period."""
    phase = np.cumsum(f0) / SAMPLE_RATE_HZ % 1.0
    opening, closing = phase / 0.4, (phase - 0.4) / 0.2
    falling = np.where(phase < 0.6, np.cos(np.pi / 2 * np.clip(closing, 0, 1)), 0.0)
    flow = np.where(phase < 0.4, 0.5 * (1 - np.cos(np.pi * opening)), falling)
    return np.diff(flow, prepend=flow[0]) * SAMPLE_RATE_HZ / f0 / 8


def _vocal_tract(
    source: Track,
    voice: Voice,
    time: Track,
    starts: Track,
    ends: Track,
    rng: np.random.Generator,
) -> Track:
    """Four resonators in cascade whose centres glide through a random sequence of vowels."""
    names = rng.choice(list(VOWELS_HZ), len(starts))
    targets = np.array([(*VOWELS_HZ[name], FOURTH_FORMANT_HZ) for name in names])
    instants = time[::FRAME_SAMPLES]
    centres = [np.interp(instants, (starts + ends) / 2, column) for column in targets.T]
    formants = np.stack(centres, axis=1) * voice.formant_scale
    radius = np.exp(-np.pi * BANDWIDTHS_HZ / SAMPLE_RATE_HZ)
    middle = -2 * radius * np.cos(2 * np.pi * formants / SAMPLE_RATE_HZ)
    sections = np.zeros((len(instants), 4, 6))
    sections[..., 0] = 1 + middle + radius**2  # gain 1 at 0 Hz, as in Klatt's cascade
    sections[..., 3], sections[..., 4], sections[..., 5] = 1, middle, radius**2
    output, state = np.empty_like(source), np.zeros((4, 2))
    for frame, sos in enumerate(sections):
        span = slice(frame * FRAME_SAMPLES, (frame + 1) * FRAME_SAMPLES)
        output[span], state = signal.sosfilt(sos, source[span], zi=state)
    return output


def _consonants(time: Track, starts: Track, rng: np.random.Generator) -> Track:
    """A short hiss before about two syllables of three."""
    hiss = np.diff(rng.standard_normal(len(time)), prepend=0)
    gate = np.zeros_like(time)
    for start, strength in zip(starts, rng.uniform(-0.5, 1, len(starts)), strict=True):
        gate += max(0.0, strength) * np.exp(-(((time - start) / 0.015) ** 2))
    return hiss * gate
