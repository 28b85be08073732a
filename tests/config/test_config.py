"""Settings: flat over sections, refused when impossible, unchanged by a YAML round trip."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from emorec_tf.config import choices, spellings
from emorec_tf.config.config import (
    SECTIONS,
    Config,
    DataConfig,
    FeaturesConfig,
    ModelConfig,
    TrainConfig,
    build,
    comparable,
    flat,
    read_yaml,
    renamed,
    same_settings,
    section_of,
    to_yaml,
)
from emorec_tf.config.fields import nearest
from emorec_tf.errors import UserError


def test_field_names_are_unique_and_explained():
    fields = [f for cls in SECTIONS.values() for f in dataclasses.fields(cls)]
    names = [f.name for f in fields]
    assert sorted(names) == sorted(set(names))
    assert all(f.metadata["help"] for f in fields)
    assert list(flat(Config())) == names
    assert [section_of(n) for n in ("classes", "hop_seconds", "fusion", "epochs", "x")] == [
        "data",
        "features",
        "model",
        "train",
        None,
    ]


def test_derived_sizes():
    features = FeaturesConfig()
    assert (features.clip_samples, features.window_samples, features.hop_samples) == (
        64000,
        400,
        160,
    )
    assert features.audio_frames == len(range(0, 64000 - 400 + 1, 160))


def test_fingerprint_changes_with_every_setting():
    other = {
        bool: lambda v: not v,
        str: lambda v: {"mediapipe": "yunet", "log_mel": "mfcc", "even": "rate"}[v],
        int: lambda v: 3 if v == 1 else v + 1,
        float: lambda v: v * 0.99,
    }
    base = FeaturesConfig(sample_rate_hz=22050, trim_db=30.0)
    fingerprints = {base.fingerprint()}
    for field in dataclasses.fields(FeaturesConfig):
        value = getattr(base, field.name)
        fingerprints.add(
            dataclasses.replace(base, **{field.name: other[type(value)](value)}).fingerprint()
        )
    assert len(fingerprints) == len(dataclasses.fields(FeaturesConfig)) + 1
    assert all(re.fullmatch("[0-9a-f]{8}", fingerprint) for fingerprint in fingerprints)
    assert base.fingerprint() == dataclasses.replace(base).fingerprint()


@pytest.mark.parametrize(
    ("section", "wrong"),
    [
        (FeaturesConfig, {"sample_rate_hz": 100}),
        (FeaturesConfig, {"hop_seconds": 0.0}),
        (FeaturesConfig, {"window_seconds": 5.0}),
        (FeaturesConfig, {"mel_max_hz": 8001.0}),
        (FeaturesConfig, {"mel_bands": 0}),
        (FeaturesConfig, {"face_frames": -1}),
        (FeaturesConfig, {"face_pixels": 4}),
        (FeaturesConfig, {"face_margin": -0.1}),
        (DataConfig, {"modality": "04"}),
        (ModelConfig, {"modality_dropout": 0.5}),
        (TrainConfig, {"epochs": 0}),
        (TrainConfig, {"batch_size": 0}),
        (TrainConfig, {"learning_rate": 0.0}),
        (TrainConfig, {"label_smoothing": 1.0}),
        (TrainConfig, {"patience": -1}),
    ],
)
def test_impossible_settings(section, wrong):
    (name, value), *_ = wrong.items()
    with pytest.raises(UserError, match=f"{name} is {re.escape(repr(value))}"):
        section(**wrong)


def test_audio_features_are_those_of_the_table():
    hint = "unknown audio_features 'log_mell'; did you mean 'log_mel'"
    with pytest.raises(UserError, match=hint):
        FeaturesConfig(audio_features="log_mell")
    with pytest.raises(UserError, match="unknown audio_features"):
        FeaturesConfig(audio_features="log_mel()")
    with pytest.raises(UserError, match="mfcc_count is 65; it must be 1 to mel_bands"):
        FeaturesConfig(audio_features="mfcc", mfcc_count=65)
    assert FeaturesConfig(mfcc_count=65).audio_width == 64
    assert FeaturesConfig(audio_features="mfcc").audio_width == 20
    names = choices.entries("audio_features")
    centred = {name: FeaturesConfig(audio_features=name).centred for name in names}
    expected = {"log_mel": False, "fbank": False, "mfcc": True, "mel_db": True}
    assert centred == {**expected, "waveform": False}


def test_blocks_of_the_waveform():
    features = FeaturesConfig(audio_features="waveform", clip_seconds=0.5)
    assert (features.audio_frames, features.audio_width) == (50, 160)
    features = FeaturesConfig(audio_features="waveform", clip_seconds=0.055, hop_seconds=0.02)
    assert (features.audio_frames, features.audio_width) == (2, 320)
    with pytest.raises(UserError, match=r"hop_seconds is 0\.06; it must be at most clip_seconds"):
        FeaturesConfig(audio_features="waveform", clip_seconds=0.05, hop_seconds=0.06)
    assert FeaturesConfig(clip_seconds=0.05, hop_seconds=0.06).audio_frames == 1


def test_fingerprints_match_older_records():
    """They are stored with all records and runs, so they must never change."""
    assert FeaturesConfig().fingerprint() == "6bb837b0"


def test_old_file_codes_still_work():
    old = {"01": "audio_visual", "02": "video_only", "03": "audio_only"}
    for modality in ("auto", *old.values()):
        assert DataConfig(modality=modality).modality == modality
        assert DataConfig(modality=old.get(modality, modality)).modality == modality
    assert {code: DataConfig(modality=code).modality for code in old} == old


def test_a_config_spells_old_values_as_now():
    spelled = "lda(pca=900,  shrinkage=0.3, {}=0.6)"
    old = {"modality": "01", "classifier": spelled.format("offsets")}
    new = {"modality": "audio_visual", "classifier": spelled.format("speaker_shrinkage")}
    assert build(old) == build(new) == build(renamed(old))
    assert build(new).model.classifier == new["classifier"], "the rest of the text stays"
    model = dataclasses.replace(Config().model, classifier=old["classifier"])
    assert model == build(new).model
    for wrong in ("lda(offsets=", "nothing(offsets=1)", "svm(offsets=1)", "lda(**{'offsets': 1})"):
        assert build({"classifier": wrong}).model.classifier == wrong, "refused where it is used"


def test_first_spellings_are_exact():
    for odd in (None, 3, ["01"], " lda( shrinkage=0.3 ) ", "lda"):
        for name in ("modality", "classifier"):
            assert spellings.first(name, spellings.present(name, odd)) == odd
    for kind in choices.NETWORK:
        for entry in choices.entries(kind).values():
            for argument in entry.facts.renamed:
                old = f" {entry.name}(\n  other='{argument}=1', {argument} =0.5 )"
                now = spellings.present(kind, old)
                assert now == old.replace(f"{argument} =", f"{entry.facts.renamed[argument]} =")
                assert spellings.first(kind, now) == old
    for old in ("01", "02", "03", "auto"):
        assert spellings.first("modality", spellings.present("modality", old)) == old


def test_spaces_and_order_of_arguments_are_not_compared():
    one, other = "lstm(units=64,dropout=0.1)", "lstm( dropout=0.1, units=64 )"
    assert same_settings(build({"audio": one}), build({"audio": other}))
    assert not same_settings(build({"audio": one}), build({"audio": "lstm(units=64)"}))
    assert comparable({"members": "a", "modality": "03"}) == {
        "ensemble": "a",
        "modality": "audio_only",
    }


def test_build():
    config = build({"epochs": 3, "fusion": "audio_only"})
    assert config == Config(model=ModelConfig(fusion="audio_only"), train=TrainConfig(epochs=3))
    assert build({"batch_size": 2}, config).train == TrainConfig(epochs=3, batch_size=2)
    with pytest.raises(UserError, match="unknown setting 'epocs'; did you mean 'epochs'"):
        build({"epocs": 3})


def test_nearest():
    assert nearest("epocs", ["epochs", "audio"]) == "did you mean 'epochs'?"
    assert nearest("zzz", ["b", "a"]) == "known are a, b"


def test_yaml_round_trip(tmp_path: Path):
    config = build({"learning_rate": 1e-3, "classes": "7", "face_mesh": True, "records": None})
    (tmp_path / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    assert build(read_yaml(tmp_path / "config.yaml")) == config
    assert to_yaml(config).count("# ") == len(SECTIONS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not valid YAML"),
        ("- 1\n", "must hold 'name: value' lines"),
        ("epocs: 3\n", "unknown setting 'epocs'; did you mean 'epochs'"),
        ("epochs: !!python/object/apply:os.getcwd []\n", "not valid YAML"),
    ],
)
def test_damaged_yaml(tmp_path: Path, text, message):
    (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(message)) as error:
        read_yaml(tmp_path / "c.yaml")
    assert "\n" not in str(error.value)


def test_a_missing_yaml_file_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="there is no config"):
        read_yaml(tmp_path / "c.yaml")
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UserError, match="not valid YAML"):
        read_yaml(tmp_path / "c.yaml")
    (tmp_path / "c.yaml").write_text("")
    assert read_yaml(tmp_path / "c.yaml") == {}
