"""The lock files: plain pip installs what they name, not only the tool that wrote them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from places import ROOT

PIP = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "-q"]
PIP += ["--disable-pip-version-check"]


def resolved(*what: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PIP, *what], capture_output=True, text=True, cwd=ROOT)


@pytest.mark.slow
def test_pip_resolves_the_lock_file() -> None:
    if resolved("--no-deps", "--retries=0", "--timeout=15", "pip").returncode:
        pytest.skip("no package index can be reached")
    found = resolved("-r", "requirements.lock")
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("name", ["requirements", "requirements-test", "requirements-newest"])
def test_every_package_is_pinned_once(name: str) -> None:
    lines = (ROOT / f"{name}.lock").read_text(encoding="utf-8").splitlines()
    names = [line.split("==")[0] for line in lines]
    assert all(line.count("==") == 1 for line in lines)
    assert len(set(names)) == len(names)
