"""One take of the demo corpus: an actor expresses an emotion in a generated video.

Emotions of one group share the facial expression, or the prosody; ``demo_corpus`` says why.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from emorec_tf.config.clip import EMOTIONS
from emorec_tf.datasets.demo.drawn_faces import (
    HEIGHT_PIXELS,
    WIDTH_PIXELS,
    Colour,
    Expression,
    Face,
    Image,
    Pose,
    backdrop,
    draw,
    mix,
)
from emorec_tf.datasets.demo.synthetic_voices import SAMPLE_RATE_HZ, Prosody, Voice, blend, speak

FRAMES_PER_SECOND = 10

# emotion: expression, prosody, activation (arousal) and valence (1 to 5) at strength 1
PLAYED = {
    "neutral": ("resting", "level", 2.6, 3.0),
    "calm": ("resting", "soft", 1.8, 3.5),
    "happy": ("smiling", "lively", 3.9, 4.3),
    "sad": ("drooping", "soft", 1.9, 1.8),
    "angry": ("frowning", "tense", 4.4, 1.7),
    "fearful": ("wide-eyed", "tense", 4.1, 1.9),
    "disgust": ("frowning", "level", 3.2, 1.8),
    "surprised": ("wide-eyed", "lively", 4.2, 3.5),
}
FACE_GROUPS = {emotion: row[0] for emotion, row in PLAYED.items()}
VOICE_GROUPS = {emotion: row[1] for emotion, row in PLAYED.items()}
EXPRESSIONS = {
    "resting": Expression(),
    "smiling": Expression(
        brow_raise=0.2, eye_open=-0.3, mouth_curve=1.1, mouth_open=0.4, mouth_width=0.8, blush=1.0
    ),
    "drooping": Expression(
        brow_raise=0.1, brow_inner=0.85, eye_open=-0.5, mouth_curve=-1.0, mouth_width=-0.3
    ),
    "frowning": Expression(
        brow_raise=-0.5, brow_inner=-0.85, eye_open=-0.45, mouth_curve=-0.75, wrinkle=1.0
    ),
    "wide-eyed": Expression(brow_raise=1.1, eye_open=0.9, mouth_open=0.85, mouth_width=-0.7),
}
# shift, accent and slope in semitones, syllables/s, brightness in Hz, breath, level in dB, tremor
PROSODIES = {
    "level": Prosody(0, 1.5, -2, 4.2, 1600, 0.00, 0, 0.0),
    "lively": Prosody(6, 6.0, 4, 5.0, 2400, 0.00, 4, 0.1),
    "soft": Prosody(-3, 0.6, -2.5, 3.0, 700, 0.12, -8, 0.1),
    "tense": Prosody(5, 1.2, -4, 6.0, 5000, 0.00, 7, 0.8),
}

# Row n of every table belongs to actor n; later actors take rows in other combinations.
SKINS = ["f1cdb2", "c48e68", "fadac4", "8d5d40", "e2b48f", "6f4934", "eac0a5", "b07a54"]
HAIRS = ["5c3a24", "201a1a", "d6a858", "181418", "964624", "2c201e", "807a76", "3e261a"]
SHIRTS = ["466996", "b2544a", "588260", "e2b04a", "6e5a8c", "e0ded6", "3a4a5c", "c4748a"]
BACKGROUNDS = ["cbdee8", "e2d6c4", "cde2ce", "d6cee6", "ecdeaa", "bed6d6", "eacece", "d8dce0"]
IRISES = ["4a7096", "543824", "54784e", "3c281e"]
HAIR_STYLES = ("short", "long", "swept", "bun", "short", "curls", "swept", "bob")


def face_of(actor: int, rng: np.random.Generator) -> Face:
    """The look of actor 0, 1, ...: colours from the tables in turn, proportions from ``rng``."""
    row, turn = actor % 8, actor // 8  # a ninth actor shares little but the skin with the first
    return Face(
        skin=_rgb(SKINS[row]),
        hair=_rgb(HAIRS[(row + 3 * turn) % 8]),
        iris=_rgb(IRISES[(row + turn) % 4]),
        shirt=_rgb(SHIRTS[(row + 5 * turn) % 8]),
        background=_rgb(BACKGROUNDS[(row + 3 * turn) % 8]),
        hair_style=HAIR_STYLES[(row + 2 * turn) % 8],
        beard=row % 4 == 2,
        head_width=rng.uniform(0.94, 1.06),
        head_height=rng.uniform(0.96, 1.06),
        jaw=rng.uniform(0.05, 0.28),
        eye_size=rng.uniform(0.9, 1.15),
        eye_distance=rng.uniform(0.96, 1.06),
        brow_thickness=rng.uniform(0.75, 1.35),
        nose_length=rng.uniform(0.9, 1.12),
        lip_fullness=rng.uniform(0.8, 1.3),
    )


def voice_of(actor: int, rng: np.random.Generator) -> Voice:
    """The voice of actor 0, 1, ...: low and high voices in turn, details from ``rng``."""
    high = actor % 2 == 1
    return Voice(
        f0_hz=rng.uniform(170, 215) if high else rng.uniform(95, 130),
        formant_scale=rng.uniform(1.1, 1.2) if high else rng.uniform(0.94, 1.04),
        breath=rng.uniform(0.01, 0.04),
        jitter=rng.uniform(0.003, 0.009),
        tempo=rng.uniform(0.92, 1.08),
    )


def _rgb(hexadecimal: str) -> Colour:
    red, green, blue = bytes.fromhex(hexadecimal)
    return red, green, blue


def make_clip(path: Path, seed: int, actor: int, emotion: str, take: int) -> tuple[float, float]:
    """Generate the video of an actor and return its activation and valence (1 to 5).

    Its length, head movements, blinks and lip movements come from the same distribution for every
    emotion, so that none of them reveals the emotion of the voice.
    """
    own = np.random.default_rng([seed, 1, actor])  # what stays the same over an actor's takes
    face, voice = face_of(actor, own), voice_of(actor, own)
    habit, expressiveness = _wobble(own, 0.12), own.uniform(0.85, 1.1)
    rng = np.random.default_rng([seed, 2, actor, EMOTIONS.index(emotion), take])
    strength = rng.uniform(0.75, 1.2)
    seconds = int(rng.integers(20, 27)) / FRAMES_PER_SECOND
    look, manner, activation, valence = PLAYED[emotion]
    played = mix(
        (1, habit), (1, _wobble(rng, 0.08)), (strength * expressiveness, EXPRESSIONS[look])
    )
    prosody = blend(PROSODIES["level"], PROSODIES[manner], strength)
    prosody = replace(
        prosody,
        shift_semitones=prosody.shift_semitones + rng.normal(0, 0.7),
        level_db=prosody.level_db + rng.normal(0, 1.5),
    )
    write_video(path, _frames(face, played, seconds, rng), speak(voice, prosody, seconds, rng))
    return 3 + strength * (activation - 3), 3 + strength * (valence - 3)


def _wobble(rng: np.random.Generator, size: float) -> Expression:
    """A small random expression. No wrinkle and no blush: those would show on a face at rest."""
    noise = dict(zip((f.name for f in fields(Expression)), rng.normal(0, size, 8), strict=True))
    return Expression(**noise | {"mouth_open": 0.0, "wrinkle": 0.0, "blush": 0.0})


def _frames(
    face: Face, played: Expression, seconds: float, rng: np.random.Generator
) -> list[Image]:
    """The frames of a take: the expression swells and ebbs, the head sways, the eyes blink."""
    behind, light = backdrop(face), rng.uniform(0.9, 1.05)
    sway_phase, sway_hz = rng.uniform(0, 1, 3), rng.uniform(0.2, 0.5, 3)
    blink, lips_phase, lips_hz = rng.uniform((0.2, 0, 2.5), (seconds, np.pi, 4.0))
    frames = []
    for frame in range(round(seconds * FRAMES_PER_SECOND)):
        time = frame / FRAMES_PER_SECOND
        swell = 0.8 + 0.2 * np.sin(np.pi * min(1.0, time / seconds + 0.1))
        x, y, roll = np.sin(2 * np.pi * (sway_hz * time + sway_phase))
        lips = 0.14 * abs(np.sin(np.pi * lips_hz * time + lips_phase))
        shown = mix((swell, played), (1, Expression(mouth_open=lips)))
        if 0 <= time - blink < 1.5 / FRAMES_PER_SECOND:
            shown = replace(shown, eye_open=-1.7)
        pose = Pose(right_pixels=5 * x, down_pixels=2.5 * y, roll_degrees=3 * roll)
        frame_image = draw(face, shown, pose, behind)
        frames.append(np.asarray(cv2.convertScaleAbs(frame_image, alpha=light), np.uint8))
    return frames


def write_video(path: Path, frames: Iterable[Image], wave: NDArray[np.float32]) -> None:
    """Write an mp4: 320x240 RGB frames at 10/s and a mono float wave at 24 kHz.

    H.264 where this FFmpeg was built with x264, else MPEG-4; AAC. One thread, because x264's
    output depends on their number.
    """
    codec, options = "libx264", {"crf": "21", "preset": "superfast"}
    if codec not in av.codecs_available:
        codec, options = "mpeg4", {}
    with av.open(str(path), "w", format="mp4") as container:
        video = cast(
            av.VideoStream, container.add_stream(codec, FRAMES_PER_SECOND, options=options)
        )
        video.width, video.height, video.pix_fmt = WIDTH_PIXELS, HEIGHT_PIXELS, "yuv420p"
        video.codec_context.thread_count = 1
        audio = container.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono")
        for frame_image in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(frame_image, format="rgb24")))
        container.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(wave[None, :], format="fltp", layout="mono")
        frame.sample_rate = SAMPLE_RATE_HZ
        container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
