"""A file of any length to all that is told of it: windows, people, and what they say together.

Every window of every person goes the way of a training clip: the same track, crops and features.
The voice is heard once a window and shared by those in view, since nobody tells whose it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from emorec_tf.errors import UserError
from emorec_tf.features import decoded, face_detection, face_tracks
from emorec_tf.features.decoded import Film
from emorec_tf.inference import face_watcher, person_tracking, windows
from emorec_tf.inference.face_watcher import Watcher
from emorec_tf.inference.person_tracking import Person
from emorec_tf.inference.predictor import Inputs, Opened, batch_of, clip_answer, is_seen
from emorec_tf.media import decode_windows, voice_activity
from emorec_tf.media.decode import Recording


@dataclass(frozen=True)
class Settings:
    """How films are answered; ``windows`` is auto (films of more than two), on or off.

    ``on_window`` is called before each window; what it raises breaks the film off.
    """

    hop_seconds: float | None = None
    windows: str = "auto"
    speech_check: bool = True
    on_window: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class FilmAnswer:
    """All that is told of a file.

    ``told`` is the object of ``--json``. ``timeline`` lays its windows along their steps (see
    ``windows.merged``), empty for a file that was answered as one clip. ``portraits`` are uint8 RGB
    squares by the person's number. ``problem`` says what could not be read of a file that was
    answered all the same.
    """

    told: dict[str, Any]
    timeline: list[dict[str, Any]] = field(default_factory=list)
    portraits: dict[int, np.ndarray] = field(default_factory=dict)
    problem: str | None = None


def film_answer(ready: Opened, path: str, settings: Settings | None = None) -> FilmAnswer:
    """Answer a file: as one clip, or window by window.

    Raises:
        UserError: it cannot be read, or the step between windows leaves gaps.
    """
    settings = settings or Settings()
    length = ready.run.config.features.clip_seconds
    hop = windows.hop_of(length, settings.hop_seconds)
    seconds = decode_windows.length_of(path)
    short = settings.windows == "auto" and seconds <= windows.CLIP_WINDOWS * length
    if short or settings.windows == "off":
        return FilmAnswer(clip_answer(ready, path, settings.speech_check).as_dict())
    return windows_answer(ready, path, seconds, hop, settings)


def windows_answer(
    ready: Opened, path: str, seconds: float, hop_seconds: float, settings: Settings
) -> FilmAnswer:
    """Answer window by window, as long as there is something to decode."""
    features = ready.run.config.features
    cuts = windows.cut(seconds, features.clip_seconds, hop_seconds)
    load = face_detection.FACE_DETECTORS[features.face_detector]
    watcher = Watcher(face_watcher.lazy(lambda: load(ready.face_model)))
    rate_hz = face_tracks.TRACK_RATE_HZ if features.face_frames else 0.0
    rows: list[dict[str, Any]] = []
    problem = None
    try:
        for recording in decode_windows.windows(path, cuts, rate_hz):
            settings.on_window()
            rows += rows_of(ready, recording, watcher, settings)
    except decode_windows.CutShort as error:
        if not rows:
            raise UserError(str(error).replace("; the answer is of the rest", "")) from error
        problem = str(error)
    if not rows:
        raise UserError(f"{path} holds neither sound nor pictures")
    numbers = person_tracking.in_order(watcher.crowd, sorted({r["person"] for r in rows} - {None}))
    for row in rows:
        row["person"] = numbers.get(row["person"])
    rows.sort(key=lambda row: (row["start_seconds"], row["person"] or 0))
    seen = {number: watcher.crowd[index] for index, number in numbers.items()}
    portraits = {n: face_watcher.portrait(watcher.best[index][1]) for index, n in numbers.items()}
    told = summary(ready, path, seconds, rows, seen)
    timeline = windows.merged(rows, hop_seconds, seconds, ready.abstain_below)
    return FilmAnswer(told, timeline, portraits, problem)


def summary(
    ready: Opened, path: str, seconds: float, rows: list[dict[str, Any]], seen: dict[int, Person]
) -> dict[str, Any]:
    """Tell what all windows say of the person who is seen longest, then people and windows."""
    main = max(seen, key=lambda n: (len(seen[n].seconds), -n), default=None)
    together = windows.mean([row for row in rows if row["person"] == main], ready.abstain_below)
    heard_by = [r for r in rows if r["audio_present"] and r["speech"] is not False]
    shared = Counter(row["start_seconds"] for row in heard_by)
    data = ready.run.config.data
    return {
        "clip": path,
        **({"target": data.target} if data.target != "emotion" else {}),
        **{name: together[name] for name in ready.told_nothing},
        "audio_present": any(row["audio_present"] for row in rows),
        "face_present": any(row["face_present"] for row in rows),
        "face_coverage": together["face_coverage"],
        "seconds": round(rows[-1]["end_seconds"], 3),
        "film_seconds": round(seconds, 3),
        "voice_shared": max(shared.values(), default=0) > 1,
        "people": [person_told(number, person) for number, person in seen.items()],
        "windows": rows,
    }


def person_told(number: int, person: Person) -> dict[str, Any]:
    """Say when somebody was seen, and where at the middle of that time, in the film's pixels."""
    first, last = person.seconds[0], person.seconds[-1]
    face = person.faces[person.nearest((first + last) / 2)]
    return {
        "person": number,
        "first_seconds": round(first, 3),
        "last_seconds": round(last, 3),
        "box": [round(side) for side in (face.x, face.y, face.width, face.height)],
    }


