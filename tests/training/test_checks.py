"""What cannot be trained is refused before anything is made, in stages and members too."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import made_records
import pytest

import emorec_tf
from emorec_tf.config import choices
from emorec_tf.config.config import FeaturesConfig, build
from emorec_tf.crossval import main as crossval_main
from emorec_tf.errors import UserError
from emorec_tf.records import prepare_records
from emorec_tf.train import main as train_main
from emorec_tf.training import checks, experiment

AUDIO = 'audio: "conv1d(filters=8, blocks=2)"\nfusion: audio_only\nepochs: 1\nbatch_size: 4\n'
FACE = 'face: "face_statistics(mesh=False, cells=4)"\nfusion: face_only\n'
SPLIT = {"test_speakers": "4", "validation_speakers": "3"}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory, features: FeaturesConfig) -> Path:
    folder = tmp_path_factory.mktemp("checked") / "records"
    return made_records.make(folder, features, lambda _: ())


MEMBERS = [
    (FACE + "refit: true\n", "refit is True; it must be off unless a classifier"),
    (FACE + "classifier: lda\naugmented_copies: 2\n", "augmented_copies is 2; it must be 0 where"),
    (FACE + "augmented_copies: 2\n", "augmented_copies is 2; it must be 0 without a classifier"),
    (FACE + "refit: true\ninner_folds: 2\n", "refit is True"),
    ("face: mini_xception\nfusion: face_only\nclassifier: lda\n", "trains this run's face_branch"),
    (FACE + "classifier: lda(shrinkage=2.0)\n", "shrinkage is 2.0; it must be from 0 to 1"),
    ("face: face_mesh\nfusion: face_only\n", "face branch face_mesh needs mesh points; prepare"),
    ("fusion: gated\nclassifier: lda\n", "fusion is 'gated'; it must be concat"),
]


@pytest.mark.parametrize("kind", ["ensemble", "pretrain"])
@pytest.mark.parametrize(("text", "said"), MEMBERS)
def test_what_a_run_refuses_a_member_refuses(
    kind: str, text: str, said: str, records: Path, tmp_path: Path
) -> None:
    if kind == "pretrain" and "classifier" in text:
        said = "has stages of its own"
    (tmp_path / "voice.yaml").write_text(AUDIO)
    (tmp_path / "wrong.yaml").write_text(text)
    names = f"{tmp_path / 'voice.yaml'},{tmp_path / 'wrong.yaml'}"
    with pytest.raises(UserError) as error:
        experiment.resolve({"records": str(records), kind: names, **SPLIT})
    assert str(tmp_path / "wrong.yaml") in str(error.value)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_nothing_is_trained_before_a_wrong_member_is_refused(
    records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "voice.yaml").write_text(AUDIO)
    (tmp_path / "wrong.yaml").write_text(FACE + "refit: true\n")
    (tmp_path / "both.yaml").write_text("ensemble: voice.yaml, wrong.yaml\n")
    where = ["--records", str(records), "--run", str(tmp_path / "run")]
    flags = [f"--{name}={value}" for name, value in SPLIT.items()]
    assert train_main(["--config", str(tmp_path / "both.yaml"), *where, *flags]) == 1
    assert "wrong.yaml: refit is True" in capsys.readouterr().err
    left = sorted(p.name for p in tmp_path.iterdir())
    assert left == ["both.yaml", "voice.yaml", "wrong.yaml"]


LDA = "classifier: lda\nrefit: true\ninner_folds: 9\nbatch_size: 4\n"


@pytest.mark.parametrize("text", [
    (FACE + LDA, "inner_folds is 9, but there are 3 speakers"),
    (FACE + "batch_size: 99\n", "batch_size 99 is more than the 12 training clips"),
    ("face: frames_as_channels(depth=0)\n", "face 'frames_as_channels' has no argument"),
])  # fmt: skip
def test_a_member_that_the_clips_refuse_is_named(
    text: tuple[str, str], records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, said = text
    (tmp_path / "voice.yaml").write_text(AUDIO)
    (tmp_path / "wrong.yaml").write_text(config)
    (tmp_path / "both.yaml").write_text("ensemble: voice.yaml, wrong.yaml\n")
    where = ["--records", str(records), "--run", str(tmp_path / "run"), "--batch_size=4"]
    flags = [f"--{name}={value}" for name, value in SPLIT.items()]
    assert train_main(["--config", str(tmp_path / "both.yaml"), *where, *flags]) == 1
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"{tmp_path / 'wrong.yaml'}: {said}" in line
    assert not (tmp_path / "run").exists()
    planned = ["--protocol=group_kfold:2", "--seeds=1"]
    assert crossval_main(["--config", str(tmp_path / "both.yaml"), *where, *planned]) == 1
    assert f"{tmp_path / 'wrong.yaml'}: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"refit": True}, "refit is True"),
        ({"classifier": "lda"}, "nothing later"),
        ({"face": "face_mesh"}, "needs mesh points"),
        ({"dataset": "ravdess"}, "dataset ravdess needs its clips: give train --source FOLDER"),
        ({"ensemble": "no_such_config"}, "there is no config no_such_config"),
    ],
)
def test_settings_are_refused_before_the_demo_corpus_is_made(
    given: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(*_: Any, **__: Any) -> Path:
        raise AssertionError("the corpus is made")

    monkeypatch.setattr(prepare_records, "demo_records", made)
    with pytest.raises(UserError, match=said):
        experiment.resolve(given)
    with pytest.raises(AssertionError):
        experiment.resolve({"epochs": 1})


def test_the_entry_says_which_branches_need_a_mesh(
    features: FeaturesConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one whose function would fail for want of the array."""
    entry = choices.entry("face", "mini_xception")
    needing = dataclasses.replace(entry, facts=dataclasses.replace(entry.facts, needs_mesh=True))
    checks.check_settings(build({"face": "mini_xception"}))
    monkeypatch.setitem(choices.entries("face"), "mini_xception", needing)
    said = "face branch mini_xception needs mesh points; prepare with --face_mesh"
    with pytest.raises(UserError, match=said):
        checks.check_settings(build({"face": "mini_xception"}))
    checks.check_settings(build({"face": "mini_xception", "face_mesh": True}))
    with pytest.raises(UserError, match=said):
        emorec_tf.build_model(["a", "b"], face="mini_xception")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"adapt": "self"}, "adapt_audio is True; it must be false under a classifier, else drop"),
        ({"adapt": 2, "classifier": "lda"}, "waveform has no bands"),
        ({"augment_channel": True}, "audio_features 'waveform' has no powers at its entry"),
        ({"classifier": "lda", "augmented_copies": 1}, "'waveform' has no powers at its entry"),
    ],
)
def test_what_needs_bands_is_refused_for_a_waveform(settings: dict[str, Any], said: str) -> None:
    wanted = {"audio_features": "waveform", "audio": "functionals", "fusion": "audio_only"}
    with pytest.raises(UserError, match=said):
        checks.check_settings(build({**wanted, **settings}))
    checks.check_settings(build({**wanted, "adapt": 2, "fusion": "face_only"}))
    checks.check_settings(build({**wanted, "adapt": 2, "classifier": "lda", "adapt_audio": False}))


def test_a_note_says_that_augmentation_leaves_a_waveform_alone(caplog) -> None:
    heard = {"audio_features": "waveform", "fusion": "audio_only"}
    caplog.set_level("INFO", "emorec_tf")
    for settings in ({**heard, "augment": False}, {**heard, "classifier": "lda"}, {}):
        checks.note_unchanged_audio(build(settings))
    checks.note_unchanged_audio(build({**heard, "fusion": "face_only"}))
    assert not caplog.messages
    checks.note_unchanged_audio(build(heard))
    assert "augmentation leaves audio_features waveform as they are" in caplog.text
