"""Command: clips, videos of any length, audio and images to named probabilities."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from emorec_tf.cli import guarded, parse_options
from emorec_tf.config.fields import check, option
from emorec_tf.datasets.discovery import found
from emorec_tf.errors import SetupError, UserError
from emorec_tf.inference import answer_table, timeline
from emorec_tf.inference.options import ModelOptions
from emorec_tf.storage.ending import Stopped
from emorec_tf.storage.screen import console, printable, say
from emorec_tf.training import model_store

if TYPE_CHECKING:
    from emorec_tf.inference.answers import MediaAnswer


@dataclass(frozen=True)
class PredictOptions(ModelOptions):
    """Which clips, by which run, shown how."""

    clips: tuple[str, ...] = option(
        (),
        "videos, audio files, images, or folders that are searched for them",
        positional=True,
        metavar="CLIP",
    )
    json: bool = option(False, "print one JSON object per file instead of a table")
    top: int = option(3, "how many of the most likely emotions the table shows")
    timeline: str | None = option(
        None,
        "draw the emotions of one video over time, per person, to this .png file; a .csv and a "
        ".json file are written beside it; each of their steps is the mean of the windows that "
        "overlap there, while the table shows each window alone (default: none)",
    )
    windows: Literal["auto", "on", "off"] = option(
        "auto",
        "analyse window by window and person by person; auto: if a video is longer than two "
        "windows; off: always take the middle of the video as one clip",
    )
    live: str | None = option(
        None,
        "predict twice a second on a camera (its number, such as 0) or on a video file that is "
        "played in real time (default: none)",
        metavar="SOURCE",
    )
    abstain_below: float = option(
        0.0, "answer 'unsure' where the highest probability is below this, from 0 to 1", expert=True
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Answer every file that can be read; name the others and exit with 1 at the end."""
    options, _ = parse_options(argv, "predict", PredictOptions, config_flag=False)
    run_folder = model_store.chosen(options.run, "predict")
    check(0 <= options.abstain_below <= 1, "abstain_below", options.abstain_below, "0 to 1")
    check(options.top >= 1, "top", options.top, "1 or more")
    if options.live is not None:
        check(not options.clips, "clips", options.clips, "none with --live")
        check(options.people == "main", "people", options.people, "main with --live")
        return live(run_folder, options.live, options)
    paths = found(options.clips)
    if options.timeline:
        check(options.windows != "off", "windows", options.windows, "auto or on with --timeline")
        timeline.check_place(options.timeline, paths)
    model = options.load(run_folder, options.abstain_below)
    from emorec_tf.inference.media_answer import Settings, answer_media

    windows = "on" if options.timeline else options.windows
    settings = Settings(
        options.window_hop_seconds, windows, options.speech_check, people=options.people
    )
    return answer_all(paths, lambda path: answer_media(model, path, settings), options)


def answer_all(
    paths: Sequence[str], answer: Callable[[str], MediaAnswer], options: PredictOptions
) -> int:
    """Answer files one by one; returns the exit status."""
    failures = 0
    answers = []
    for path in paths:
        try:
            found_out = answer(path)
        except SetupError:
            raise
        except UserError as error:
            say(f"error: {error}", error=True)
            failures += 1
            continue
        answers.append(found_out.answer)
        if options.timeline:
            timeline.write(options.timeline, found_out)
        if options.json:
            print(json.dumps(found_out.answer), flush=True)
        if found_out.problem:
            say(f"error: {found_out.problem}", error=True)
            failures += 1
    if answers and not options.json:
        answer_table.show(answers, options.top, console())
    if answers and options.timeline:
        say(timeline.written(options.timeline), error=options.json)
    if len(answers) < len(paths) and len(paths) > 1:  # of one file the error says it all
        missing = len(paths) - len(answers)
        say(f"error: {missing} of {len(paths)} files could not be predicted", error=True)
    return int(failures > 0)


def live(run_folder: str, source: str, options: PredictOptions) -> int:
    """Print the answers to a camera or a video that is played, until it ends or Ctrl-C."""
    model = options.load(run_folder, options.abstain_below)
    from emorec_tf.inference.live_table import LiveTable

    table = LiveTable(model, source, options.json, options.top)
    try:
        for line in table.lines():
            print(line if options.json else printable(line), flush=True)
    except Stopped:
        raise
    except KeyboardInterrupt:
        print(file=sys.stderr)
    say(table.cost(), error=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
