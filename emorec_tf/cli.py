"""What all commands share: flags from dataclasses, errors in one line, the ``emorec`` verbs."""

from __future__ import annotations

import dataclasses
import errno
import importlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from emorec_tf import __version__
from emorec_tf.config import config
from emorec_tf.config.fields import nearest
from emorec_tf.config.flags import Parser, add_fields
from emorec_tf.errors import UserError

VERBS = {
    "prepare": "decode a corpus once: clips in, TFRecords of log-mel and face crops out",
    "train": "train a model on records; without records, on the built-in demo corpus",
    "evaluate": "score a run on its test speakers, with intervals over speakers",
    "crossval": "train and score all folds of a protocol, by several seeds",
    "tune": "search settings and knobs with KerasTuner, judged on validation speakers",
    "report": "make one page of cross-validated runs, with pictures, tables and model cards",
    "predict": "name the emotion in clips or folders of clips",
    "serve": "a web page and an HTTP API for a run, on this machine",
    "ship": "pack a run for others: weights, card, licence and checksums in one folder",
    "export": "write a run to files that other programs load, compared with the run",
    "audit": "find leaks in a split file, anyone's",
    "zoo": "list the datasets, branches and fusions there are",
}

# TensorFlow's and MediaPipe's notes on start-up; errors still show. Set before they are imported.
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2", "GLOG_minloglevel": "2", "TF_ENABLE_ONEDNN_OPTS": "1"}


def parse(
    argv: Sequence[str] | None, verb: str, *groups: type, config_flag: bool = True
) -> dict[str, Any]:
    """Parse flags into ``{field: value}``, holding only what the user gave.

    Every field of the dataclasses ``groups`` becomes a flag (or, with ``positional=True`` in its
    metadata, a list of positional arguments; with ``several=True``, a flag that takes a list).
    Precedence: defaults < ``--config`` < flags; keys of a YAML file that belong to other commands
    are checked for spelling, then left out.
    """
    parser = Parser(
        prog=f"python -m emorec_tf.{verb}",
        description=f"emorec {verb}: {VERBS[verb]}.",
        allow_abbrev=False,
    )
    if config_flag:
        parser.add_argument("--config", type=str, help="YAML file of settings; flags override it")
    for group in groups:
        section = parser.add_argument_group(
            group.__name__.removesuffix("Config").removesuffix("Options").lower(),
        )
        add_fields(section, group)
    words = [_renamed(word) for word in (sys.argv[1:] if argv is None else argv)]
    given = dict(vars(parser.parse_args(words, defaults=False)))
    path = given.pop("config", None)
    from_file = config.read_yaml(path) if path else {}
    known = {f.name for group in groups for f in dataclasses.fields(group)}
    wanted = {k: v for k, v in from_file.items() if k in known}
    checked = vars(parser.parse_object(wanted, defaults=False)) if wanted else {}
    return {**{k: checked[k] for k in wanted}, **given}


def _renamed(word: str) -> str:
    """Give a flag of an older version the name it has now."""
    flag, equals, value = word.partition("=")
    new = config.RENAMED.get(flag.removeprefix("--")) if flag.startswith("--") else None
    return f"--{new}{equals}{value}" if new else word


class _Messages(logging.Handler):
    """Prints the library's messages plainly: warnings to standard error, the rest to output."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message to the stream that is the current one."""
        stream = sys.stderr if record.levelno >= logging.WARNING else sys.stdout
        print(self.format(record), file=stream, flush=True)


def show_messages() -> None:
    """Let the library's log messages be seen, once for this process."""
    log = logging.getLogger("emorec_tf")
    log.setLevel(logging.INFO)
    if not any(isinstance(handler, _Messages) for handler in log.handlers):
        log.addHandler(_Messages())


def guarded(run: Callable[[Sequence[str] | None], int], argv: Sequence[str] | None = None) -> int:
    """Run a command; turn what the user can mend into one line and a non-zero exit code."""
    for name, level in QUIET.items():
        os.environ.setdefault(name, level)
    # its advice on retracing is for programmers; models of several kinds in one process cause it
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    show_messages()
    try:
        return run(argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("stopped; what was finished is kept, the same command goes on", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader (head, less) has gone; nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT}:
            raise
        where = f" writing {error.filename}" if error.filename else ""
        print(f"error:{where} {error.strerror}; nothing finished is lost", file=sys.stderr)
    return 1


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``emorec VERB ...``."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv and argv[0] in VERBS:
        return importlib.import_module(f"emorec_tf.{argv[0]}").main(argv[1:])
    if argv and argv[0] == "--version":
        print(f"emorec_tf {__version__}")
        return 0
    if argv and argv[0] not in {"-h", "--help"}:
        print(f"error: unknown verb {argv[0]!r}; {nearest(argv[0], VERBS)}", file=sys.stderr)
        return 2
    print(f"emorec_tf {__version__}\nusage: emorec VERB [flags]; emorec VERB --help\n")
    for verb, line in VERBS.items():
        print(f"  {verb:10s} {line}")
    return 0