def rows_of(
    ready: Opened, recording: Recording, watcher: Watcher, settings: Settings
) -> list[dict[str, Any]]:
    """Answer one window: a row for each person in view, or one for the voice alone."""
    voice, facts = heard(ready, recording, settings.speech_check)
    facts["start_seconds"] = round(recording.start_seconds, 3)
    facts["end_seconds"] = round(recording.start_seconds + recording.seconds, 3)
    rows, inputs = [], []
    for number, seen in face_watcher.films(recording, watcher):
        face, coverage = looked(ready, recording, seen)
        row = {"person": number, **facts, "face_present": coverage > 0, "face_coverage": coverage}
        if face is None and voice is None:
            row |= ready.told_nothing
        else:
            inputs.append(joined(voice, face))
        rows.append(row)
    told = iter(ready.tell(batch_of(*inputs)) if inputs else [])
    for row in rows:
        if not ready.told_nothing.keys() <= row.keys():
            row |= next(told)
    order = ["person", "start_seconds", "end_seconds", *ready.told_nothing]
    order += ["audio_present", "speech", "face_present", "face_coverage"]
    return [{name: row[name] for name in order} for row in rows]


def heard(
    ready: Opened, recording: Recording, speech_check: bool
) -> tuple[Inputs | None, dict[str, Any]]:
    """Make the voice's arrays of a window, ``None`` where nothing is to be heard."""
    facts: dict[str, Any] = {"audio_present": False, "speech": False if speech_check else None}
    if recording.waveform is None or not len(recording.waveform):
        return None, facts
    rate_hz = ready.run.config.features.sample_rate_hz
    sound = decoded.sound_of(decoded.entry_of_sound(recording), rate_hz)
    example, seen = ready.assemble(sound, None, recording.path)
    facts["audio_present"] = seen.audio_present
    if speech_check and seen.audio_present:
        facts["speech"] = voice_activity.has_speech(recording.waveform, recording.sound_rate_hz)
    is_heard = seen.audio_present and facts["speech"] is not False
    return example if is_heard else None, facts


def looked(ready: Opened, recording: Recording, seen: Film | None) -> tuple[Inputs | None, float]:
    """Make the face's arrays of a window, ``None`` where there is none, and its coverage."""
    if seen is None:
        return None, 0.0
    try:
        example, found = ready.assemble(None, seen, recording.path)
    except UserError:  # too few faces for adaptive sampling: this window is left to the voice
        return None, 0.0
    coverage = round(found.faces_found / max(found.frames, 1), 3)
    return example if is_seen(example) else None, coverage


def joined(voice: Inputs | None, face: Inputs | None) -> Inputs:
    """Put the voice's arrays and the face's into one example."""
    if voice is None or face is None:
        return voice or face or {}
    return {name: (voice if name.startswith("audio") else face)[name] for name in face}
