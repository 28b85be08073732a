"""What all commands share: flags from dataclasses, output, errors in one line, the verbs."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import importlib
import logging
import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from emorec_tf import __version__
from emorec_tf.config import config
from emorec_tf.config.fields import nearest
from emorec_tf.config.flags import Parser, flag_of, one_spelling, typed
from emorec_tf.errors import UserError
from emorec_tf.storage.ending import STOPPED, Stopped, stopped_by_signals
from emorec_tf.storage.quiet import start_quietly
from emorec_tf.storage.screen import message_of, say, width_of
from emorec_tf.storage.start_notes import quiet_start

Options = TypeVar("Options")

VERBS = {
    "prepare": "decode a corpus once and store its audio features and face crops as TFRecords",
    "train": "train a model on a folder of own clips, on records, or on the built-in demo corpus",
    "finetune": "start from a model: a new head, or a new training, on own labelled clips",
    "evaluate": "score a run on its test speakers, or any model on other clips, with intervals",
    "crossval": "cross-validate: train and score each fold of a protocol, by several random seeds",
    "crosscorpus": "train on each corpus and test on each: a matrix, with intervals over speakers",
    "tune": "search hyperparameters with KerasTuner; the validation speakers decide",
    "report": "write one HTML page about cross-validated runs: scores, plots, model cards",
    "predict": "recognise the emotion in videos, audio files, images or folders of them",
    "serve": "run a web page and an HTTP API for a model on this machine",
    "ship": "package a model for others: weights, card, licence and checksums in one folder",
    "export": "convert a model to SavedModel, LiteRT or ONNX and compare it with the original",
    "inputs": "write the arrays that an exported model takes for a clip",
    "audit": "check a split file for speakers or clips that are in more than one subset",
    "zoo": "list what the zoo offers: models, datasets, branches, fusions, classifiers",
}
EXAMPLES = {
    "prepare": "--dataset ravdess --source data/ravdess --records records/ravdess",
    "train": "--records records/ravdess --fusion concat --epochs 30 --run runs/ravdess-concat",
    "finetune": "--from general-av --source clips --run runs/mine",
    "evaluate": "--run runs/ravdess-concat",
    "crossval": "--records records/ravdess --protocol ravdess/contiguous6 --run runs/cv-concat",
    "crosscorpus": "--records records/ravdess,records/emodb --fusion audio_only --run runs/matrix",
    "tune": "--records records/ravdess --trials 20 --out runs/tuned-ravdess",
    "report": "--run runs/cv-concat runs/cv-gated --out report.html",
    "predict": "interview.mp4 --timeline interview.png",
    "serve": "--run ravdess-av --port 8080",
    "ship": "--run runs/ravdess-concat --out saved_models/my-model",
    "export": "--run ravdess-av --format litert,onnx --out exported",
    "inputs": "clip.mp4 --run ravdess-av --out clip.npz",
    "audit": "splits.csv",
    "zoo": "",
}

COMPARED = (
    "These are set by prepare and read from the records; with --records they are only checked "
    "against them, without it they shape the records of the demo corpus."
)

WIDTH = 80  # most columns of an example
DEFAULTS_SUIT = "The defaults suit most uses."

# What a user can put right: space, rights, and paths that cannot be a folder or a file.
DISK_ERRORS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG),
}


def parse_options(
    argv: Sequence[str] | None,
    verb: str,
    options: type[Options],
    *sections: type,
    config_flag: bool = True,
) -> tuple[Options, dict[str, Any]]:
    """Parse flags into a command's own options, and the settings of ``sections`` that were given.

    Args:
        argv: words of the command line; None: those of this process.
        verb: name of the command.
        options: dataclass of the command's own flags.
        sections: dataclasses of settings.
        config_flag: whether there is a ``--config FILE`` of settings.
    """
    given = parse(argv, verb, options, *sections, config_flag=config_flag)
    own = {flag_of(f): f.name for f in dataclasses.fields(options)}  # type: ignore[arg-type]
    made = options(**{own[flag]: given.pop(flag) for flag in list(given) if flag in own})
    return made, given


def parse(
    argv: Sequence[str] | None, verb: str, *groups: type, config_flag: bool = True
) -> dict[str, Any]:
    """Parse flags into ``{field: value}``, holding only what the user gave.

    Every field of the dataclasses ``groups`` becomes a flag; ``config.fields.option`` says how.
    Precedence: defaults < ``--config`` < flags; keys of a YAML file that belong to other commands
    are checked for spelling, then left out.
    """
    line = f"python -m emorec_tf.{verb}"
    positional = [
        f" [{f.metadata.get('metavar', f.name)} ...]"
        for group in groups
        for f in dataclasses.fields(group)
        if f.metadata.get("positional")
    ]
    parser = Parser(
        prog=line,
        usage=f"{line} [flags]{''.join(positional)}\n\nexample:\n"
        f"{wrapped(f'{line} {EXAMPLES[verb]}')}",
        description=f"{VERBS[verb][:1].upper()}{VERBS[verb][1:]}.",
        allow_abbrev=False,
    )
    if config_flag:
        text = (
            "YAML file of settings, one 'name: value' a line, or a config that zoo lists, by its "
            "name; flags override it"
        )
        parser.add_argument("--config", type=str, metavar="FILE", help=text)
    add_groups(parser, verb, groups)
    words = sys.argv[1:] if argv is None else argv
    known = set(parser.values)
    renamed = {old: new for old, new in config.RENAMED.items() if old not in known}
    if "run" in known and not known & {"model", "fusion"}:  # a command that uses a trained model
        renamed["model"] = "run"
    words = one_spelling(words, renamed, parser.switches())
    given = dict(vars(parser.parse_args(words, defaults=False)))
    path = given.pop("config", None)
    from_file = config.read_yaml(path) if path else {}
    wanted = {k: v for k, v in from_file.items() if k in known}
    return {**typed(parser, wanted, f"config {path}: "), **given}


def wrapped(line: str) -> str:
    """Break a command line before flags where it is too long, as a shell reads it."""
    lines: list[str] = []
    room = min(WIDTH, width_of(sys.stdout)) - len("     \\")
    flags = line.rstrip().replace(" --", "\n--").split("\n")
    parts = [word for flag in flags for word in ([flag] if len(flag) <= room else flag.split(" "))]
    for part in parts:
        if lines and len(lines[-1]) + len(part) <= room + 2:
            lines[-1] += f" {part}"
        else:
            lines.append(f"{'    ' if lines else '  '}{part}")
    return " \\\n".join(lines)


def add_groups(parser: Parser, verb: str, groups: Sequence[type]) -> None:
    """Add all flags: a section of the help for each section of a config, expert ones at the foot.

    What features are is set by prepare; elsewhere all their flags are expert ones.
    """
    late: list[tuple[str, str, list[dataclasses.Field[Any]], type]] = []
    for group in groups:
        compared = group is config.FeaturesConfig and verb != "prepare"
        fields = dataclasses.fields(group)
        rare = [f for f in fields if compared or f.metadata.get("expert")]
        title, about = group.__name__.removesuffix("Config").lower(), _first_line(group)
        own = group not in config.SECTIONS.values()
        section = parser if own or compared else parser.add_argument_group(title, about)
        parser.add(section, [f for f in fields if f not in rare], group)
        if rare:
            title = f"expert {'flags' if own else title}"
            late.append((title, COMPARED if compared else DEFAULTS_SUIT, rare, group))
    for title, about, rare, group in late:
        parser.add(parser.add_argument_group(title, about), rare, group)


def _first_line(group: type) -> str:
    return (group.__doc__ or "").partition("\n")[0].replace("``", "'")


class Console(logging.Handler):
    """Print log records as a command's output: information plainly, warnings to stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record; the streams are looked up now, as they may be redirected."""
        grave = record.levelno >= logging.WARNING
        before = f"{record.levelname.lower()}: " if grave else ""
        text = before + message_of(record)
        print(text, file=sys.stderr if grave else sys.stdout, flush=True)


