"""The demo corpus folder: complete, repeatable, atomic, and never over the user's files."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from median_pitch import median_pitch

from emorec_tf.datasets.demo.demo_corpus import (
    DEMO_EMOTIONS,
    FACE_GROUPS,
    FACE_ONLY_CEILING,
    VOICE_GROUPS,
    VOICE_ONLY_CEILING,
    build,
)
from emorec_tf.errors import UserError
from emorec_tf.features import face_detection

TINY: dict[str, Any] = {"actors": 1, "takes": 1, "emotions": ("sad",), "workers": 1}


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def wave_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    calls: list[tuple[int, int]] = []
    folder = tmp_path_factory.mktemp("demo") / "corpus"
    built = build(folder, actors=2, takes=1, progress=lambda *call: calls.append(call))
    assert built == folder
    assert calls == [(done, 16) for done in range(1, 17)]
    return folder


def test_labels_name_every_clip_once_with_plausible_values(corpus: Path) -> None:
    rows = rows_of(corpus)
    assert list(rows[0]) == ["path", "emotion", "speaker", "session", "activation", "valence"]
    assert {row["path"] for row in rows} == {f"clips/{p.name}" for p in corpus.glob("clips/*")}
    expected = {(f"actor0{a}", e) for a in (1, 2) for e in DEMO_EMOTIONS}
    assert {(row["speaker"], row["emotion"]) for row in rows} == expected
    for row in rows:
        assert row["path"] == f"clips/{row['speaker']}_{row['emotion']}_1.mp4"
        assert 1 <= float(row["activation"]) <= 5
        assert 1 <= float(row["valence"]) <= 5
    felt = {row["emotion"]: row for row in rows}
    assert float(felt["angry"]["activation"]) > float(felt["calm"]["activation"])
    assert float(felt["happy"]["valence"]) > float(felt["sad"]["valence"])


def test_two_actors_share_a_session(tmp_path: Path) -> None:
    rows = rows_of(build(tmp_path / "demo", **TINY | {"actors": 3}))
    assert [row["session"] for row in rows] == ["session01", "session01", "session02"]


def test_every_clip_has_the_stated_video_and_audio_format(corpus: Path) -> None:
    for row in rows_of(corpus):
        with av.open(str(corpus / row["path"])) as container:
            video, audio = container.streams.video[0], container.streams.audio[0]
            assert (video.width, video.height, video.average_rate) == (320, 240, 10)
            assert (audio.rate, audio.channels, audio.codec.name) == (24_000, 1, "aac")
            frames = [frame.time for frame in container.decode(video=0)]
        np.testing.assert_allclose(np.diff(frames), 0.1)
        assert 20 <= len(frames) <= 26
        samples = wave_of(corpus / row["path"])
        assert len(samples) / 24_000 == pytest.approx(len(frames) / 10, abs=0.1)
        assert samples.std() > 0.005


def test_mediapipe_finds_the_faces(corpus: Path) -> None:
    detect = face_detection.mediapipe(None)
    found = []
    for row in rows_of(corpus):
        with av.open(str(corpus / row["path"])) as container:
            for frame in list(container.decode(video=0))[::3]:
                found.append(len(detect(frame.to_ndarray(format="rgb24"))) == 1)
    assert len(found) > 100
    assert np.mean(found) >= 0.97


def test_an_angry_voice_is_higher_and_louder_than_a_sad_one(corpus: Path) -> None:
    for actor in ("actor01", "actor02"):
        angry, sad = (wave_of(corpus / f"clips/{actor}_{e}_1.mp4") for e in ("angry", "sad"))
        pitch = [median_pitch(wave, 24_000) for wave in (angry, sad)]
        assert 12 * np.log2(pitch[0] / pitch[1]) > 3  # semitones
        assert angry.std() > 2 * sad.std()


def test_ceilings_follow_from_the_groups() -> None:
    # The best guess within a group of n equally frequent emotions recalls one of the n.
    assert FACE_ONLY_CEILING == len(set(FACE_GROUPS.values())) / len(DEMO_EMOTIONS) == 0.625
    assert VOICE_ONLY_CEILING == len(set(VOICE_GROUPS.values())) / len(DEMO_EMOTIONS) == 0.5


def test_same_bytes_whatever_the_number_of_workers(corpus: Path, tmp_path: Path) -> None:
    alone = build(tmp_path / "alone", actors=2, takes=1, workers=1)
    assert digests(alone) == digests(corpus)


def test_another_seed_gives_other_actors(tmp_path: Path) -> None:
    first, second = (build(tmp_path / str(seed), seed=seed, **TINY) for seed in (0, 1))
    name = "clips/actor01_sad_1.mp4"
    assert digests(first)[name] != digests(second)[name]


def test_an_intact_corpus_is_kept_and_a_damaged_one_regenerated(tmp_path: Path) -> None:
    folder = build(tmp_path / "demo", **TINY)
    clip, whole = folder / "clips" / "actor01_sad_1.mp4", digests(folder)
    whole_files = {name: (folder / name).read_bytes() for name in whole}
    made = clip.stat().st_mtime_ns
    build(folder, **TINY)
    assert clip.stat().st_mtime_ns == made
    for name in ("demo.json", "labels.csv", "clips/actor01_sad_1.mp4"):
        for content in (None, b"", whole_files[name][:40]):
            if content is None:
                (folder / name).unlink()
            else:
                (folder / name).write_bytes(content)
            build(folder, **TINY)
            assert digests(folder) == whole, (name, content)
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_other_settings_replace_the_corpus(tmp_path: Path) -> None:
    build(tmp_path / "demo", **TINY)
    build(tmp_path / "demo", **TINY | {"emotions": ("happy", "calm")})
    assert [row["emotion"] for row in rows_of(tmp_path / "demo")] == ["calm", "happy"]


def test_interrupted_build_leaves_the_old_corpus_alone(tmp_path: Path) -> None:
    folder = build(tmp_path / "demo", **TINY)
    before = digests(folder)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(folder, progress=interrupt, **TINY | {"seed": 5})
    assert digests(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


@pytest.mark.parametrize("name", ["notes.txt", "clips/holiday.mp4", "clips/deep/actor01_sad_1.mp4"])
def test_foreign_files_are_never_replaced(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    with pytest.raises(UserError, match="not a file of the demo; name an empty folder"):
        build(tmp_path, **TINY)
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"actors": 0}, "actors=0"),
        ({"takes": 100}, "takes=100"),
        ({"workers": -1}, "workers=-1"),
        ({"seed": -1}, "seed=-1"),
        ({"emotions": ("hapy",)}, "did you mean 'happy'"),
        ({"emotions": ("boredom",)}, "'boredom' is not in the demo corpus"),
        ({"emotions": ()}, "at least one"),
        ({"emotions": ("sad", "sad")}, "at most once"),
    ],
)
def test_impossible_settings_are_one_line_errors(
    tmp_path: Path, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build(tmp_path / "demo", **TINY | wrong)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "demo").exists()


def test_a_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("mine")
    with pytest.raises(UserError, match="is a file"):
        build(tmp_path / "demo", **TINY)
