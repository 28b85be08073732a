"""Start-up notes of C++ are left out, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from emorec_tf.storage.start_notes import DRIVER

LINES = {
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR": False,
    "I0000 00:00:1752 12 port.cc:153] oneDNN custom operations are on": False,
    "W0000 00:00:1752 12 gpu_device.cc:2344] Cannot dlopen some GPU libraries": False,
    "E0000 00:00:1752 12 cuda_dnn.cc:8579] Unable to register cuDNN factory: Attempting": False,
    "E0000 00:00:1752.08 12 cuda_platform.cc:52] failed call to cuInit: INTERNAL": DRIVER.exists(),
    "E0000 00:00:1752 12 cuda.cc:1] the driver is broken": True,
    "F0000 00:00:1752 12 cpu.cc:1] compiled to use AVX": True,
    "ImportWarning: something else": True,
}


def run(folder: Path, module: str) -> subprocess.CompletedProcess[str]:
    (folder / "noisy.py").write_text(module)
    code = (
        "import sys\n"
        "from emorec_tf.storage.start_notes import quiet_start\n"
        "with quiet_start('noisy'):\n"
        "    try: import noisy\n"
        "    except ImportError as error: print(error)\n"
        "    print('I0000 00:00:1 after', file=sys.stderr)\n"
        "    assert not any(type(f).__name__ == '_Finder' for f in sys.meta_path)\n"
    )
    known = os.pathsep.join([str(folder), *sys.path])
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": known},
    )


@pytest.mark.parametrize("end", ["", "raise ImportError('no such library')"])
def test_notes_are_left_out_during_the_import_only(end: str, tmp_path: Path) -> None:
    text = "".join(f"{line}\n" for line in LINES)
    done = run(tmp_path, f"import os\nos.write(2, {text.encode()!r})\n{end}\n")
    assert done.returncode == 0, done.stderr
    shown = [line for line, wanted in LINES.items() if wanted]
    assert done.stderr.splitlines() == [*shown, "I0000 00:00:1 after"]
    assert ("no such library" in done.stdout) == bool(end)


def test_a_crash_is_reported(tmp_path: Path) -> None:
    done = run(tmp_path, "import os\nos.abort()\n")
    assert done.returncode == -6
    assert "Fatal Python error: Aborted" in done.stderr
    assert "noisy.py" in done.stderr