@contextlib.contextmanager
def console() -> Iterator[None]:
    """Show what the package logs while a command runs; a command within it changes nothing.

    ``EMOREC_LOG=warning`` shows less, ``EMOREC_LOG=debug`` more.

    Raises:
        UserError: an unknown level in ``EMOREC_LOG``.
    """
    package = logging.getLogger("emorec_tf")
    if any(isinstance(handler, Console) for handler in package.handlers):
        yield
        return
    handler, before = Console(), package.level
    level = (os.environ.get("EMOREC_LOG") or "info").upper()
    known = logging.getLevelNamesMapping()
    if level not in known:
        raise UserError(f"EMOREC_LOG is {level.lower()!r}; {nearest(level, known).lower()}")
    package.addHandler(handler)
    package.setLevel(level)
    try:
        yield
    finally:
        package.removeHandler(handler)
        package.setLevel(before)


def guarded(run: Callable[[Sequence[str] | None], int], argv: Sequence[str] | None = None) -> int:
    """Run a command and print what it logs; turn a user's error into one line and exit code 1.

    SIGTERM and Ctrl-C end it with one line and exit code 143 or 130.
    """
    start_quietly()
    try:
        return _guarded(run, argv)
    finally:
        flush()


def flush() -> None:
    """Write out what was printed; quietly where its reader (head, less) has gone."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()


def _drop_output() -> None:
    """Send the rest of the output nowhere, else Python reports it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _guarded(run: Callable[[Sequence[str] | None], int], argv: Sequence[str] | None) -> int:
    try:
        with stopped_by_signals(), console(), quiet_start():
            return run(argv)
    except UserError as error:
        say(f"error: {error}", error=True)
    except KeyboardInterrupt as stop:
        say(STOPPED, error=True)
        return stop.code if isinstance(stop, Stopped) else 130
    except BrokenPipeError:  # the reader has gone; nothing is wrong
        _drop_output()
        return 0
    except SystemExit as left:  # Rich leaves so where the reader has gone
        if isinstance(left.__context__, BrokenPipeError):
            return 0
        raise
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        where = f" writing {error.filename}" if error.filename else ""
        say(f"error:{where} {error.strerror}; nothing finished is lost", error=True)
    return 1


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``emorec VERB ...``."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv and argv[0] in VERBS:
        return importlib.import_module(f"emorec_tf.{argv[0]}").main(argv[1:])
    try:
        return _answer(argv)
    except BrokenPipeError:
        _drop_output()
        return 0
    finally:
        flush()


def _answer(argv: Sequence[str]) -> int:
    """Say which verbs there are, or that one is unknown."""
    if argv and argv[0] == "--version":
        print(f"emorec_tf {__version__}")
        return 0
    if argv and argv[0] not in {"-h", "--help"}:
        say(f"error: unknown verb {argv[0]!r}; {nearest(argv[0], VERBS)}", error=True)
        return 2
    print(f"emorec_tf {__version__}: emotion recognition from speech and face\n")
    print("usage: emorec VERB [flags]\n       emorec VERB --help\n")
    for verb, line in VERBS.items():
        lines = textwrap.wrap(line, width_of(sys.stdout) - 14, break_long_words=False)
        print(f"  {verb:11s} " + f"\n{' ' * 14}".join(lines))
    print(f"\nexample:\n{wrapped('emorec predict ' + EXAMPLES['predict'])}")
    return 0
