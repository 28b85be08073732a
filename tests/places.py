"""Where the repository and the real clips are."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# a folder with ravdess/, emodb/, models/ ...; tests that need it are marked ``data`` and skip
DATA = Path(os.environ.get("EMOREC_DATA") or ROOT.parent / "shared")
