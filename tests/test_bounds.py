"""Values that nothing can work with get one line, before anything is written."""

from __future__ import annotations

import re
from pathlib import Path

import made_records
import pytest
from conftest import TRAIN_FLAGS

from emorec_tf.config import choices
from emorec_tf.config.config import FeaturesConfig, TrainConfig
from emorec_tf.errors import UserError
from emorec_tf.prepare import main as prepare_main
from emorec_tf.storage import resumable
from emorec_tf.train import main as train_main
from emorec_tf.training import run_dir


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory, features: FeaturesConfig) -> Path:
    return made_records.make(tmp_path_factory.mktemp("made") / "records", features, lambda _: ())


def refused(status: int, capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err.strip()
    assert status == 1
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1
    return error


@pytest.mark.parametrize(
    ("kind", "choice", "said"),
    [
        ("audio", "conv1d(dropout=1.5)", "dropout is 1.5; it must be from 0 to below 1"),
        ("audio", "conv1d(dropout=1)", "dropout is 1; it must be from 0 to below 1"),
        ("audio", "conv1d(filters=0)", "filters is 0; it must be at least 1"),
        ("audio", "lstm(units=0)", "units is 0; it must be at least 1"),
        ("audio", "lstm(stride=-1)", "stride is -1; it must be at least 1"),
        ("audio", "functionals(reach=1e999)", "reach is inf; it must be finite"),
        ("face", "alexnet(width=0.0)", "width is 0.0; it must be above 0"),
        ("face", "alexnet(pixels=-1)", "pixels is -1; it must be at least 0"),
        ("face", "face_mesh(context=-1)", "context is -1; it must be at least 0"),
        ("fusion", "concat(units=-1)", "units is -1; it must be at least 0"),
        ("classifier", "lda(pca=-1)", "pca is -1; it must be at least 0"),
    ],
)
def test_arguments_have_bounds(kind: str, choice: str, said: str):
    with pytest.raises(UserError, match=re.escape(said)) as error:
        choices.check(kind, choice)
    assert f"{kind} {choices.parse(choice)[0]!r}" in str(error.value)


def test_what_zero_turns_off_may_be_zero():
    for kind, choice in (("classifier", "lda(pca=0)"), ("face", "face_mesh(context=0)")):
        choices.check(kind, choice)
    for kind in choices.TABLES:  # the defaults keep their own bounds
        for name, entry in choices.entries(kind).items():
            given = {k: v for k, v in entry.arguments.items() if v is not None}
            small = choices.parse(f"{name}({entry.facts.small})")[1]
            given |= {k: small[k] for k in entry.facts.required}
            choices.check(kind, f"{name}({', '.join(f'{k}={v!r}' for k, v in given.items())})")


@pytest.mark.parametrize(
    ("section", "wrong"),
    [
        (TrainConfig, {"seed": -1}),
        (TrainConfig, {"seed": 2**32}),
        (TrainConfig, {"learning_rate": float("inf")}),
        (TrainConfig, {"learning_rate": float("nan")}),
        (TrainConfig, {"weight_decay": -0.1}),
        (FeaturesConfig, {"window_seconds": 0.0}),
        (FeaturesConfig, {"window_seconds": float("nan")}),
        (FeaturesConfig, {"clip_seconds": float("inf")}),
        (FeaturesConfig, {"clip_seconds": 100000.0}),
        (FeaturesConfig, {"clip_seconds": -1.0}),
    ],
)
def test_settings_have_bounds(section: type, wrong: dict[str, float]):
    ((name, value),) = wrong.items()
    allowed = f"{name} is {re.escape(repr(value))}; it must be|at most clip_seconds \\({value}\\)"
    with pytest.raises(UserError, match=allowed):
        section(**wrong)


def test_a_clip_of_a_quarter_of_an_hour_is_allowed():
    FeaturesConfig(clip_seconds=900.0)
    with pytest.raises(UserError, match=r"one clip takes 23,\d+ MiB of at most 256"):
        FeaturesConfig(clip_seconds=100000.0)


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--audio=conv1d(dropout=1.5)", "dropout is 1.5"),
        ("--audio=conv1d(filters=0)", "filters is 0"),
        ("--face=alexnet(width=0.001, dense=0)", "dense is 0"),
        ("--seed=-1", "seed is -1"),
    ],
)
def test_a_refused_training_writes_nothing(
    flag: str, said: str, records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    where = ["--records", str(records), "--run", str(tmp_path / "run")]
    assert said in refused(train_main([*where, flag]), capsys)
    assert not list(tmp_path.iterdir())


def test_a_loss_that_is_no_number_is_one_line(
    records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    flags = [flag for flag in TRAIN_FLAGS if "speakers" not in flag and "rate" not in flag]
    where = ["--records", str(records), "--run", str(tmp_path / "run"), "--fusion=audio_only"]
    people = ["--test_speakers=4", "--validation_speakers=3"]
    status = train_main([*where, *flags, *people, "--learning_rate=1e8", "--epochs=3"])
    assert "lower learning_rate" in refused(status, capsys)
    assert run_dir.load(tmp_path / "run").history == []


@pytest.mark.parametrize("below", [False, True])
def test_a_file_is_no_folder(
    below: bool, records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "taken").write_text("mine")
    place = str(tmp_path / "taken" / "run") if below else str(tmp_path / "taken")
    people = ["--test_speakers=4", "--validation_speakers=3", "--batch_size=4"]
    trained = train_main(["--records", str(records), "--run", place, *people])
    assert f"{tmp_path / 'taken'} is a file, no folder; give another --run" in refused(
        trained, capsys
    )
    prepared = prepare_main(["--source", str(tmp_path), "--records", place])
    assert "is a file, no folder; give another --records" in refused(prepared, capsys)
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_broken_link_is_no_folder(tmp_path: Path):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(UserError, match="link is a broken link, no folder; give another --out"):
        resumable.check_folder(tmp_path / "link", "--out")
    resumable.check_folder(tmp_path / "new" / "deep", "--out")


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--workers=0", "workers is 0; it must be at least 1"),
        ("--window_seconds=0", "window_seconds is 0"),
        ("--clip_seconds=100000", "clip_seconds is 100000"),
    ],
)
def test_a_refused_preparation_writes_nothing(
    flag: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    where = ["--dataset=demo", "--source", str(tmp_path), "--records", str(tmp_path / "records")]
    assert said in refused(prepare_main([*where, flag]), capsys)
    assert not (tmp_path / "records").exists()
