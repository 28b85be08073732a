"""The demo corpus: drawn faces with synthetic voices, generated without downloads or licences.

It is a demo and a test bed. A score on it is never evidence that anything recognises human
emotion: the emotions in it are neither felt, acted nor rated.

Face and voice each confuse emotions that the other one distinguishes, so a model that uses both can
be perfect and a model that uses one cannot. Emotions of one group look or sound the same:

    face groups    neutral = calm, angry = disgust, fearful = surprised, happy, sad
    voice groups   happy = surprised, sad = calm, angry = fearful, neutral = disgust

With all eight emotions the best unweighted average recall is therefore 5/8 = 62.5 % from the face
alone, 4/8 = 50 % from the voice alone and 100 % from both. Nothing else distinguishes
them: durations and lip movements have the same distribution for every emotion.
"""

from __future__ import annotations

import csv
import hashlib
import json
import multiprocessing
import os
import re
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from emorec_tf.config.clip import EMOTIONS
from emorec_tf.config.fields import nearest
from emorec_tf.datasets.demo.takes import FACE_GROUPS, VOICE_GROUPS, make_clip
from emorec_tf.errors import UserError
from emorec_tf.storage.ending import end_pool, end_with_parent, ignored_by_children

__all__ = ["DEMO_EMOTIONS", "FACE_GROUPS", "VOICE_GROUPS", "build"]

DEMO_EMOTIONS = tuple(emotion for emotion in EMOTIONS if emotion in FACE_GROUPS)
FACE_ONLY_CEILING = 5 / 8  # unweighted average recall with all eight emotions
VOICE_ONLY_CEILING = 4 / 8
MANIFEST = "demo.json"
RECIPE = 1  # raise it when the same settings would give another corpus
COLUMNS = ("path", "emotion", "speaker", "session", "activation", "valence")
_OWN_CLIP = re.compile(r"clips/actor\d\d_[a-z]+_\d+\.mp4")


def build(
    folder: str | Path,
    *,
    actors: int = 8,
    takes: int = 3,
    seed: int = 0,
    emotions: tuple[str, ...] = DEMO_EMOTIONS,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Make ``folder`` hold the demo corpus: ``clips/*.mp4``, ``labels.csv`` and ``demo.json``.

    Labels have one row a clip: path relative to the CSV, emotion, speaker, session (two actors
    each), activation and valence from 1 to 5. The same settings give the same bytes on the same
    machine, whatever ``workers`` is. An intact corpus of the same settings is left unchanged;
    otherwise a new one is made beside the folder and replaces it when it is complete.
    ``progress`` is called with (clips done, clips in all).

    Two or more workers are spawned processes: a script calls this with them under
    ``if __name__ == "__main__":``. One worker is the calling process itself.

    Raises:
        UserError: a setting is impossible, the folder holds something else or cannot be written,
            or a worker process died.
    """
    _check(actors, takes, seed, emotions, workers)
    folder = Path(folder).absolute()
    settings = {
        "recipe": RECIPE,
        "actors": actors,
        "takes": takes,
        "seed": seed,
        "emotions": list(emotions),
    }
    if _is_intact(folder, settings):
        return folder
    _refuse_foreign(folder)
    scratch = folder.with_name(f".{folder.name}.incomplete-{os.getpid()}")
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        (scratch / "clips").mkdir(parents=True)
        rows = _record(scratch, settings, workers, progress)
        with (scratch / "labels.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
        manifest = {"settings": settings, "sha256": _digest(scratch)}
        (scratch / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        scratch.replace(folder)
    except OSError as error:
        why = error.strerror or error
        message = f"{folder}: cannot write the demo corpus: {why}; name another folder"
        raise UserError(message) from error
    except BrokenProcessPool as error:
        raise UserError("a process that makes the demo corpus died; try workers=1") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _check(actors: int, takes: int, seed: int, emotions: tuple[str, ...], workers: int) -> None:
    counts = {"actors": actors, "takes": takes, "workers": workers}
    for name, value in counts.items():
        if not 1 <= value <= 99:
            raise UserError(f"{name}={value}: the demo corpus takes 1 to 99 {name}")
    if seed < 0:
        raise UserError(f"seed={seed}: choose a whole number from 0 upwards")
    for emotion in emotions:
        if emotion not in DEMO_EMOTIONS:
            hint = nearest(emotion, DEMO_EMOTIONS)
            raise UserError(f"emotion {emotion!r} is not in the demo corpus; {hint}")
    if not emotions or len(set(emotions)) < len(emotions):
        raise UserError(
            f"emotions={','.join(emotions)!r}: name each at most once, and at least one"
        )


def _record(
    scratch: Path,
    settings: dict[str, Any],
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> list[tuple[str, ...]]:
    """Generate every take in ``scratch``; return the rows of the labels, sorted by path."""
    plan = [
        (actor, emotion, take)
        for actor in range(settings["actors"])
        for emotion in settings["emotions"]
        for take in range(settings["takes"])
    ]
    job = partial(_record_one, scratch, settings["seed"])
    rows = []
    with ExitStack() as stack:
        if workers == 1:
            results: Iterable[tuple[str, ...]] = map(job, plan)
        else:
            # Spawned, never forked: the caller may hold TensorFlow's threads.
            spawn = multiprocessing.get_context("spawn")
            pool = ProcessPoolExecutor(min(workers, len(plan)), spawn, _one_thread)
            stack.callback(end_pool, pool)
            with ignored_by_children():
                results = pool.map(job, plan)
        for row in results:
            rows.append(row)
            if progress:
                progress(len(rows), len(plan))
    return sorted(rows)


def _one_thread() -> None:
    end_with_parent()
    cv2.setNumThreads(1)  # a process per core is faster than threads within each


def _record_one(scratch: Path, seed: int, played: tuple[int, str, int]) -> tuple[str, ...]:
    actor, emotion, take = played
    speaker, session = f"actor{actor + 1:02d}", f"session{actor // 2 + 1:02d}"
    path = f"clips/{speaker}_{emotion}_{take + 1}.mp4"
    affect = make_clip(scratch / path, seed, actor, emotion, take)
    return (path, emotion, speaker, session, *(f"{value:.2f}" for value in affect))


def _digest(folder: Path) -> str:
    """One sha256 over the names and bytes of the labels and of every clip."""
    total = hashlib.sha256()
    for path in [folder / "labels.csv", *sorted((folder / "clips").iterdir())]:
        total.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _is_intact(folder: Path, settings: dict[str, Any]) -> bool:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return bool(manifest == {"settings": settings, "sha256": _digest(folder)})
    except (OSError, ValueError):
        return False


def _refuse_foreign(folder: Path) -> None:
    """Refuse to replace anything that this module did not write."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; name a folder for the demo corpus")
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name not in ("clips", "labels.csv", MANIFEST) and not _OWN_CLIP.fullmatch(name):
            raise UserError(f"{folder} holds {name}, not a file of the demo; name an empty folder")
