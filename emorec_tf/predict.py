"""Command: clips, films of any length, sounds and pictures to named probabilities."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from emorec_tf.cli import guarded, parse
from emorec_tf.config.fields import check, option
from emorec_tf.datasets.discovery import found
from emorec_tf.errors import SetupError, UserError
from emorec_tf.inference import model_store, timeline
from emorec_tf.inference.predictor import (
    Answer,
    adapter,
    check_enrolment,
    inputs_of,
    opened,
    predictor,
)
from emorec_tf.inference.windows import UNSURE

if TYPE_CHECKING:
    from emorec_tf.inference.long_media import FilmAnswer

__all__ = [
    "Answer",
    "PredictOptions",
    "adapter",
    "check_enrolment",
    "film_answer",
    "film_predictor",
    "found",
    "inputs_of",
    "main",
    "predictor",
]

NOTHING = "nothing to see or hear"


@dataclass(frozen=True)
class PredictOptions:
    """Which clips, by which run, shown how."""

    clips: tuple[str, ...] = option(
        (), "films, sounds, pictures, or folders that are searched", positional=True
    )
    run: str | None = option(
        None, f"run directory that train wrote, or a model's name; none: {model_store.DEFAULT}"
    )
    json: bool = option(False, "one JSON object a line instead of a table")
    top: int = option(3, "so many of the most likely in the table")
    timeline: str | None = option(
        None, "png to draw one film over time, each person in view; csv and json go beside it"
    )
    windows: Literal["auto", "on", "off"] = option(
        "auto",
        "window by window, person by person; auto: films of more than two windows, of others the "
        "middle is one clip; off: the middle of any film",
    )
    window_hop_seconds: float | None = option(
        None, "step from window to window, in seconds; none: half a window"
    )
    speech_check: Literal["on", "off"] = option(
        "on", "leave the voice out where a check hears no speech"
    )
    device: Literal["auto", "cpu", "gpu"] = option(
        "auto", "what the network runs on; auto: a GPU if TensorFlow sees one"
    )
    face_model: str | None = option(None, "face detector's model file, where it has none inside")
    mesh_model: str | None = option(None, "face mesh's model file, where MediaPipe has none inside")
    live: str | None = option(
        None, "answer every half second: a camera's number (0), or a film played at its own speed"
    )
    abstain_below: float = option(0.0, "answer unsure where no probability reaches this")
    enrol: str | None = option(
        None,
        "folder of unlabelled clips of the one speaker, for a run that was trained with --enrol",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Answer every file that can be read; name the others and exit with 1 at the end."""
    given = parse(argv, "predict", PredictOptions, config_flag=False)
    options = PredictOptions(
        **{f.name: given[f.name] for f in fields(PredictOptions) if f.name in given}
    )
    run_folder = model_store.chosen(options.run, "predict")
    check(0 <= options.abstain_below <= 1, "abstain_below", options.abstain_below, "0 to 1")
    check(options.top >= 1, "top", options.top, "1 or more")
    if options.live is not None:
        check(not options.clips, "clips", options.clips, "none with --live")
        use(options.device)
        from emorec_tf.inference import live_table as live

        models = options.face_model, options.mesh_model
        ready = opened(run_folder, *models, options.abstain_below, options.enrol)
        return live.show(ready, options.live, options.json, options.top)
    paths = found(options.clips)
    if options.timeline:
        check(options.windows != "off", "windows", options.windows, "auto or on with --timeline")
        timeline.check_place(options.timeline, paths)
    use(options.device)
    answer = film_predictor(
        run_folder,
        options.face_model,
        options.mesh_model,
        abstain_below=options.abstain_below,
        enrol=options.enrol,
        windows="on" if options.timeline else options.windows,
        hop_seconds=options.window_hop_seconds,
        speech_check=options.speech_check == "on",
    )
    return answered(paths, answer, options)


def answered(
    paths: Sequence[str], answer: Callable[[str], FilmAnswer], options: PredictOptions
) -> int:
    """Answer files one by one; returns the exit status."""
    failures = 0
    rows: list[dict[str, Any]] = []
    for path in paths:
        try:
            found_out = answer(path)
        except SetupError:
            raise
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            failures += 1
            continue
        rows.append(found_out.told)
        if options.timeline:
            timeline.write(
                options.timeline, found_out.told, found_out.timeline, found_out.portraits
            )
        if options.json:
            print(json.dumps(rows[-1]), flush=True)
        if found_out.problem:
            print(f"error: {found_out.problem}", file=sys.stderr)
            failures += 1
    if rows and not options.json:
        print_tables(rows, options.top)
    missing = len(paths) - len(rows)
    if missing:
        print(f"error: {missing} of {len(paths)} files gave no answer", file=sys.stderr)
    return int(failures > 0)


