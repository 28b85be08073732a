"""Output of foreign code is captured, whichever way it prints."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from emorec_tf.errors import UserError
from emorec_tf.storage.quiet import last_line, quiet, quietly


def shout() -> None:
    print("python")
    print("python, error", file=sys.stderr)
    os.write(2, b"C++\n")
    os.write(1, b"C++, out\n")
    os.system("echo a program of its own")
    warnings.warn("a warning", stacklevel=1)


def test_output_is_captured_and_streams_are_restored(capfd: pytest.CaptureFixture[str]) -> None:
    print("before")
    with quiet() as held_back:
        shout()
        text = held_back()
        os.write(2, b"later\n")
        assert held_back().endswith("later\n")
    print("after")
    os.write(2, b"after, error\n")
    assert capfd.readouterr() == ("before\nafter\n", "after, error\n")
    for line in ("python", "python, error", "C++", "C++, out", "a program of its own"):
        assert line in text.splitlines()


def test_only_the_named_streams_are_captured(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet(stdout=False) as held_back:
        shout()
        assert sorted(held_back().splitlines()) == ["C++", "python, error"]
    assert "C++, out" in capfd.readouterr().out
    with quiet(stderr=False, native=False) as held_back:
        shout()
        assert held_back() == "python\n"
    out, error = capfd.readouterr()
    assert sorted(out.splitlines()) == ["C++, out", "a program of its own"]
    assert sorted(error.splitlines()) == ["C++", "python, error"]


def test_the_streams_of_a_plain_process_are_captured(tmp_path: Path) -> None:
    """Without a test runner that replaces them; the order of writing is kept."""
    code = (
        "import os, sys\n"
        "from emorec_tf.storage.quiet import quiet\n"
        "print('before')\n"
        "with quiet() as held_back:\n"
        "    print('inside')\n"
        "    os.write(1, b'C++\\n')\n"
        "    text = held_back()\n"
        "    print('later')\n"
        "print('after', sorted(text.split()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "before\nafter ['C++', 'inside']\n", done.stderr


@pytest.mark.parametrize(
    ("error", "printed", "said"),
    [
        (
            ValueError("loc(here):\n  'tf.Erfinv' op  is unknown\n\t^\n"),
            b"",
            "'tf.Erfinv' op is unknown",
        ),
        (RuntimeError(), b"noise\nthe reason\n---\n", "the reason"),
        (MemoryError(), b"", "MemoryError"),
    ],
)
def test_an_error_becomes_one_line(
    capfd: pytest.CaptureFixture[str], error: Exception, printed: bytes, said: str
) -> None:
    def work() -> None:
        os.write(2, printed)
        raise error

    with pytest.raises(UserError) as raised, quietly("cannot convert x"):
        work()
    assert str(raised.value) == f"cannot convert x: {said}"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "problem",
    [UserError("ours"), OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()],
)
def test_user_errors_and_interrupts_pass_unchanged(problem: BaseException) -> None:
    before = [os.fstat(number).st_ino for number in (1, 2)]
    with pytest.raises(type(problem)) as raised, quietly("cannot convert x"):
        raise problem
    assert raised.value is problem
    assert [os.fstat(number).st_ino for number in (1, 2)] == before


def test_no_file_descriptor_leaks() -> None:
    before = len([*Path("/proc/self/fd").iterdir()])
    for _ in range(3):
        with quiet():
            pass
    assert len([*Path("/proc/self/fd").iterdir()]) == before


def test_the_last_line_is_shortened() -> None:
    assert last_line("a\n" + "b" * 999 + "\n^~~\n") == "b" * 200
    assert last_line("\n ^\n") == ""
