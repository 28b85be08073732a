"""Corpora of images: subsets as folders, as a column, or drawn; what is wrong in one line."""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_images import draw

from emorec_tf.datasets import image_corpora
from emorec_tf.datasets.corpora import DATASETS, clips, parts_of
from emorec_tf.errors import UserError


def refused(dataset: str, source: Path) -> str:
    with pytest.raises(UserError) as error:
        clips(dataset, str(source))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_folders_by_subset_and_class(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for part in ("train", "Validation", "test"):
        for emotion in ("angry", "fear", "surprise", "neutral"):
            draw(tmp_path / part / emotion, 3)
    (tmp_path / "notes.pdf").touch()
    with caplog.at_level(logging.WARNING):
        found = clips("fer2013", str(tmp_path))
    assert len(found) == 36
    assert Counter(c.speaker for c in found) == {"train": 12, "validation": 12, "test": 12}
    assert {c.emotion for c in found} == {"angry", "fearful", "surprised", "neutral"}
    assert all(c.is_cropped and c.audio is None and Path(c.video).is_file() for c in found)
    assert "people are not identified" in caplog.text
    assert "left out 1 files" in caplog.text
    one = next(c for c in found if c.clip_id == "test/fear/image1")
    assert (one.speaker, one.emotion) == ("test", "fearful")


def test_only_faces_cut_out_already_are_not_detected(tmp_path: Path) -> None:
    draw(tmp_path / "train" / "happy", 2)
    assert not any(c.is_cropped for c in clips("image_folder", str(tmp_path)))
    assert all(c.is_cropped for c in clips("face_folder", str(tmp_path)))


def test_missing_subsets_are_drawn_by_name(tmp_path: Path) -> None:
    for emotion in ("happy", "sad"):
        draw(tmp_path / "all" / emotion, 200)
        draw(tmp_path / "two" / "train" / emotion, 200)
        draw(tmp_path / "two" / "test" / emotion, 10)
    counts = Counter(c.speaker for c in clips("image_folder", str(tmp_path / "all")))
    assert sum(counts.values()) == 400
    assert all(30 <= counts[part] <= 70 for part in ("validation", "test"))
    again = {c.clip_id: c.speaker for c in clips("image_folder", str(tmp_path / "all"))}
    for path in (tmp_path / "all" / "sad").iterdir():
        path.unlink()  # the others stay where they are
    fewer = {c.clip_id: c.speaker for c in clips("image_folder", str(tmp_path / "all"))}
    assert fewer.items() <= again.items()
    counts = Counter(c.speaker for c in clips("image_folder", str(tmp_path / "two")))
    assert counts["test"] == 20
    assert 30 <= counts["validation"] <= 70


def rows(count: int, random: np.random.Generator) -> list[tuple[int, np.ndarray, str]]:
    usages = ("Training", "PublicTest", "PrivateTest")
    return [
        (n % 7, random.integers(0, 256, (48, 48), np.uint8), usages[n % 3]) for n in range(count)
    ]


def table(path: Path, made: list[tuple[int, np.ndarray, str]], header: str = "") -> Path:
    lines = [f"{e},{' '.join(map(str, p.ravel()))},{usage}" for e, p, usage in made]
    path.write_text("\n".join([header or "emotion,pixels,Usage", *lines]) + "\n")
    return path


@pytest.mark.parametrize("by_folder", [False, True])
def test_the_csv_is_read_as_images(tmp_path: Path, by_folder: bool) -> None:
    made = rows(42, np.random.default_rng(int(by_folder)))
    path = table(tmp_path / "fer2013.csv", made, " emotion, pixels, Usage")
    found = {c.clip_id: c for c in clips("fer2013", str(tmp_path if by_folder else path))}
    assert len(found) == 42
    parts, codes = ("train", "validation", "test"), image_corpora.FER_CLASSES
    for number, (emotion, pixels, _) in enumerate(made, start=1):
        clip = found[f"{parts[(number - 1) % 3]}/{codes[emotion]}/{number:05d}"]
        np.testing.assert_array_equal(cv2.imread(clip.video, cv2.IMREAD_GRAYSCALE), pixels)
        assert clip.is_cropped
    assert image_corpora.unpacked(path) == image_corpora.unpacked(path)


def test_two_that_unpack_at_once_leave_one_folder(tmp_path: Path, monkeypatch) -> None:
    path = table(tmp_path / "fer2013.csv", rows(9, np.random.default_rng(5)))
    read, others = image_corpora._rows, list[Path]()

    def slower(table: Path):
        if not others:  # another process starts and ends meanwhile
            others.append(table)
            others.append(image_corpora.unpacked(table))
        yield from read(table)

    monkeypatch.setattr(image_corpora, "_rows", slower)
    folder = image_corpora.unpacked(path)
    assert folder == others[1]
    assert len(list(folder.rglob("*.png"))) == 9
    assert sorted(p.name for p in folder.iterdir()) == ["test", "train", "validation"]
    assert not list(folder.parent.glob(".unpacking-*"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("Usage", "use"), "no column usage"),
        (lambda text: text.replace("Training", "Everything"), "'everything'"),
        (lambda text: text.replace(" 7 ", " 700 "), "a pixel is not from 0 to 255"),
        (lambda text: text.replace(" 7 ", " -7 "), "a pixel is not from 0 to 255"),
        (lambda text: text.replace(" 7 ", " "), "cannot reshape"),
        (lambda text: text.replace("\n3,", "\n9,"), "FER-2013's CSV (row 4: 9)"),
        (lambda text: text.replace("\n3,", "\n-1,"), "FER-2013's CSV (row 4: -1)"),
        (lambda text: text.split("\n")[0] + "\n", "FER-2013's CSV (it has no rows)"),
        (lambda text: text.replace("\n3,", "\n3,99999999999999999999999 "), "FER-2013's CSV (row "),
        (lambda text: text[: len(text) // 2], "cannot be read as FER-2013's CSV"),
    ],
)
def test_damaged_rows(tmp_path: Path, change, message: str) -> None:
    path = table(tmp_path / "fer2013.csv", rows(8, np.random.default_rng(9)))
    path.write_text(change(path.read_text()))
    said = refused("fer2013", path)
    assert message in said
    assert str(path) in said
    assert not list((image_corpora.cache_folder("fer2013")).glob(".unpacking-*"))


def test_other_folders(tmp_path: Path) -> None:
    assert "no image below" in refused("image_folder", tmp_path)
    draw(tmp_path / "train" / "happy", 1)
    draw(tmp_path / "puzzled", 1)
    assert "1 of 2 images are in no folder train" in refused("image_folder", tmp_path)
    (tmp_path / "train" / "happy" / "image0.png").unlink()
    assert "unknown emotion 'puzzled'" in refused("fer2013", tmp_path)
    assert [c.emotion for c in clips("image_folder", str(tmp_path))] == ["puzzled"]
    draw(tmp_path / "own" / "train", 1)
    assert "train looks like a split, not an em" in refused("image_folder", tmp_path / "own")
    shutil.rmtree(tmp_path / "own")
    (tmp_path / "puzzled" / "image0.png").rename(tmp_path / "image0.png")
    assert "the emotion is not in the path" in refused("image_folder", tmp_path)


def test_people_are_identified_in_all_other_corpora() -> None:
    unidentified = {name for name in DATASETS if parts_of(name)}
    assert unidentified == {"fer2013", "image_folder", "face_folder"}
    assert parts_of("ravdess+fer2013") == ()


def test_folders_that_are_subsets_by_other_names(tmp_path: Path) -> None:
    for folder in ("Train_AFEW", "Val_AFEW", "Test_AFEW"):
        draw(tmp_path / folder / "puzzled", 1)
    found = clips("image_folder", str(tmp_path))
    assert [(c.clip_id.split("/")[0], c.speaker) for c in found] == [
        ("Test_AFEW", "test"),
        ("Train_AFEW", "train"),
        ("Val_AFEW", "validation"),
    ]
    draw(tmp_path / "fold1" / "puzzled", 1)
    message = "fold1 looks like a subset of a split; call it train, validation or test"
    assert message in refused("image_folder", tmp_path)
