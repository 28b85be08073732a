"""predict: the same answer as evaluate, from the film itself; broken files are named."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from emorec_tf import evaluate, predict


def answers(out: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


def test_same_probabilities_as_evaluate(
    demo_run: Path, demo_clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main(["--run", str(demo_run)]) == 0
    capsys.readouterr()
    films = sorted(str(p) for p in (demo_clips / "clips").glob("actor04_*.mp4"))
    assert predict.main(["--run", str(demo_run), "--json", *films]) == 0
    got = answers(capsys.readouterr().out)
    with (demo_run / "predictions.csv").open() as file:
        wanted = {Path(r["clip_id"]).name: r for r in csv.DictReader(file)}
    assert len(got) == len(films)
    for answer in got:
        row = wanted[Path(str(answer["clip"])).stem]
        for name, share in answer["probabilities"].items():  # type: ignore[attr-defined]
            assert share == pytest.approx(float(row[name]), abs=1e-4)


def test_keys_and_folder_search(
    demo_run: Path, demo_clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict.main(["--run", str(demo_run), "--json", str(demo_clips)]) == 0
    got = answers(capsys.readouterr().out)
    assert len(got) == 24
    keys = "clip emotion probabilities audio_present face_present face_coverage seconds"
    assert set(got[0]) == set(keys.split())
    best = max(got[0]["probabilities"].items(), key=lambda item: item[1])  # type: ignore[attr-defined]
    assert got[0]["emotion"] == best[0]


def test_broken_file_does_not_stop_the_others(
    demo_run: Path, demo_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = sorted((demo_clips / "clips").glob("*.mp4"))[0]
    names = {"text.mp4": b"text", "zero.mp4": b"", "cut.mp4": film.read_bytes()[:3000]}
    for name, data in names.items():
        (tmp_path / name).write_bytes(data)
    paths = [str(tmp_path / n) for n in names]
    assert predict.main(["--run", str(demo_run), "--json", paths[0], str(film), *paths[1:]]) == 1
    out, error = capsys.readouterr()
    assert len(answers(out)) == 1
    for name in names:
        assert sum(name in line for line in error.splitlines()) == 1
    assert "3 of 4 files gave no answer" in error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [([], "--run"), (["--run", "nowhere", "x.mp4"], "nowhere")],
)
def test_wrong_calls_get_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict.main(arguments) == 1
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1


def test_empty_folder_is_named(
    demo_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict.main(["--run", str(demo_run), str(tmp_path)]) == 1
    assert str(tmp_path) in capsys.readouterr().err