def film_predictor(
    run_folder: str,
    face_model: str | None = None,
    mesh_model: str | None = None,
    abstain_below: float = 0.0,
    enrol: str | None = None,
    *,
    windows: Literal["auto", "on", "off"] = "auto",
    hop_seconds: float | None = None,
    speech_check: bool = True,
) -> Callable[[str], FilmAnswer]:
    """Load a run once; return the function that answers one file of any length.

    Args:
        run_folder: what ``train --run`` wrote.
        face_model: face detector's model file, where it has none inside.
        mesh_model: face mesh's model file, where MediaPipe has none inside.
        abstain_below: the emotion is ``unsure`` where no probability reaches this.
        enrol: folder of unlabelled clips of the speaker, for a run that knows speakers by clips.
        windows: auto (films of more than two windows), on or off.
        hop_seconds: step from window to window; none: half a window.
        speech_check: leave the voice out where no speech is heard.

    Raises:
        UserError: no such run, settings that do not fit it; and, by the returned function, a file
            that cannot be read.
    """
    ready = opened(run_folder, face_model, mesh_model, abstain_below, enrol)
    from emorec_tf.inference import long_media
    from emorec_tf.inference.windows import hop_of

    hop_of(ready.run.config.features.clip_seconds, hop_seconds)
    settings = long_media.Settings(hop_seconds, windows, speech_check)
    return lambda path: long_media.film_answer(ready, path, settings)


def film_answer(run_folder: str, path: str, **options: Any) -> dict[str, Any]:
    """Answer one file by a run: the object that ``--json`` prints.

    Who answers many files makes one ``film_predictor`` and asks it for each one's ``told``.

    Args:
        run_folder: what ``train --run`` wrote.
        path: film, sound or picture.
        options: those of ``film_predictor``.

    Raises:
        UserError: no such run, settings that do not fit it, a file that cannot be read.
    """
    return film_predictor(run_folder, **options)(path).told


def use(device: str) -> None:
    """Choose what TensorFlow may run on; before it has run anything.

    Raises:
        SetupError: a GPU is asked for, and there is none.
    """
    if device == "auto":
        return
    from emorec_tf.inference.predictor import import_quickly

    import_quickly()
    import tensorflow as tf

    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
    elif not tf.config.list_physical_devices("GPU"):
        raise SetupError(
            "--device gpu: TensorFlow sees no GPU here; use --device cpu, or install "
            "'emorec-tf[gpu]' where there is one"
        )


def print_tables(told: Sequence[dict[str, Any]], top: int) -> None:
    """Print a table of the clips, and one of each film that was answered window by window."""
    from rich.console import Console
    from rich.table import Table

    target, rated = told[0].get("target", "emotion"), "value" in told[0]
    how = [] if rated else ["probability", "next"]
    table = Table()
    table.add_column("clip", overflow="fold")
    add_columns(table, [target, *how, "sound", "face"])
    for row in (row for row in told if "windows" not in row):
        table.add_row(row["clip"], *answer_of(row, top, rated), *there(row))
    if table.rows:
        Console().print(table)
    for film in (row for row in told if "windows" in row):
        table = Table(title=film["clip"], title_justify="left")
        add_columns(table, ["from", "person", target, *how, "sound", "face"])
        for row in film["windows"]:
            who = [timeline.clock(row["start_seconds"]), str(row["person"] or "none")]
            table.add_row(*who, *answer_of(row, top, rated), *there(row))
        Console().print(table)


def add_columns(table: Any, names: Sequence[str]) -> None:
    """Add columns of which only that of the next likely ones is broken into lines."""
    for name in names:
        table.add_column(name, no_wrap=name != "next")


def answer_of(line: dict[str, Any], top: int, rated: bool) -> list[str]:
    """The answer, how likely it is, and the next likely ones."""
    if rated:
        return [NOTHING if line["value"] is None else f"{line['value']:.1f}"]
    ranked = sorted(line["probabilities"].items(), key=lambda item: -item[1])
    if not ranked:
        return [NOTHING, "", ""]
    first = 0 if line["emotion"] == UNSURE else 1
    others = ", ".join(f"{name} {p:.2f}" for name, p in ranked[first:top])
    return [line["emotion"], f"{ranked[0][1]:.2f}", others]


def there(line: dict[str, Any]) -> list[str]:
    """What there was to hear and to see."""
    sound = "yes" if line["audio_present"] else "none"
    if line["audio_present"] and line.get("speech") is False:
        sound = "no speech"
    of = "" if "person" in line else " of pictures"
    return [sound, f"{line['face_coverage']:.0%}{of}" if line["face_present"] else "none"]


if __name__ == "__main__":
    sys.exit(main())
