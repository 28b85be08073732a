"""Short clips with two people: that is said, and each can be answered."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import TINY_FEATURES
from made_videos import AUDIO_HZ, joined, side_by_side, taken_apart, write
from scipy.optimize import linear_sum_assignment
from untrained_runs import on_disk

from emorec_tf.errors import UserError
from emorec_tf.inference import person_tracking, predictor
from emorec_tf.inference.long_media import Settings
from emorec_tf.inference.media_answer import answer_media
from emorec_tf.inference.model import Model
from emorec_tf.inference.predictor import Predictor
from emorec_tf.predict import main as predict_main

ALL = Settings(people="all")
NOTE = "2 people; the larger face is answered, with the audio that all in view share; "
NOTE += "--people all answers each"
SILENT_NOTE = "2 people; the larger face is answered; --people all answers each"


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return predictor.load(str(on_disk(tmp_path_factory.mktemp("runs") / "both", TINY_FEATURES)))


@pytest.fixture(scope="module")
def parts(demo_clips: Path) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Frames of two people, and the speech of the first one."""
    clips = sorted((demo_clips / "clips").glob("actor0[12]_happy_1.mp4"))
    (left, wave), (right, _) = map(taken_apart, clips)
    return left, right, wave


@pytest.fixture(scope="module")
def both(parts: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    left, right, wave = parts
    return write(tmp_path_factory.mktemp("both") / "both.mov", side_by_side(left, right), wave)


def test_the_other_person_is_reported(ready: Predictor, both: Path) -> None:
    answer = answer_media(ready, str(both)).answer
    assert answer["notes"] == [NOTE]
    assert answer["voice_shared"] is True
    left, right = (person["box"] for person in answer["people"])
    assert left[0] + left[2] <= 320 <= right[0]
    assert "windows" not in answer


def test_one_person_is_answered_without_a_note(
    ready: Predictor, parts: Any, demo_clips: Path
) -> None:
    clip = min((demo_clips / "clips").glob("*.mp4"))
    answer = answer_media(ready, str(clip)).answer
    assert not {"notes", "people", "voice_shared"} & set(answer)
    found = answer_media(ready, str(clip), ALL).answer
    (row,) = found["windows"]
    assert row["person"] == 1
    assert [person["person"] for person in found["people"]] == [1]
    assert found["voice_shared"] is False
    assert {key: found[key] for key in answer} == answer


def test_each_is_answered_with_rows_like_those_of_a_long_video(
    ready: Predictor, both: Path, parts: Any, tmp_path: Path
) -> None:
    main = answer_media(ready, str(both)).answer
    found = answer_media(ready, str(both), ALL)
    answer = found.answer
    assert [row["person"] for row in answer["windows"]] == [1, 2]
    # The larger face is one of them, with the very same answer.
    own = [row["probabilities"] for row in answer["windows"]]
    assert main["probabilities"] == answer["probabilities"]
    assert main["probabilities"] in own
    assert own[0] != own[1]
    assert answer["voice_shared"] is True
    assert "notes" not in answer
    whole = {"start_seconds": 0.0, "end_seconds": answer["film_seconds"]}
    assert found.timeline == [row | whole for row in answer["windows"]]
    assert {image.shape for image in found.portraits.values()} == {(96, 96, 3)}
    assert json.loads(json.dumps(answer)) == answer
    left, _, wave = parts
    long = write(tmp_path / "long.mov", side_by_side(left * 3, left * 3), np.tile(wave, 3))
    windowed = answer_media(ready, str(long)).answer
    assert set(windowed) <= set(answer)
    assert list(windowed["windows"][0]) == list(answer["windows"][0])


def test_a_silent_clip_shares_no_voice(ready: Predictor, parts: Any, tmp_path: Path) -> None:
    left, right, wave = parts
    mute = write(tmp_path / "mute.mov", side_by_side(left, right))
    answer = answer_media(ready, str(mute)).answer
    assert (answer["voice_shared"], answer["notes"]) == (False, [SILENT_NOTE])
    assert answer_media(ready, str(mute), ALL).answer["voice_shared"] is False
    cv2.imwrite(str(tmp_path / "two.png"), np.hstack([left[0], right[0]])[:, :, ::-1])
    answer = answer_media(ready, str(tmp_path / "two.png")).answer
    assert answer["notes"] == [SILENT_NOTE]
    rows = answer_media(ready, str(tmp_path / "two.png"), ALL).answer["windows"]
    assert [row["person"] for row in rows] == [1, 2]
    hidden = write(tmp_path / "hidden.mov", [np.full_like(left[0], 200)] * len(left), wave)
    found = answer_media(ready, str(hidden), ALL).answer
    assert ([row["person"] for row in found["windows"]], found["people"]) == ([None], [])


def test_a_passer_by_does_not_count(ready: Predictor, parts: Any, tmp_path: Path) -> None:
    left, right, _ = parts
    grey = [np.full_like(right[0], 200)] * len(right)
    passing = write(tmp_path / "passing.mov", side_by_side(left, [*right[:2], *grey[2:]]))
    assert "notes" not in answer_media(ready, str(passing)).answer


def test_the_middle_of_a_long_video_says_when(
    ready: Predictor, demo_clips: Path, tmp_path: Path
) -> None:
    left, wave = joined(sorted((demo_clips / "clips").glob("actor01*.mp4"))[:4] * 2)
    right, _ = joined(sorted((demo_clips / "clips").glob("actor02*.mp4"))[:4] * 2)
    path = write(tmp_path / "long.mov", side_by_side(left, right), wave)
    seconds = len(left) / 10
    assert seconds > 12
    answer = answer_media(ready, str(path), Settings(windows="off", people="all")).answer
    (start,) = {row["start_seconds"] for row in answer["windows"]}
    assert start == pytest.approx((seconds - 1.5) / 2, abs=0.05)
    for person in answer["people"]:
        assert (seconds - 12) / 2 - 0.1 <= person["first_seconds"] <= start
        assert start + 1.5 <= person["last_seconds"] <= (seconds + 12) / 2 + 0.1


def test_the_table_names_whose_voice_is_not_known(
    ready: Predictor, both: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(ready.run.folder)
    assert predict_main(["--run", run, str(both)]) == 0
    assert f"both.mov: {NOTE}" in " ".join(capsys.readouterr().out.split())
    assert predict_main(["--run", run, "--people=all", str(both)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert out.count("│ shared │") == 2
    assert "it is not known whose voice it is" in out
    assert predict_main(["--run", run, "--people=all", "--live", str(both)]) == 1
    assert "people is 'all'" in capsys.readouterr().err


def test_from_python(ready: Predictor, both: Path, parts: Any) -> None:
    model = Model(ready)
    assert model.predict_clip(both)["notes"] == [NOTE]
    assert len(model.predict_clip(both, people="all")["windows"]) == 2
    with pytest.raises(UserError, match="people is 'some'"):
        model.predict_clip(both, people="some")  # type: ignore[arg-type]
    left, right, wave = parts
    frames = side_by_side(left, right)
    answer = model.predict_arrays(wave.astype(np.float32), AUDIO_HZ, frames, 10.0)
    assert answer["notes"] == [NOTE.replace("--people all", 'predict_clip(..., people="all")')]
    assert "notes" not in model.predict_arrays(frames=left, frame_rate_hz=10.0)


def test_a_model_of_audio_alone_takes_no_notice(both: Path, tmp_path: Path) -> None:
    model = predictor.load(str(on_disk(tmp_path / "audio", TINY_FEATURES, fusion="audio_only")))
    assert "notes" not in answer_media(model, str(both)).answer


def test_pairs_have_the_greatest_sum() -> None:
    random = np.random.default_rng(0)
    for shape in itertools.product((1, 2, 3), repeat=2):
        scores = random.uniform(size=shape)
        wanted = zip(*linear_sum_assignment(scores, maximize=True), strict=True)
        assert person_tracking.paired(scores) == [(int(a), int(b)) for a, b in wanted]
