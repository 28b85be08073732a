"""Where what can be made again is kept: models, decoded clips, the demo corpus."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "EMOREC_CACHE"


def cache_folder(*parts: str) -> Path:
    """A place below $EMOREC_CACHE, or below ~/.cache/emorec_tf where that is not set."""
    root = os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "emorec_tf"
    return Path(root, *parts)
