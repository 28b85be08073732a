"""Command: a run to scores on its test speakers, or any model to scores on other clips."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from emorec_tf.cli import guarded, parse_options
from emorec_tf.config.fields import ROBUSTNESS, check, option
from emorec_tf.errors import UserError
from emorec_tf.evaluation import score_run, summary
from emorec_tf.inference import clip_scores
from emorec_tf.storage.screen import say, show
from emorec_tf.training import model_store, run_dir


@dataclass(frozen=True)
class EvaluateOptions:
    """Which run, on which clips."""

    run: str | None = option(None, "folder of a run, or name of a packaged model (required)")
    records: str | None = option(
        None, "folder of the records, if they were moved (default: where they were at training)"
    )
    adapt: int | None = option(
        None,
        "adapt the run by N unlabelled clips of each test speaker, which are not scored; the files "
        "go to adapted-N, or adapted-N-corpus, in the run's folder (default: as the run was "
        "trained)",
    )
    adapt_by: Literal["speaker", "corpus"] = option(
        "speaker", "what the N clips of --adapt have in common, as in train --help", expert=True
    )
    source: str | None = option(
        None,
        "folder of the corpus, to corrupt the test clips' waveforms too: telephone, reverberation, "
        "MP3, Opus (default: corruptions of the records alone); with --out, or of a packaged "
        "model: folder of labelled clips to score it on",
    )
    out: str | None = option(
        None,
        "folder to write; the model is then scored on all clips of --records or --source, not on "
        "its own test speakers (default, of packaged models: evaluations/NAME-SOURCE)",
    )
    dataset: str | None = option(
        None,
        "with --out: how --source is read, a corpus that zoo lists (default: recognised by the "
        "names of its files)",
    )
    label_map: str | None = option(
        None,
        "with --out: pairs old=new that turn labels of the clips into classes of the model; old= "
        "leaves clips out",
        metavar="PAIRS",
    )
    recalibrate: bool = option(
        False,
        "with --out: fit a temperature to these clips, and write it to recalibration.json there; "
        "the model stays as it is",
    )
    robustness: bool = option(True, ROBUSTNESS)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Score the run, write its files, print the table."""
    options, _ = parse_options(argv, "evaluate", EvaluateOptions, config_flag=False)
    if options.run is None:
        raise UserError("evaluate needs --run, a folder that train wrote or a model's name")
    loaded = run_dir.load(model_store.found_or(options.run))
    check(options.adapt is None or options.adapt >= 1, "adapt", options.adapt, "at least 1")
    if options.adapt is None and options.adapt_by != "speaker":
        raise UserError("--adapt_by says what the clips of --adapt have in common; add --adapt N")
    asked = options.out, options.dataset, options.label_map, options.recalibrate
    if clip_scores.on_other_clips(loaded, *asked):
        on_other_clips(loaded, options)
        return 0
    metrics = score_run.evaluate(
        loaded,
        options.records,
        source=options.source,
        adapt=options.adapt,
        adapt_by=options.adapt_by,
        robustness=options.robustness,
    )
    folder = loaded.folder
    if options.adapt is not None:
        folder = score_run.adapted_folder(loaded, options.adapt, options.adapt_by)
    print_table(metrics, loaded, folder)
    return 0


def on_other_clips(loaded: run_dir.Run, options: EvaluateOptions) -> None:
    """Score a model on all clips of records or of a folder, and print the table."""
    if options.adapt is not None:
        raise UserError("--adapt is for a run with test speakers of its own; drop it")
    found = clip_scores.score(
        loaded,
        options.records,
        options.source,
        options.dataset,
        label_map=options.label_map,
        out=options.out,
        recalibrate=options.recalibrate,
        show_progress=True,
    )
    title, rows = summary.other_clips(found)
    show(("score", "value"), rows, title, header=False)
    say(f"written: {found['folder']}/{', '.join(found['files'])}")


def print_table(metrics: dict[str, Any], loaded: run_dir.Run, folder: Path) -> None:
    """Print scores and recalls, and where the files are."""
    speakers = f"{summary.speaker_mode(metrics)}, {summary.tested_on(metrics)}"
    rows = summary.score_rows(metrics)
    if loaded.classes:
        before = f"without {metrics['ece_before']:.3f}"
        scaling = f"at temperature {metrics['temperature']:.2f}; {before}"
        rows.append(("calibration error", f"{metrics['ece']:.3f} ({scaling})"))
    show(("score", "value"), rows, f"{loaded.folder}: {speakers}", header=False)
    names = ["metrics.json", "predictions.csv", "robustness.csv", f"{loaded.task.plot_name}.png"]
    say(f"written: {folder}/{', '.join(n for n in names if (folder / n).exists())}")


if __name__ == "__main__":
    sys.exit(main())
