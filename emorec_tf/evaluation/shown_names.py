"""What stored names are called where they are shown; the names in the files stay as they are."""

from __future__ import annotations

MODALITIES = {  # by the value in coverage.csv
    "voice and face": "audio and face",
    "voice, no face": "audio, no face",
    "face, no voice": "face, no audio",
}
CORRUPTIONS = {"no voice": "no audio", "dark": "low light"}  # by the value in robustness.csv


def modality(stored: str) -> str:
    """Name the modalities that clips have."""
    return MODALITIES.get(stored, stored)


def corruption(stored: str) -> str:
    """Name a condition of the robustness table."""
    return CORRUPTIONS.get(stored, stored)
