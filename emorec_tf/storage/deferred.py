"""Packages that take seconds to import, for names in annotations alone."""

from __future__ import annotations

import importlib
from typing import Any


class Deferred:
    """Stands for a package, which is imported when something is taken from it.

    So ``typing.get_type_hints`` finds ``keras.Model`` in a module that does not import Keras.
    """

    def __init__(self, name: str) -> None:
        """Note the name of the package."""
        self._name = name

    def __getattr__(self, name: str) -> Any:
        """Import the package and return what it has by this name."""
        return getattr(importlib.import_module(self._name), name)
