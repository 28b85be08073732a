"""predict: equal to evaluate, from the video itself; damaged files are named."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from made_videos import joined, taken_apart, write

from emorec_tf.cli import parse_options
from emorec_tf.datasets.discovery import found
from emorec_tf.evaluate import main as evaluate_main
from emorec_tf.inference import media_answer
from emorec_tf.inference.long_media import Settings
from emorec_tf.inference.options import PredictOptions
from emorec_tf.predict import main as predict_main


def answers(out: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


def test_same_probabilities_as_evaluate(
    demo_run: Path, demo_clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate_main(["--run", str(demo_run)]) == 0
    capsys.readouterr()
    videos = sorted(str(p) for p in (demo_clips / "clips").glob("actor04_*.mp4"))
    assert predict_main(["--run", str(demo_run), "--json", *videos]) == 0
    got = answers(capsys.readouterr().out)
    with (demo_run / "predictions.csv").open() as file:
        wanted = {Path(r["clip_id"]).name: r for r in csv.DictReader(file)}
    assert len(got) == len(videos)
    for answer in got:
        row = wanted[Path(str(answer["clip"])).stem]
        for name, share in answer["probabilities"].items():  # type: ignore[attr-defined]
            assert share == pytest.approx(float(row[name]), abs=1e-4)


def test_keys_and_folder_search(
    demo_run: Path, demo_clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict_main(["--run", str(demo_run), "--json", str(demo_clips)]) == 0
    got = answers(capsys.readouterr().out)
    assert len(got) == 24
    keys = "clip emotion probabilities familiarity audio_present face_present face_coverage seconds"
    assert set(got[0]) == set(keys.split())
    best = max(got[0]["probabilities"].items(), key=lambda item: item[1])  # type: ignore[attr-defined]
    assert got[0]["emotion"] == best[0]


def test_broken_file_does_not_stop_the_others(
    demo_run: Path, demo_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = sorted((demo_clips / "clips").glob("*.mp4"))[0]
    names = {"text.mp4": b"text", "zero.mp4": b"", "cut.mp4": video.read_bytes()[:3000]}
    for name, data in names.items():
        (tmp_path / name).write_bytes(data)
    paths = [str(tmp_path / n) for n in names]
    assert predict_main(["--run", str(demo_run), "--json", paths[0], str(video), *paths[1:]]) == 1
    out, error = capsys.readouterr()
    assert len(answers(out)) == 1
    for name in names:
        assert sum(name in line for line in error.splitlines()) == 1
    assert "3 of 4 files could not be predicted" in error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--run", "nowhere", "x.mp4"], "nowhere"),
        (["--run", "r", "--top=0", "x.mp4"], "top is 0"),
        (["--run", "r", "--timeline=t.gif", "x.mp4"], "t.gif"),
        (["--run", "r", "--timeline=t.png", "x.mp4", "y.mp4"], "one clip"),
        (["--run", "r", "--timeline=t.png", "--windows=off", "x.mp4"], "--timeline"),
        (["--run", "r", "--timeline=nowhere/t.png", "x.mp4"], "nowhere"),
        (["--run", "r", "--device=gpu", "x.mp4"], "no GPU"),
        (["--run", "RUN", "--window_hop_seconds=7", "x.mp4"], "window_hop_seconds is 7"),
    ],
)
def test_wrong_calls_are_refused_in_one_line(
    arguments: list[str], said: str, demo_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if said == "no GPU":
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):
            pytest.skip("there is a GPU")
    assert predict_main([str(demo_run) if a == "RUN" else a for a in arguments]) == 1
    error = capsys.readouterr().err.strip()
    lines = [line for line in error.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1
    assert said in lines[0]


def test_empty_folder_is_named(
    demo_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict_main(["--run", str(demo_run), str(tmp_path)]) == 1
    assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.parametrize("width", ["60", "80", "200"])
def test_short_and_long_ones_in_a_table(
    width: str,
    demo_run: Path,
    demo_clips: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    videos = sorted((demo_clips / "clips").glob("actor01*.mp4"))[:3]
    long = write(tmp_path / "a long recording [bold]l.mov", *joined(videos))
    short = write(tmp_path / "a short recording of one person [1]s.mov", *taken_apart(videos[0]))
    assert predict_main(["--run", str(demo_run), "--top=2", str(short), str(long)]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == f"in {tmp_path}:"
    clips, windows = out.split(f"\n{long.name}\n")
    assert short.name in clips
    rows = [line.split("│") for line in windows.splitlines() if line.startswith("│")]
    listed = [line for line in windows.splitlines() if line[:1].isdigit()]  # where it is narrow
    starts = [cells[1].strip() for cells in rows if cells[1].strip()] or listed
    assert starts[:3] == ["00:00", "00:00.8", "00:01.5"]
    assert max(map(len, windows.splitlines())) <= int(width)
    if listed:
        assert windows.count("person: 1;") == len(listed)
    else:
        assert {cells[2].strip() for cells in rows} - {""} == {"1"}
        assert {cells[5].count(",") for cells in rows} == {0}  # two of three


def test_timeline_is_written_beside_the_answer(
    demo_run: Path, demo_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = str(min((demo_clips / "clips").glob("*.mp4")))
    place = tmp_path / "talk.png"
    flags = ["--run", str(demo_run), "--json", "--timeline", str(place), video]
    assert predict_main(flags) == 0
    (answer,) = answers(capsys.readouterr().out)
    written = json.loads((tmp_path / "talk.json").read_text())
    cells = written.pop("timeline")
    assert written == answer
    with (tmp_path / "talk.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [r["emotion"] for r in rows] == [c["emotion"] for c in cells]
    assert place.read_bytes()[:4] == b"\x89PNG"
    found_out = media_answer.load(str(demo_run), settings=Settings(windows="on"))(video)
    assert json.loads(json.dumps(found_out.answer)) == answer


def test_a_cut_video_is_answered_with_an_error(
    demo_run: Path, demo_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = sorted((demo_clips / "clips").glob("actor01*.mp4"))[:3]
    whole = write(tmp_path / "whole.mkv", *joined(videos)).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) * 6 // 10])
    assert predict_main(["--run", str(demo_run), "--json", str(tmp_path / "cut.mkv")]) == 1
    out, error = capsys.readouterr()
    assert answers(out)[0]["windows"]
    assert error.count("cut short") == 1
    assert error.count("error: ") == 1


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("missing.mp4", [], "missing.mp4: no such file; check the path"),
        ("notes.mp4", [], "notes.mp4: cannot be read as audio or video"),
        ("notes.mp4", ["--run", "ravdess-avv"], "did you mean 'ravdess-av'?"),
    ],
)
def test_one_wrong_input_is_one_line(
    demo_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    more: list[str],
    message: str,
) -> None:
    (tmp_path / "notes.mp4").write_text("no video")
    assert predict_main([str(tmp_path / name), "--run", str(demo_run), *more]) == 1
    out, error = capsys.readouterr()
    assert out == ""
    lines = [line for line in error.splitlines() if "is not calibrated" not in line]
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert message in lines[0]


def test_the_speech_check_is_a_switch() -> None:
    for words, expected in (
        ([], True),
        (["--no_speech_check"], False),
        (["--speech_check", "off"], False),
        (["--speech_check=on"], True),
    ):
        options, _ = parse_options([*words, "a.mp4"], "predict", PredictOptions, config_flag=False)
        assert options.speech_check is expected


def test_folder_of_images(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg", "notes.txt"):
        (tmp_path / name).write_text("x")
    assert found([str(tmp_path)]) == [str(tmp_path / n) for n in ("a.jpg", "b.png")]
    (tmp_path / "c.wav").write_text("x")
    assert found([str(tmp_path)]) == [str(tmp_path / "c.wav")]
