"""The run directory: created once, resumed, refused where other files are in the way."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from emorec_tf.config.config import Config, build
from emorec_tf.errors import UserError
from emorec_tf.records.records_dir import Records
from emorec_tf.splits.splits import Split
from emorec_tf.training import run_dir

CLASSES = ("neutral", "sad")
SPLIT = Split(("1", "2"), ("3",), ("4",))
FACTS = {"dataset": "toy", "licence": "none", "label_meaning": "acted", "label": ""}


def create(folder: Path, config: Config | None = None, **changes) -> run_dir.Run:
    records = Records(Path("records"), FACTS, [])
    given = {"classes": CLASSES, "split": SPLIT, "overwrite": False, **changes}
    overwrite = given.pop("overwrite")
    wanted = run_dir.Run(folder, config or Config(), source=run_dir.source_of(records), **given)
    return run_dir.create(wanted, overwrite)


def refused(*args, **kwargs) -> str:
    with pytest.raises(UserError) as error:
        create(*args, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_round_trip(tmp_path: Path):
    config = build({"epochs": 2, "classes": "7", "learning_rate": 1e-3, "keep": "last"})
    made = create(tmp_path / "run", config)
    read = run_dir.load(tmp_path / "run")
    assert read == made
    assert read.config == config
    assert read.source == FACTS
    assert read.model_file.name == "last.keras"
    assert read.history == []
    assert create(tmp_path / "run", config) == made  # the same command resumes it


def test_history(tmp_path: Path):
    run = create(tmp_path / "run")
    run_dir.write_history(run, [{"epoch": 1, "loss": "0.5"}, {"epoch": 2, "loss": "0.4"}])
    assert run_dir.load(run.folder).history == [
        {"epoch": "1", "loss": "0.5"},
        {"epoch": "2", "loss": "0.4"},
    ]


def test_is_finished_counts_epochs_and_patience(tmp_path: Path):
    run = create(tmp_path / "run", build({"epochs": 4, "patience": 2}))
    assert not run.is_finished()
    for uars, finished in (
        ([0.3], False),
        ([0.3, 0.5, 0.4], False),
        ([0.5, 0.3, 0.4], True),
        ([0.1, 0.2, 0.3, 0.4], True),
    ):
        rows = [{"epoch": i, "loss": 1, "val_uar": uar} for i, uar in enumerate(uars)]
        run_dir.write_history(run, rows)
        assert run.is_finished() == finished
        assert not run.is_finished(1)


def test_a_temperature_of_an_earlier_epoch_is_not_used(tmp_path: Path):
    run = create(tmp_path / "run")
    assert run.temperature is None
    run_dir.write_history(run, [{"epoch": 1}, {"epoch": 2}])
    for text, temperature in (
        ('{"temperature": 1.5, "epochs": 2}', 1.5),
        ('{"temperature": 1.5, "epochs": 1}', None),
        ("{", None),
        ("[]", None),
    ):
        (run.folder / "temperature.json").write_text(text)
        assert run.temperature == temperature


@pytest.mark.parametrize("value", ["NaN", "-1", "0", "Infinity"])
def test_a_temperature_that_is_none_is_damage(tmp_path: Path, value: str):
    run = create(tmp_path / "run")
    (run.folder / "temperature.json").write_text(f'{{"temperature": {value}, "epochs": 0}}')
    with pytest.raises(UserError, match=r"temperature\.json is damaged: temperature is"):
        _ = run.temperature


def test_a_leaky_split_stays_leaky(tmp_path: Path):
    split = dataclasses.replace(SPLIT, leaky=True)
    create(tmp_path / "run", split=split)
    assert run_dir.load(tmp_path / "run").split == split


def test_differing_settings_are_named(tmp_path: Path):
    folder = create(tmp_path / "run").folder
    message = refused(folder, build({"epochs": 3, "fusion": "audio_only"}))
    assert f"epochs was {Config().train.epochs}, is 3" in message
    assert f"fusion was {Config().model.fusion!r}, is 'audio_only'" in message
    other = dataclasses.replace(SPLIT, test=("5",))
    assert "other speakers or classes" in refused(folder, split=other)
    assert "other speakers or classes" in refused(folder, classes=("neutral", "happy"))


def test_a_run_of_an_older_spelling_resumes(tmp_path: Path):
    new = {"classifier": "lda(shrinkage=0.3, speaker_shrinkage=0.6)", "modality": "audio_visual"}
    folder = create(tmp_path / "run", build(new)).folder
    text = (folder / "config.yaml").read_text()
    old = text.replace("speaker_shrinkage", "offsets").replace("audio_visual", "'01'")
    assert old != text
    (folder / "config.yaml").write_text(old)
    assert run_dir.load(folder).config == build(new)
    for spelled in ("speaker_shrinkage=0.6", "offsets=0.6", "speaker_shrinkage = 0.6"):
        choice = f"lda({spelled}, shrinkage=0.3)"
        again = create(folder, build({**new, "modality": "01", "classifier": choice}))
        assert again.folder == folder
    assert (folder / "config.yaml").read_text() == old, "nothing is written"
    changed = build({**new, "classifier": "lda(shrinkage=0.3, offsets=0.5)"})
    assert "classifier was" in refused(folder, changed)


def test_overwrite(tmp_path: Path):
    folder = create(tmp_path / "run").folder
    (folder / "last.keras").touch()
    create(folder, build({"epochs": 3}), overwrite=True)
    assert sorted(p.name for p in folder.iterdir()) == ["config.yaml", "run.json"]
    assert run_dir.load(folder).config.train.epochs == 3


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_is_not_a_run_is_left_unchanged(tmp_path: Path, overwrite):
    (tmp_path / "thesis.txt").write_text("years of work")
    assert "exists and is no run" in refused(tmp_path, overwrite=overwrite)
    assert (tmp_path / "thesis.txt").exists()


def test_a_missing_run_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="train one first"):
        run_dir.load(tmp_path / "first")
    create(tmp_path / "first")
    with pytest.raises(UserError, match="did you mean 'first'"):
        run_dir.load(tmp_path / "fist")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run.json", "{"),
        ("run.json", "{}"),
        ("run.json", '{"classes": [], "source": {}, "split": {"train": ["1"]}}'),
        ("config.yaml", "a: ["),
        ("config.yaml", ""),
    ],
)
def test_damaged_run(tmp_path: Path, name, text):
    folder = create(tmp_path / "run").folder
    (folder / name).write_text(text)
    with pytest.raises(UserError, match="is damaged") as error:
        run_dir.load(folder)
    assert "\n" not in str(error.value)


def net() -> keras.Model:
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    model.compile(optimizer=keras.optimizers.Adam(0.1), loss="mse")
    return model


def test_a_saved_model_goes_on_training_as_if_never_saved(tmp_path: Path):
    x, y = np.eye(3, dtype=np.float32), np.ones((3, 2), np.float32)
    model = net()
    model.train_on_batch(x, y)
    run_dir.save_model(model, tmp_path / "last.keras")
    assert [p.name for p in tmp_path.iterdir()] == ["last.keras"]
    again = run_dir.load_model(tmp_path / "last.keras", for_training=True)
    assert int(again.optimizer.iterations.numpy()) == 1
    for one in (model, again):
        one.train_on_batch(x, y)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_failed_save_keeps_the_old_model(tmp_path: Path, monkeypatch):
    run_dir.save_model(net(), tmp_path / "last.keras")
    before = (tmp_path / "last.keras").read_bytes()
    model = net()

    def full(path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model, "save", full)
    with pytest.raises(OSError, match="No space"):
        run_dir.save_model(model, tmp_path / "last.keras")
    assert [p.name for p in tmp_path.iterdir()] == ["last.keras"]
    assert (tmp_path / "last.keras").read_bytes() == before


def test_a_flipped_or_cut_model_is_refused(tmp_path: Path):
    path = tmp_path / "last.keras"
    with pytest.raises(UserError, match="does not exist"):
        run_dir.load_model(path)
    run_dir.save_model(net(), path)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as file:
        info = file.getinfo("model.weights.h5")
    flipped = bytearray(whole)
    flipped[info.header_offset + info.file_size // 2] ^= 1
    for data in (bytes(flipped), whole[: len(whole) // 2], b"", b"not a model"):
        path.write_bytes(data)
        with pytest.raises(UserError, match="is damaged") as error:
            run_dir.load_model(path)
        assert "\n" not in str(error.value)


def test_code_in_a_model_is_refused(tmp_path: Path):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: x * 2)(inputs))
    model.save(tmp_path / "last.keras")
    with pytest.raises(UserError, match="is damaged"):
        run_dir.load_model(tmp_path / "last.keras")
