"""Command: clips or folders of clips to named probabilities, by the features of training."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from emorec_tf import media_files, runs
from emorec_tf.clip import Clip, SetupError, UserError
from emorec_tf.command_line import guarded, parse
from emorec_tf.config import check, option

if TYPE_CHECKING:
    import keras

    from emorec_tf.examples import Seen
    from emorec_tf.input_pipeline import Adapt

Maker: TypeAlias = "Callable[[Clip], tuple[dict[str, np.ndarray], Seen]]"

UNSURE = "unsure"


@dataclass(frozen=True)
class PredictOptions:
    """Which clips, by which run, shown how."""

    clips: tuple[str, ...] = option((), "clips, or folders that are searched", positional=True)
    run: str | None = option(None, "run directory that train wrote")
    json: bool = option(False, "one JSON object a line instead of a table")
    face_model: str | None = option(None, "face detector's model file, where it has none inside")
    mesh_model: str | None = option(None, "face mesh's model file, where MediaPipe has none inside")
    abstain_below: float = option(0.0, "answer unsure where no probability reaches this")
    enrol: str | None = option(
        None,
        "folder of unlabelled clips of the one speaker, for a run that was trained with --enrol",
    )


@dataclass(frozen=True)
class Answer:
    """What is known of a clip; ``seconds`` is the length of what was looked at.

    Where a rating is estimated, ``value`` holds it, and there are no probabilities.
    """

    clip: str
    emotion: str
    probabilities: dict[str, float]
    audio_present: bool
    face_present: bool
    face_coverage: float
    seconds: float
    target: str = "emotion"
    value: float | None = None

    def as_json(self) -> str:
        """Write the line of ``--json``: what else than emotions was learned is named."""
        told = asdict(self)
        target, value = told.pop("target"), told.pop("value")
        if value is not None:
            del told["emotion"], told["probabilities"]
            told = {"clip": told.pop("clip"), "target": target, "value": value, **told}
        elif target != "emotion":
            told["target"] = target
        return json.dumps(told)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Answer every clip that can be read; name the others and exit with 1 at the end."""
    given = parse(argv, "predict", PredictOptions, config_flag=False)
    options = PredictOptions(
        **{f.name: given[f.name] for f in fields(PredictOptions) if f.name in given}
    )
    if options.run is None:
        raise UserError("predict needs --run FOLDER, a run that train wrote")
    check(0 <= options.abstain_below <= 1, "abstain_below", options.abstain_below, "0 to 1")
    paths = found(options.clips)
    answer = predictor(
        options.run,
        options.face_model,
        options.mesh_model,
        abstain_below=options.abstain_below,
        enrol=options.enrol,
    )
    failures = 0
    rows: list[Answer] = []
    for path in paths:
        try:
            rows.append(answer(path))
        except SetupError:
            raise
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            failures += 1
            continue
        if options.json:
            print(rows[-1].as_json(), flush=True)
    if rows and not options.json:
        print_table(rows)
    if failures:
        print(f"error: {failures} of {len(paths)} files gave no answer", file=sys.stderr)
    return int(failures > 0)


def found(names: Sequence[str]) -> list[str]:
    """Files to answer: named files as they are, folders searched for media.

    Raises:
        UserError: nothing named, or a folder without media.
    """
    if not names:
        raise UserError("name at least one clip or folder")
    paths: list[str] = []
    for name in names:
        if not Path(name).is_dir():
            paths.append(name)
            continue
        inside = [p for p in media_files.files_below(name) if media_files.is_media(p)]
        if not inside:
            raise UserError(f"no clip in folder {name}; it holds no file that ends like mp4 or wav")
        paths += [str(Path(name) / p) for p in sorted(inside)]
    return paths


