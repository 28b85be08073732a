"""Command: clips, videos of any length, audio and images to named probabilities."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from emorec_tf.cli import guarded, parse_options
from emorec_tf.config.fields import check
from emorec_tf.datasets.discovery import found
from emorec_tf.errors import SetupError, UserError
from emorec_tf.inference import answer_file, answer_table, timeline
from emorec_tf.inference.answer_rows import Layout
from emorec_tf.inference.options import PredictOptions
from emorec_tf.storage import progress
from emorec_tf.storage.ending import Stopped
from emorec_tf.storage.screen import console, printable, say
from emorec_tf.training import model_store

if TYPE_CHECKING:
    from emorec_tf.inference.answers import MediaAnswer


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
        check(options.out is None, "out", options.out, "left out with --live, which has --json")
        return live(run_folder, options.live, options)
    paths = found(options.clips)
    if options.timeline:
        check(options.windows != "off", "windows", options.windows, "auto or on with --timeline")
        timeline.check_place(options.timeline, paths)
    if options.out:
        answer_file.check_place(options.out, paths)
    model = options.model(run_folder)
    from emorec_tf.inference.media_answer import Settings, answer_media

    windows = "on" if options.timeline else options.windows
    settings = Settings(
        options.window_hop_seconds, windows, options.speech_check, people=options.people
    )
    layout = Layout.of(model)
    return answer_all(paths, lambda path: answer_media(model, path, settings), options, layout)


def answer_all(
    paths: Sequence[str],
    answer: Callable[[str], MediaAnswer],
    options: PredictOptions,
    layout: Layout,
) -> int:
    """Answer files one by one; returns the exit status."""
    failures = 0
    answers = []
    with (
        answer_file.kept(options.out, layout, len(paths)) as keep,
        progress.over(paths, "predicting") as queue,
    ):
        for path in queue:
            try:
                found_out = answer(path)
            except SetupError:
                raise
            except UserError as error:
                say(f"error: {error}", error=True)
                failures += 1
                continue
            answers.append(found_out.answer)
            keep(found_out.answer)
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
    if answers and options.out:
        say(f"written: {options.out}", error=options.json)
    if len(answers) < len(paths) and len(paths) > 1:  # of one file the error says it all
        missing = len(paths) - len(answers)
        say(f"error: {missing} of {len(paths)} files could not be predicted", error=True)
    return int(failures > 0)


def live(run_folder: str, source: str, options: PredictOptions) -> int:
    """Print the answers to a camera or a video that is played, until it ends or Ctrl-C."""
    model = options.model(run_folder)
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
