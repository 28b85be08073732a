"""A media file of any length is answered: as one clip, or window by window."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from emorec_tf.config.fields import check
from emorec_tf.inference import clip_people, long_media, predictor, presence, unfamiliar, windows
from emorec_tf.inference.answers import MediaAnswer
from emorec_tf.inference.clip_people import InView
from emorec_tf.inference.long_media import Settings
from emorec_tf.media.container import Source, open_media

if TYPE_CHECKING:
    from emorec_tf.inference.predictor import Predictor

log = logging.getLogger(__name__)


def answer_media(
    model: Predictor, path: str, settings: Settings | None = None, name: str | None = None
) -> MediaAnswer:
    """Answer a file, which is opened once.

    Args:
        model: the run.
        path: video, audio or image.
        settings: how long videos are answered.
        name: what the answer and errors call the file; none: its path.

    Raises:
        UserError: it cannot be read, or the step between windows leaves gaps.
    """
    settings = settings or Settings()
    with open_media(path, name, settings.check) as source:
        return answer_source(model, source, settings)


def answer_source(model: Predictor, source: Source, settings: Settings) -> MediaAnswer:
    """Answer an open file: the middle of a short one, windows of a long one.

    Raises:
        UserError: it cannot be read, or the step between windows leaves gaps.
    """
    check(settings.people in ("main", "all"), "people", settings.people, "main or all")
    for note in source.notes:
        log.warning("%s: %s", source.name, note)
    length = model.run.config.features.clip_seconds
    hop = windows.hop_of(length, settings.hop_seconds)
    short = settings.windows == "auto" and source.seconds <= windows.CLIP_WINDOWS * length
    if short or settings.windows == "off":
        found = answer_short(model, source, settings)
    else:
        found = long_media.answer_windows(model, source, hop, settings)
    if presence.is_empty(found.answer):
        kinds = model.modalities
        only = f"; the model goes by {kinds[0]} alone" if len(kinds) == 1 else ""
        log.warning("%s: %s%s", source.name, presence.said(found.answer), only)
    elif unfamiliar.is_unlike(found.answer, model.unlike_below):
        share = found.answer["familiarity"]
        log.warning("%s: %s (familiarity %.3f)", source.name, unfamiliar.SAID, share)
    return found


def answer_short(model: Predictor, source: Source, settings: Settings) -> MediaAnswer:
    """Answer the middle of an open file: its main face, or each person in it.

    Raises:
        UserError: it cannot be read.
    """
    settings.check()
    in_view = InView(every=settings.people == "all")
    audio, faces = model.read(source, in_view.follow)
    clip = model.answer_decoded(source.name, audio, faces, settings.speech_check)
    if in_view.every:
        decoded = audio, faces
        return clip_people.each(
            model, clip, source.seconds, decoded, in_view, settings.speech_check
        )
    offset = max(0.0, (source.seconds - faces.seconds) / 2) if faces else 0.0
    return MediaAnswer(in_view.noted(clip.as_dict(), faces, model, offset), faces=faces)


def load(
    run_folder: str, *, settings: Settings | None = None, **options: Any
) -> Callable[[str], MediaAnswer]:
    """Load a run once; return the function that answers one file of any length.

    Args:
        run_folder: what ``train --run`` wrote, or the name of a model.
        settings: how long videos are answered.
        options: those of ``predictor.load``.

    Raises:
        UserError: no such run, settings that do not fit it; and, by the returned function, a file
            that cannot be read.
    """
    model = predictor.load(run_folder, **options)
    return lambda path: answer_media(model, path, settings)
