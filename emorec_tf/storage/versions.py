"""Versions of Python and of packages, for the records of a run."""

from __future__ import annotations

import contextlib
import platform
import sys
from importlib import metadata


def versions(*names: str) -> dict[str, str]:
    """Return {name: version} in the order given; packages that are not installed are left out.

    Args:
        names: ``python``, importable modules or installed distributions. A module that is loaded
            gives its own ``__version__``, others the version that they were installed as.
    """
    found = {}
    for name in names:
        loaded = getattr(sys.modules.get(name), "__version__", None)
        if name == "python":
            found[name] = platform.python_version()
        elif isinstance(loaded, str):
            found[name] = loaded
        else:
            with contextlib.suppress(metadata.PackageNotFoundError):
                found[name] = metadata.version(name)
    return found
