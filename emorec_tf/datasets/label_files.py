"""Corpora with label files: CREMA-D, MSP-IMPROV, nEMO."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from emorec_tf.config.clip import Clip
from emorec_tf.datasets.discovery import files_below
from emorec_tf.datasets.tables import number, read
from emorec_tf.errors import UserError
from emorec_tf.storage.paths import place

_VOTES = {"A": "angry", "D": "disgust", "F": "fearful", "H": "happy", "N": "neutral", "S": "sad"}
_PERSON = ("sex", "age", "race", "ethnicity")
_IMPROV_LETTERS = {"A": "angry", "H": "happy", "S": "sad", "N": "neutral"}
_IMPROV_LINE = re.compile(
    r"(?:UTD|MSP)-(?P<clip>IMPROV-[A-Z0-9-]+)\.(?:avi|wav)\s*;\s*(?P<letter>[A-Z])\s*;"
    r"\s*A:\s*(?P<activation>[\d.]+|NaN)\s*;\s*V:\s*(?P<valence>[\d.]+|NaN)\s*;",
    re.IGNORECASE,
)
_NEMO_TABLE = "data.tsv"
_NEMO_COLUMNS = ("file_id", "raw_text", "gender", "age")
_LOG = logging.getLogger(__name__)


def crema_d_labels(clips: list[Clip], source: str, label: str) -> list[Clip]:
    """Add the actors' traits and, for the label "perceived", the raters' most frequent vote.

    The votes are those on video with audio. Clips without a single most-voted emotion (420 of
    7,442) have no such label and are left out, with a log message.

    Raises:
        UserError: If "perceived" is asked for and no table of votes lies below ``source``.
    """
    tables = {
        path.rsplit("/", 1)[-1]: place(source) / path for path in reversed(files_below(source))
    }
    people: dict[str, dict[str, str]] = {}
    if "VideoDemographics.csv" in tables:
        for row in _rows(tables["VideoDemographics.csv"], ("actorid", *_PERSON)):
            people[row["actorid"]] = {key: row[key] for key in _PERSON} | {
                "sex": row["sex"].lower()
            }
    clips = [replace(c, traits={**c.traits, **people.get(c.speaker, {})}) for c in clips]
    if label != "perceived":
        return clips
    votes = _crema_d_votes(tables, source)
    kept = [replace(c, emotion=votes[c.clip_id]) for c in clips if c.clip_id in votes]
    _log_left_out(len(clips) - len(kept), len(clips), "no emotion got most votes")
    return kept


def _crema_d_votes(tables: Mapping[str, Path], source: str) -> dict[str, str]:
    """Return {clip id: emotion} of the clips that have one most-voted emotion."""
    if "summaryTable.csv" in tables:
        rows = _rows(tables["summaryTable.csv"], ("filename", "multimodalvote"))
        winners = {row["filename"]: row["multimodalvote"] for row in rows}
    elif "tabulatedVotes.csv" in tables:
        winners = {}
        needed = ("", "filename", *(letter.lower() for letter in _VOTES))
        for row in _rows(tables["tabulatedVotes.csv"], needed):
            if row[""].startswith("3"):  # 1 audio, 2 video, 3 both
                counts = {letter: int(row[letter.lower()]) for letter in _VOTES}
                most = max(counts.values())
                tied = [letter for letter in _VOTES if counts[letter] == most]
                winners[row["filename"]] = ":".join(tied)
    else:
        raise UserError(
            f"label 'perceived' needs summaryTable.csv or tabulatedVotes.csv below {source}; copy"
            " the corpus's processedResults folder there or use label 'intended'"
        )
    return {clip: _VOTES[letter] for clip, letter in winners.items() if letter in _VOTES}


def _rows(path: Path, needed: tuple[str, ...]) -> Iterable[dict[str, str]]:
    return read(path, needed).records(needed).values()


def msp_improv_labels(clips: list[Clip], source: str, label: str) -> list[Clip]:
    """Label the clips by the corpus's evaluation file (the release spells it Evalution.txt).

    A line is "UTD-IMPROV-S01A-F01-P-FM01.avi; A; A:2.80; V:2.60; D:3.40 ; N:3.20;": the raters'
    class and mean activation and valence (1-5; NaN becomes None). Lines of single
    raters are skipped. Clips of other classes (O, X) or without a line are left out, with a log
    message.

    Raises:
        UserError: If no such file lies below ``source`` or no line in it has that form.
    """
    del label  # one kind only
    names = [p for p in files_below(source) if re.search(r"(^|/)evalua?tion\.txt$", p, re.I)]
    if not names:
        raise UserError(f"no Evaluation.txt below {source}; the labels of msp-improv are in it")
    text = (place(source) / names[0]).read_text(encoding="utf-8", errors="replace")
    lines = {f"MSP-{m['clip']}".upper(): m for m in map(_IMPROV_LINE.match, text.splitlines()) if m}
    if not lines:
        raise UserError(
            f"{names[0]}: no line like 'UTD-IMPROV-S01A-F01-P-FM01.avi; A; A:2.80; ...'"
        )
    kept = []
    for clip in clips:
        line = lines.get(clip.clip_id)
        emotion = _IMPROV_LETTERS.get(line["letter"].upper()) if line else None
        if line and emotion:
            row = line.groupdict()
            activation, valence = (number(row, k, names[0]) for k in ("activation", "valence"))
            kept.append(replace(clip, emotion=emotion, activation=activation, valence=valence))
    _log_left_out(len(clips) - len(kept), len(clips), f"no class of the four in {names[0]}")
    return kept


def nemo_people(clips: list[Clip], source: str, label: str) -> list[Clip]:
    """Add the speaker's sex and age and the sentence from nEMO's data.tsv, where it is there.

    The table lies beside the folder of recordings, so that of the folder above counts too.
    """
    del label  # one kind only
    below = [place(source) / p for p in files_below(source) if p.rsplit("/", 1)[-1] == _NEMO_TABLE]
    tables = [path for path in (*below, place(source).parent / _NEMO_TABLE) if path.is_file()]
    if not tables:
        return clips
    rows = {row["file_id"]: row for row in _rows(tables[0], _NEMO_COLUMNS)}
    people = {
        name.rsplit(".", 1)[0]: {"sex": row["gender"], "age": row["age"], "text": row["raw_text"]}
        for name, row in rows.items()
    }
    return [replace(c, traits={**c.traits, **people.get(c.clip_id, {})}) for c in clips]


def _log_left_out(count: int, total: int, why: str) -> None:
    if count:
        _LOG.warning("left out %d of %d clips: %s", count, total, why)
