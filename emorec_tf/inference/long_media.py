"""A video is answered window by window, person by person.

Every window of every person becomes an example as a training clip does: the same track, crops and
features. The audio of a window is shared by all people in view, since it is not known whose it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from emorec_tf.errors import UserError
from emorec_tf.features import face_tracks
from emorec_tf.features.decoded import AudioTrack, FaceTrack
from emorec_tf.inference import face_watcher, person_tracking, presence, windows
from emorec_tf.inference.answers import MediaAnswer
from emorec_tf.inference.face_watcher import Watcher
from emorec_tf.inference.model_inputs import Inputs, batch_of, is_seen, silenced
from emorec_tf.inference.person_tracking import Person
from emorec_tf.inference.predictor import Predictor
from emorec_tf.media import voice_activity
from emorec_tf.media.container import Source
from emorec_tf.media.decode import Recording
from emorec_tf.media.decode_windows import Windows

Row = dict[str, Any]  # of one person in one window


@dataclass(frozen=True)
class Settings:
    """How media are answered; ``windows`` is auto (videos of more than two), on or off.

    ``people``, of a clip that is not cut into windows, is main (the larger face) or all.
    ``check`` is called for each packet, frame and window; what it raises stops the answer.
    """

    hop_seconds: float | None = None
    windows: str = "auto"
    speech_check: bool = True
    check: Callable[[], None] = lambda: None
    people: str = "main"


@dataclass(frozen=True)
class Heard:
    """The audio of a window: its arrays, ``None`` where it is left out, and facts of its rows.

    ``of_use`` is what of these counts as audio: nothing of digital silence.
    """

    example: Inputs | None
    facts: dict[str, Any]
    of_use: Inputs


def answer_windows(
    model: Predictor, source: Source, hop_seconds: float, settings: Settings
) -> MediaAnswer:
    """Answer an open file window by window, as long as there is something to decode.

    Raises:
        UserError: nothing of it can be read.
    """
    features = model.run.config.features
    cuts = windows.cut(source.seconds, features.clip_seconds, hop_seconds)
    rate_hz = face_tracks.TRACK_RATE_HZ if features.face_frames else 0.0
    # The detector is loaded when the first frame comes.
    watcher = Watcher(lambda image: model.reader.detector(image), settings.check)
    decoding = Windows(source, cuts, rate_hz)
    rows: list[Row] = []
    for recording in decoding:
        settings.check()
        rows += rows_of(model, recording, watcher, settings.speech_check)
    if not rows:
        nothing = f"{source.name} holds neither audio nor video frames"
        raise UserError(decoding.problem or nothing)
    indices = numbered(rows, watcher.crowd)
    people = {number: watcher.crowd[index] for number, index in indices.items()}
    answer = summary(model, source, rows, people)
    limits = model.abstain_below, model.unfamiliar_below
    timeline = windows.merged(rows, hop_seconds, source.seconds, *limits)
    timeline = [cell | lacking(model, cell) for cell in timeline]
    portraits = {n: face_watcher.portrait(watcher.best[i][1]) for n, i in indices.items()}
    problem = decoding.problem and f"{decoding.problem}; the answer is of the rest"
    return MediaAnswer(answer, timeline, portraits, problem)


def numbered(rows: list[Row], crowd: Sequence[Person]) -> dict[int, int]:
    """Number the people in ``rows`` from 1, and sort these; return indices in ``crowd``."""
    numbers = person_tracking.in_order(crowd, sorted({row["person"] for row in rows} - {None}))
    for row in rows:
        row["person"] = numbers.get(row["person"])
    rows.sort(key=lambda row: (row["start_seconds"], row["person"] or 0))
    return {number: index for index, number in numbers.items()}


def summary(
    model: Predictor, source: Source, rows: list[Row], people: dict[int, Person]
) -> dict[str, Any]:
    """Answer for the person who is seen longest, over all windows; then people and windows."""
    main = max(people, key=lambda n: (len(people[n].seconds), -n), default=None)
    limits = model.abstain_below, model.unfamiliar_below
    together = windows.mean([row for row in rows if row["person"] == main], *limits)
    with_speech = [r for r in rows if r["audio_present"] and r["speech"] is not False]
    shared = Counter(row["start_seconds"] for row in with_speech)
    data = model.run.config.data
    return {
        "clip": source.name,
        **({"target": data.target} if data.target != "emotion" else {}),
        **{name: together[name] for name in model.no_answer},
        **lacking(model, together),
        "audio_present": any(row["audio_present"] for row in rows),
        "face_present": any(row["face_present"] for row in rows),
        "face_coverage": together["face_coverage"],
        "seconds": round(rows[-1]["end_seconds"], 3),
        "film_seconds": round(source.seconds, 3),
        "voice_shared": max(shared.values(), default=0) > 1,
        "people": [person_entry(number, person) for number, person in people.items()],
        "windows": rows,
    }


def lacking(model: Predictor, row: Row) -> Row:
    """Say what a row lacks that has no answer; nothing of others."""
    return presence.why_none(model.modalities, row) if presence.is_empty(row) else {}


def person_entry(number: int, person: Person, offset: float = 0.0) -> dict[str, Any]:
    """Say when a person was seen, and where at the middle of that time.

    The box counts in the pixels of the video's first frame; ``offset`` seconds are added.
    """
    first, last = person.seconds[0], person.seconds[-1]
    face = person.faces[person.nearest((first + last) / 2)]
    return {
        "person": number,
        "first_seconds": round(offset + first, 3),
        "last_seconds": round(offset + last, 3),
        "box": [round(side) for side in (face.x, face.y, face.width, face.height)],
    }


def rows_of(
    model: Predictor, recording: Recording, watcher: Watcher, speech_check: bool
) -> list[Row]:
    """Answer one window: a row for each person in view, or one for the audio alone."""
    heard = audio_part(model, recording, speech_check)
    times = {
        "start_seconds": round(recording.start_seconds, 3),
        "end_seconds": round(recording.start_seconds + recording.seconds, 3),
    }
    rows: list[Row] = []
    examples: list[Inputs] = []
    to_answer: list[Row] = []
    for person, faces in face_watcher.tracks(recording, watcher):
        face, coverage = face_part(model, recording, faces)
        row = {"person": person, **times, **model.no_answer, **heard.facts}
        rows.append(row | {"face_present": coverage > 0, "face_coverage": coverage})
        example = joined(heard.example, face)
        if model.basis.answerable(example | heard.of_use):
            examples.append(example)
            to_answer.append(rows[-1])
        else:
            rows[-1] |= lacking(model, rows[-1])
    for row, answer in zip(
        to_answer, model.answer(batch_of(*examples)) if examples else (), strict=True
    ):
        row.update(answer)
    return rows


def audio_part(model: Predictor, recording: Recording, speech_check: bool) -> Heard:
    """Make a window's audio arrays, and the facts of its rows."""
    facts: dict[str, Any] = {"audio_present": False, "speech": False if speech_check else None}
    if recording.waveform is None or not len(recording.waveform):
        return Heard(None, facts, {})
    example, seen = model.assemble(AudioTrack.of(recording), None, recording.name)
    facts["audio_present"] = seen.audio_present
    if speech_check and seen.audio_present:
        waveform, rate_hz = recording.waveform, recording.audio_rate_hz
        facts["speech"] = voice_activity.has_speech(waveform, rate_hz)
    is_used = seen.audio_present and facts["speech"] is not False
    return Heard(example if is_used else None, facts, silenced(example, seen))


def face_part(
    model: Predictor, recording: Recording, faces: FaceTrack | None
) -> tuple[Inputs | None, float]:
    """Make a window's face arrays, ``None`` where there is no face, and its coverage."""
    if faces is None:
        return None, 0.0
    try:
        example, found = model.assemble(None, faces, recording.name)
    except UserError:  # too few faces for adaptive sampling: the audio of this window answers
        return None, 0.0
    coverage = round(found.faces_found / max(found.frames, 1), 3)
    return example if is_seen(example) else None, coverage


def joined(audio: Inputs | None, face: Inputs | None) -> Inputs:
    """Put audio arrays and face arrays into one example."""
    if audio is None or face is None:
        return audio or face or {}
    return {name: (audio if name.startswith("audio") else face)[name] for name in face}
