"""A flipped bit in a shard: named in training and scoring, and mended by prepare."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import made_records
import pytest
from conftest import FEATURE_FLAGS, TRAIN_FLAGS

from emorec_tf.config.config import FeaturesConfig
from emorec_tf.errors import UserError
from emorec_tf.prepare import main as prepare_main
from emorec_tf.records import input_pipeline, records_dir
from emorec_tf.train import main as train_main


def flip(shard: Path) -> None:
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)


def test_training_names_the_shard(
    features: FeaturesConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = made_records.make(tmp_path / "records", features, lambda _: ())
    flip(records / "shard-00000.tfrecord")
    flags = [flag for flag in TRAIN_FLAGS if "speakers" not in flag]
    people = ["--test_speakers=4", "--validation_speakers=3"]
    where = ["--records", str(records), "--run", str(tmp_path / "run"), "--epochs=1"]
    assert train_main([*where, *flags, *people]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"error: shard {records / 'shard-00000.tfrecord'} is damaged")
    assert "Traceback" not in error


def test_other_errors_stay(features: FeaturesConfig, tmp_path: Path) -> None:
    records = records_dir.open_records(
        made_records.make(tmp_path / "records", features, lambda _: ())
    )
    with pytest.raises(ZeroDivisionError), records_dir.naming_damage(records):
        _ = 1 / 0
    flip(Path(records.shards[0]))
    with (
        pytest.raises(UserError, match=r"shard-00000\.tfrecord is damaged; run prepare again"),
        records_dir.naming_damage(records),
    ):
        list(input_pipeline.evaluation(records, records.clips))


def cut(report: Path) -> None:
    report.write_bytes(report.read_bytes()[:-200])


@pytest.mark.parametrize(("name", "harm"), [("shard-00001.tfrecord", flip), ("report.csv", cut)])
def test_prepare_makes_them_again(
    name: str,
    harm: Callable[[Path], None],
    demo_records: Path,
    demo_clips: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = shutil.copytree(demo_records, tmp_path / "records")
    harm(folder / name)
    where = ["--dataset=demo", "--source", str(demo_clips), "--records", str(folder)]
    assert prepare_main([*where, "--workers=1", "--clips_per_shard=5", *FEATURE_FLAGS]) == 0
    assert f"{name} is damaged; the records are made again" in capsys.readouterr().err
    for one in ("report.csv", *(p.name for p in demo_records.glob("shard-*"))):
        assert (folder / one).read_bytes() == (demo_records / one).read_bytes()
