"""Cache folder for what can be made again: downloaded models, decoded clips, the demo corpus."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "EMOREC_CACHE"


def cache_folder(*parts: str) -> Path:
    """Path below $EMOREC_CACHE; where that is not set, below the user's cache folder.

    On Linux that is ``$XDG_CACHE_HOME/emorec_tf``, by default ``~/.cache/emorec_tf``.
    """
    root = os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_path("emorec_tf", False)
    return Path(root, *parts)
