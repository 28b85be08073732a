"""TensorFlow's notes on start-up, which no setting silences, are left out; errors still show."""

from __future__ import annotations

import contextlib
import faulthandler
import importlib.abc
import importlib.util
import os
import re
import sys
import types
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path

from emorec_tf.storage.quiet import quiet, start_quietly

# written by C++ before its logging is set up: information, warnings, and an error that means
# nothing but that two parts of CUDA registered themselves
NOTE = re.compile(
    r"WARNING: All log messages before absl::InitializeLog|[IW]0000 00:00:|"
    r"E0000 00:00:.*Unable to register cu\w+ factory"
)
NO_GPU = re.compile(r"E0000 00:00:.*failed call to cuInit")  # says nothing where there is none
DRIVER = Path("/proc/driver/nvidia")


@contextlib.contextmanager
def quiet_start(module: str = "tensorflow") -> Iterator[None]:
    """Leave notes out while ``module`` is imported, whoever imports it first."""
    if module in sys.modules:
        yield
        return
    finder = _Finder(module)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)


def leave_notes_out(module: str = "tensorflow") -> None:
    """Leave notes out when ``module`` is first imported in this process, if it is not yet."""
    start_quietly()
    if module not in sys.modules and not any(isinstance(f, _Finder) for f in sys.meta_path):
        sys.meta_path.insert(0, _Finder(module))


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one module, once, and has it loaded without its notes."""

    def __init__(self, module: str) -> None:
        self.module = module

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the module as Python does."""
        if name != self.module or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_quietly(module: types.ModuleType) -> None:
                with notes_left_out():
                    load(module)
                    _look_for_devices(module)

            spec.loader.exec_module = load_quietly  # type: ignore[method-assign]
        return spec


def _look_for_devices(module: types.ModuleType) -> None:
    """List the devices now, which nothing is lost by: the notes on them are left out, too."""
    if hasattr(module, "config") and hasattr(module.config, "list_physical_devices"):
        module.config.list_physical_devices()


@contextlib.contextmanager
def notes_left_out() -> Iterator[None]:
    """Hold standard error back, C++ included, and write all but the notes at the end.

    If the process crashes meanwhile, Python says where.
    """
    text = ""
    try:
        with _crashes_shown(), quiet(stdout=False) as held_back:
            try:
                yield
            finally:
                text = held_back()
    finally:
        for line in text.splitlines(keepends=True):
            if not (NOTE.match(line) or (NO_GPU.match(line) and not DRIVER.exists())):
                sys.stderr.write(line)
        sys.stderr.flush()


@contextlib.contextmanager
def _crashes_shown() -> Iterator[None]:
    """Report a crash on the real standard error, unless something reports them already."""
    if faulthandler.is_enabled():
        yield
        return
    try:
        shown = os.dup(2)  # quiet redirects the descriptor itself
    except OSError:
        yield
        return
    faulthandler.enable(shown, all_threads=False)
    try:
        yield
    finally:
        faulthandler.disable()
        os.close(shown)
