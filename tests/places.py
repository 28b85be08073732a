"""Paths of the repository and of the real clips."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Real corpora and model files, for tests marked such as @pytest.mark.data("ravdess/clips")
DATA = Path(os.environ.get("EMOREC_DATA") or ROOT.parent / "shared")
