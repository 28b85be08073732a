"""The people in a clip that is answered as one: how many there are, and what each one shows.

The clip's own answer is of its main face. Whether another one is in view is seen while that face is
followed, so nothing is decoded or looked at twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from emorec_tf.errors import UserError
from emorec_tf.features import face_tracks
from emorec_tf.features.decoded import AudioTrack, FaceTrack
from emorec_tf.features.face_detection import Detector, Face
from emorec_tf.features.face_tracks import TrackFrame
from emorec_tf.inference import face_watcher, person_tracking, presence
from emorec_tf.inference.answers import ClipAnswer, MediaAnswer
from emorec_tf.inference.face_watcher import LEAST_FRAMES, Shot, Watcher
from emorec_tf.inference.long_media import person_entry
from emorec_tf.inference.predictor import Predictor

Row = dict[str, Any]  # of one person: as in long_media


@dataclass
class InView:
    """The people who are seen while the main face of a clip is followed.

    ``every``: the track of each person is made too. ``crowd`` holds all people, ``shots`` the track
    frames of each, one for each frame of the main face's track.
    """

    every: bool = False
    watcher: Watcher = field(default_factory=lambda: Watcher(lambda _: []))
    shots: list[Shot] = field(default_factory=list)

    def follow(
        self, images: Iterable[tuple[float, np.ndarray]], detect: Detector
    ) -> list[TrackFrame]:
        """Make the track of the main face, as ``face_tracks.track`` does."""
        now, found = 0.0, list[Face]()
        self.watcher.detect = lambda _: found

        def timed() -> Iterator[tuple[float, np.ndarray]]:
            nonlocal now
            for seconds, image in images:
                now = seconds
                yield seconds, image

        def looked(image: np.ndarray) -> list[Face]:
            nonlocal found
            found = detect(image)
            if self.every:
                self.shots.append(face_watcher.shot_of(image, None, now, self.watcher))
            else:
                face_watcher.people_in(image, now, self.watcher)
            return found

        return face_tracks.track(timed(), looked)

    def people(self, faces: FaceTrack | None, model: Predictor) -> dict[int, int]:
        """Number the people in the part that is answered, from 1; gives indices in the crowd.

        As in a window of a long video, a face counts that is there in three frames, or in all.
        """
        from emorec_tf.features.examples import window_of  # loads Keras

        if faces is None:
            return {}
        start, length = window_of(faces.seconds, model.run.config.features)
        inside = [start <= frame.seconds <= start + length for frame in faces.frames]
        least = min(LEAST_FRAMES, sum(inside))
        crowd = self.watcher.crowd
        counts = [sum(start <= s <= start + length for s in person.seconds) for person in crowd]
        seen = [index for index, count in enumerate(counts) if count >= max(least, 1)]
        return {n: index for index, n in person_tracking.in_order(crowd, seen).items()}

    def track_of(self, index: int, faces: FaceTrack) -> FaceTrack:
        """Give the track of one person of the crowd."""
        return FaceTrack([shot.frame_of(index) for shot in self.shots], faces.seconds)

    def noted(
        self,
        answer: Row,
        faces: FaceTrack | None,
        model: Predictor,
        offset: float,
        how: str = "--people all",
    ) -> Row:
        """Add to a clip's answer that others are in view; nothing where there is one face.

        Args:
            answer: of the main face.
            faces: its track.
            model: the run.
            offset: where the decoded part starts, in seconds.
            how: to have each of them answered.
        """
        numbers = self.people(faces, model)
        if len(numbers) < 2 or "face" not in model.modalities:
            return answer
        heard = answer["audio_present"] and answer.get("speech") is not False
        shared = heard and "audio" in model.modalities
        voice = ", with the audio that all in view share" if shared else ""
        crowd, who = self.watcher.crowd, f"{len(numbers)} people; the larger face is answered"
        return answer | {
            "voice_shared": shared,
            "people": [person_entry(n, crowd[index], offset) for n, index in numbers.items()],
            "notes": [f"{who}{voice}; {how} answers each"],
        }


def each(
    model: Predictor,
    clip: ClipAnswer,
    seconds: float,
    decoded: tuple[AudioTrack | None, FaceTrack | None],
    in_view: InView,
    speech_check: bool,
) -> MediaAnswer:
    """Answer each person in a clip, as a long video's one window would be.

    Args:
        model: the run.
        clip: the answer to the clip's main face.
        seconds: length of the whole file.
        decoded: of the clip.
        in_view: the people, with their tracks.
        speech_check: leave out audio without speech.
    """
    from emorec_tf.features.examples import window_of

    audio, faces = decoded
    numbers = in_view.people(faces, model)
    part = next(part.seconds for part in (audio, faces) if part)
    offset = max(0.0, (seconds - part) / 2)
    start, length = window_of(part, model.run.config.features)
    times = {
        "start_seconds": round(offset + start, 3),
        "end_seconds": round(offset + start + length, 3),
    }
    rows = [{"person": None, **times, **row_of(model, clip, speech_check)}]
    if faces is not None and numbers:
        tracks = {n: in_view.track_of(index, faces) for n, index in numbers.items()}
        answers = {n: answer_one(model, clip, audio, t, speech_check) for n, t in tracks.items()}
        rows = [
            {"person": n, **times, **row_of(model, one, speech_check)} for n, one in answers.items()
        ]
    crowd, best = in_view.watcher.crowd, in_view.watcher.best
    heard = [row for row in rows if row["audio_present"] and row["speech"] is not False]
    answer = clip.as_dict() | {
        "film_seconds": round(seconds, 3),
        "voice_shared": len(heard) > 1,
        "people": [person_entry(n, crowd[index], offset) for n, index in numbers.items()],
        "windows": rows,
    }
    portraits = {n: face_watcher.portrait(best[i][1]) for n, i in numbers.items() if i in best}
    # An answer to the clip's middle stands for all of it.
    whole = {"start_seconds": 0.0, "end_seconds": answer["film_seconds"]}
    return MediaAnswer(answer, [{**row, **whole} for row in rows], portraits, faces=faces)


def answer_one(
    model: Predictor,
    clip: ClipAnswer,
    audio: AudioTrack | None,
    faces: FaceTrack,
    speech_check: bool,
) -> ClipAnswer:
    """Answer one person of a clip; by the audio alone where adaptive sampling lacks faces."""
    try:
        return model.answer_decoded(clip.clip, audio, faces, speech_check)
    except UserError:
        if audio is not None and audio.waveform is not None:
            return model.answer_decoded(clip.clip, audio, None, speech_check)
    facts: Row = {"audio_present": False, "face_present": False, "face_coverage": 0.0}
    nothing = {"value": None, **model.no_answer, **presence.why_none(model.modalities, facts)}
    return replace(clip, **facts, **nothing)


def row_of(model: Predictor, clip: ClipAnswer, speech_check: bool) -> Row:
    """The row of one person, in the form of a long video's."""
    found = clip.as_dict()
    lacks: Row = {key: found[key] for key in ("missing", "reason") if key in found}
    speech = clip.audio_present and clip.speech is not False
    return {
        **{key: found[key] for key in model.no_answer},
        "audio_present": clip.audio_present,
        "speech": speech if speech_check else None,
        "face_present": clip.face_present,
        "face_coverage": clip.face_coverage,
        **lacks,
    }