def predictor(
    run_folder: str,
    face_model: str | None = None,
    mesh_model: str | None = None,
    abstain_below: float = 0.0,
    enrol: str | None = None,
) -> Callable[[str], Answer]:
    """Load a run once; return the function that answers one file.

    Args:
        run_folder: what ``train --run`` wrote.
        face_model: face detector's model file, where it has none inside.
        mesh_model: face mesh's model file, where MediaPipe has none inside.
        abstain_below: the emotion is ``unsure`` where no probability reaches this.
        enrol: folder of unlabelled clips of the speaker, for a run that knows speakers by clips.

    Raises:
        UserError: no such run, an enrolment that does not fit it; and, by the returned function,
            a file that cannot be read.
    """
    loaded = runs.load(run_folder)
    check_enrolment(loaded, enrol)
    from emorec_tf import examples

    task, temperature = loaded.task, loaded.temperature
    if task.rating and abstain_below:
        raise UserError(f"run {run_folder} estimates {task.rating}; drop --abstain_below")
    if temperature is None and not task.rating:
        print(f"note: {run_folder} is not calibrated; evaluate does it", file=sys.stderr)
    model = runs.load_model(loaded.model_file)
    make = examples.maker(loaded.config.features, face_model, mesh_model)
    adapt = adapter(loaded, model, make, enrol)

    def answer(path: str) -> Answer:
        inputs, seen = inputs_of(make, path)
        told = task.answers(np.asarray(model.predict_on_batch(adapt(inputs, None))), temperature)
        return Answer(
            clip=path,
            **(rated(told) if task.rating else named(told[0], task.classes, abstain_below)),
            target=loaded.config.data.target,
            audio_present=seen.audio_present,
            face_present=seen.faces_found > 0,
            face_coverage=round(seen.faces_found / max(seen.frames, 1), 3),
            seconds=round(seen.seconds, 3),
        )

    return answer


def named(shares: np.ndarray, classes: Sequence[str], abstain_below: float) -> dict[str, Any]:
    """Name the most likely class of shares [K], or none."""
    sure = shares.max() >= abstain_below
    return {
        "emotion": classes[int(shares.argmax())] if sure else UNSURE,
        "probabilities": {c: round(float(p), 6) for c, p in zip(classes, shares, strict=True)},
    }


def rated(told: np.ndarray) -> dict[str, Any]:
    """Tell an estimate [1]."""
    return {"emotion": "", "probabilities": {}, "value": round(float(told[0]), 3)}


def check_enrolment(run: runs.Run, folder: str | None) -> None:
    """Refuse to mix the two ways to know a speaker."""
    by_clips = isinstance(run.config.data.enrol, int)
    if by_clips and folder is None:
        raise UserError(
            f"run {run.folder} knows speakers by their clips; give --enrol FOLDER with unlabelled "
            f"clips of the one who speaks"
        )
    if folder is not None and not by_clips:
        raise UserError(
            f"run {run.folder} was trained without --enrol K, so it cannot use {folder}; drop "
            f"--enrol"
        )


def adapter(run: runs.Run, model: keras.Model, make: Maker, folder: str | None) -> Adapt:
    """Make what puts a voice on the scale of training: by the folder's clips, or the clip's own."""
    from emorec_tf import enrolment

    standard = enrolment.standard_of(model)
    if run.config.data.enrol is None or standard is None:
        return lambda inputs, _: inputs
    if folder is None:
        return lambda inputs, _: enrolment.moved(inputs, *enrolment.of_each(inputs), standard)
    voices = []
    for path in found([folder]):
        inputs, _ = inputs_of(make, path)
        voices.append(inputs["audio"][0][inputs["audio_mask"][0] > 0])
    return enrolment.known(enrolment.of_voices(voices), standard)


def inputs_of(make: Maker, path: str) -> tuple[dict[str, np.ndarray], Seen]:
    """Decode a file and give it the shape of a batch of one."""
    example, seen = make(Clip(clip_id=path, speaker="", emotion="", video=path, audio=path))
    inputs = {
        name: array[None].astype("float32" if name.endswith("_mask") else array.dtype)
        for name, array in example.items()
    }
    return inputs, seen


def print_table(rows: Sequence[Answer]) -> None:
    """Print one line a clip: the answer, the next two, and what was there to see and hear."""
    from rich.console import Console
    from rich.table import Table

    table = Table()
    table.add_column("clip", overflow="fold")
    shown = ("probability", "next") if rows[0].value is None else ()
    for column in (rows[0].target, *shown, "sound", "face"):
        table.add_column(column, no_wrap=column != "next")
    for row in rows:
        face = f"{row.face_coverage:.0%} of pictures" if row.face_present else "none"
        sound = "yes" if row.audio_present else "none"
        if row.value is not None:
            table.add_row(row.clip, f"{row.value:.1f}", sound, face)
            continue
        ranked = sorted(row.probabilities.items(), key=lambda item: -item[1])
        others = ", ".join(f"{name} {p:.2f}" for name, p in ranked[1:3])
        if row.emotion == UNSURE:
            others = ", ".join(f"{name} {p:.2f}" for name, p in ranked[:3])
        table.add_row(row.clip, row.emotion, f"{ranked[0][1]:.2f}", others, sound, face)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
