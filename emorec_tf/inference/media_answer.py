"""A media file of any length is answered: as one clip, or window by window."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emorec_tf.inference import long_media, predictor, unfamiliar, windows
from emorec_tf.inference.answers import MediaAnswer
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
    for note in source.notes:
        log.warning("%s: %s", source.name, note)
    length = model.run.config.features.clip_seconds
    hop = windows.hop_of(length, settings.hop_seconds)
    short = settings.windows == "auto" and source.seconds <= windows.CLIP_WINDOWS * length
    if short or settings.windows == "off":
        settings.check()
        audio, faces = model.read(source)
        clip = model.answer_decoded(source.name, audio, faces, settings.speech_check)
        found = MediaAnswer(clip.as_dict(), faces=faces)
    else:
        found = long_media.answer_windows(model, source, hop, settings)
    if all(found.answer.get(key) is None for key in ("emotion", "value")):
        log.warning("%s: no answer, %s", source.name, missing(model.modalities, found.answer))
    elif unfamiliar.is_unlike(found.answer, model.unlike_below):
        share = found.answer["familiarity"]
        log.warning("%s: %s (familiarity %.3f)", source.name, unfamiliar.SAID, share)
    return found


def missing(modalities: Sequence[str], answer: Mapping[str, Any]) -> str:
    """Say what an answer lacks of what the network uses."""
    speech = "it holds no speech" if answer["audio_present"] else "it holds no audio"
    lacks = {"audio": speech, "face": "no face is found in it"}
    only = f"; the model goes by {modalities[0]} alone" if len(modalities) == 1 else ""
    return " and ".join(lacks[kind] for kind in modalities) + only


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
