"""The list of what there is."""

from __future__ import annotations

import subprocess
import sys

import pytest

from emorec_tf import zoo
from emorec_tf.config import choices
from emorec_tf.datasets.corpora import DATASETS


def test_everything_is_listed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "240")
    assert zoo.main([]) == 0
    text = capsys.readouterr().out
    for name in (*DATASETS, *(n for kind in choices.TABLES for n in choices.entries(kind))):
        assert name in text
    assert "CC BY-NC-SA 4.0" in text
    assert "audio_weight=None" in text


def test_unknown_flag(capsys):
    with pytest.raises(SystemExit):
        zoo.main(["--datasets"])
    assert capsys.readouterr().err.startswith("error: unknown flag --datasets")


def test_it_needs_no_tensorflow():
    code = (
        "import sys; from emorec_tf import zoo; zoo.main([]);"
        "sys.exit(bool({'tensorflow', 'keras', 'cv2', 'av', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
