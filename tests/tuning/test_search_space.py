"""The ``search:`` section: mistakes get one line, and picked values become a config."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from places import ROOT

from emorec_tf.config import choices, config
from emorec_tf.config.config import Config, build
from emorec_tf.errors import UserError
from emorec_tf.tuning import search_files, search_space

SECTION = """
learning_rate: {min: 3e-4, max: 0.01, sampling: log}
modality_dropout: [0.0, 0.15, 0.3]
batch_size: {min: 8, max: 32, step: 8}
augment: [true, false]
pretrain: [null, some]
audio: ["conv1d", "lstm(units=64)", "resnet_se"]
audio.filters: [64, 128]
audio.dropout: {min: 0, max: 0.5}
audio.units: [16]
audio.blocks: [2, 3]
face.units: {min: 16, max: 128, step: 16}
fusion: [concat, gated]
fusion.layers: [1, 2]
"""
BASE = build({"face": "face_hog(cells=4, units=32)"})


def read(text: str, base: Config = BASE, assigned: tuple[str, ...] = ()):
    return search_space.read(yaml.safe_load(text), base, assigned)


def values(**picked):
    return {name.replace("__", "."): value for name, value in picked.items()}


def test_choices_come_before_their_hyperparameters():
    text = SECTION.replace("audio.units: [16]\n", "").replace("audio.blocks: [2, 3]\n", "")
    space = {axis.name: axis for axis in read(text)}
    assert [n for n in space if "." in n] == [*space][-4:]
    rate = space["learning_rate"]
    assert (rate.low, rate.high, rate.sampling, rate.whole) == (3e-4, 0.01, "log", False)
    assert space["batch_size"].whole
    assert space["audio.filters"].under == ("conv1d",)
    assert space["audio.dropout"].under == (), "all three have it"
    assert space["fusion.layers"].under == ("concat",)
    assert space["face.units"].under == (), "the config's own branch has it"
    assert space["pretrain"].labels == ["None", "some"]
    assert space["augment"].values == (True, False)


def test_what_is_picked_becomes_a_config():
    text = "audio: [conv1d, 'lstm(units=64)']\naudio.dropout: {min: 0.0, max: 0.5}\n"
    text += "audio.kernel: [3, 5]\nface.units: [16, 64]\nlearning_rate: {min: 0.001, max: 0.1}\n"
    space = read(text)
    drawn = values(audio="lstm(units=64)", audio__dropout=0.123456, audio__kernel="3")
    drawn |= values(face__units="64", learning_rate=0.00100004) | {"tuner/epochs": 3}
    chosen = search_space.picked(space, drawn)
    assert "audio.kernel" not in chosen, "lstm has none"
    made = search_space.applied(chosen, BASE)
    assert made.model.audio == "lstm(units=64, dropout=0.1235)"
    assert made.model.face == "face_hog(cells=4, units=64)"
    assert made.train.learning_rate == 0.001
    assert choices.check("audio", made.model.audio)
    same = build({"audio": made.model.audio, "face": made.model.face, "learning_rate": 1e-3}, BASE)
    assert made == same, "nothing else changes"


def test_an_argument_set_by_a_listed_choice_is_kept():
    space = read("audio: ['lstm(units=64)', lstm]\naudio.units: [8]")
    assert space[1].under == ("lstm",)
    drawn = values(audio="lstm(units=64)", audio__units="8")
    made = search_space.applied(search_space.picked(space, drawn), BASE)
    assert made.model.audio == "lstm(units=64)"


def test_an_argument_without_a_number_may_be_searched():
    base = build({"fusion": "weighted_average"})
    listed = read("fusion.audio_weight: [null, 0.3]", base)[0]
    assert listed.values == (None, 0.3)
    ranged = read("fusion.audio_weight: {min: 0, max: 1}", base)[0]
    assert (ranged.low, ranged.high, ranged.whole) == (0.0, 1.0, False)
    made = search_space.applied({"fusion.audio_weight": None}, base)
    assert made.model.fusion == "weighted_average(audio_weight=None)"


def test_keras_tuner_draws_only_what_can_be_built():
    import keras_tuner

    space = read(SECTION.replace("audio.units: [16]\n", "").replace("audio.blocks: [2, 3]\n", ""))
    oracle = keras_tuner.oracles.RandomSearchOracle(
        objective=keras_tuner.Objective("x", "max"),
        hyperparameters=search_space.hyperparameters(space),
        seed=1,
    )
    branches = set()
    for _ in range(60):
        drawn = oracle._random_values()
        chosen = search_space.picked(space, drawn)
        assert set(chosen) == set(drawn), "inactive axes are not drawn"
        made = search_space.applied(chosen, BASE)
        branches.add(made.model.audio.partition("(")[0])
        for kind in choices.NETWORK:
            choices.check(kind, getattr(made.model, kind))
        assert 3e-4 <= made.train.learning_rate <= 0.01
        assert made.train.batch_size in (8, 16, 24, 32)
    assert branches == {"conv1d", "lstm", "resnet_se"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "search must hold"),
        ("[a]", "search must hold"),
        ("{3: [1]}", "names of settings are words"),
        ("{learning_rat: [1]}", "unknown setting 'learning_rat'; did you mean 'learning_rate'"),
        ("{mel_bands: [32]}", "mel_bands cannot be searched: it changes the records"),
        ("{classes: ['7']}", "classes cannot be searched: it changes which clips"),
        ("{seed: [1, 2]}", "seed cannot be searched: all trials share it"),
        ("{keep: [last]}", "keep cannot be searched"),
        ("{epochs: [3]}", "epochs is set by this tuner"),
        ("{audio: [conv2d]}", "unknown audio 'conv2d'; did you mean 'conv1d'"),
        ("{audio: conv1d}", "it must be a list of values or {min, max}"),
        ("{audio: []}", "it must be a list of values"),
        ("{audio: [[conv1d]]}", "search: audio is ['conv1d']; it must be a word"),
        ("{audoi.units: [3]}", "'audoi' has no hyperparameters; did you mean 'audio'"),
        (
            "{audio.filtres: [64]}",
            "no audio of conv1d has that hyperparameter; did you mean 'filters'",
        ),
        (
            "{audio: [lstm, conv1d], audio.heads: [3]}",
            "no audio of lstm, conv1d has that hyperparameter",
        ),
        ("{audio: ['lstm(units=3)'], audio.units: [4]}", "every audio that has it sets it"),
        ("{audio.filters: [many]}", "audio.filters is 'many'; it must be a whole number"),
        ("{audio.pool: [3]}", "audio.pool is 3; it must be a word"),
        ("{augment: [on, 3]}", "augment is 3; it must be true or false"),
        ("{jit: [on]}", 'jit is True; it must be "auto" or "on" or "off", in quotes'),
        ("{learning_rate: [a]}", "learning_rate is 'a'; it must be a number"),
        ("{learning_rate: [null]}", "learning_rate is None; it must be a number"),
        ("{learning_rate: [0.1, 0.1]}", "lists 0.1 twice"),
        ("{learning_rate: [0.1, -1]}", "learning_rate is -1.0; it must be above 0"),
        ("{learning_rate: {min: 1, max: 0.1}}", "min 1.0 is not below max 0.1"),
        ("{learning_rate: {min: 1}}", "a range has a min and a max"),
        ("{learning_rate: {min: 1, mx: 2}}", "unknown 'mx'; did you mean 'max'"),
        ("{learning_rate: {min: 1, max: 2, sampling: lg}}", "it must be linear or log"),
        ("{weight_decay: {min: 0, max: 2, sampling: log}}", "it must be above 0 with sampling log"),
        ("{batch_size: {min: 1, max: 8, step: 1, sampling: log}}", "it must be above 1 with"),
        ("{batch_size: {min: 1.5, max: 8}}", "batch_size.min is 1.5; it must be a whole number"),
        ("{label_smoothing: {min: 0, max: 2}}", "label_smoothing is 2.0; it must be 0 to 1"),
        ("{augment: {min: 0, max: 1}}", "only numbers have a range"),
        ("{fusion: {min: 0, max: 1}}", "only numbers have a range"),
    ],
)
def test_mistakes_are_refused_in_one_line(text, message):
    with pytest.raises(UserError, match=re.escape(message)) as error:
        read(text, assigned=("epochs",))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("fusion", ["concat", "audio_only", "face_only"])
def test_default_section_can_be_searched_and_pasted(fusion):
    base = build({"fusion": fusion})
    section = search_space.default(base)
    assert ("modality_dropout" in section) == (fusion == "concat")
    pasted = yaml.safe_load(search_space.text(section))["search"]
    assert search_space.read(pasted, base) == search_space.read(section, base)
    rated = search_space.default(build({"target": "valence", "target_scale": "continuous"}))
    assert "label_smoothing" not in rated


def test_other_commands_ignore_the_search_section(tmp_path: Path):
    path = tmp_path / "c.yaml"
    path.write_text("epochs: 3\nsearch:\n  anything: goes\n")
    assert config.read_yaml(path) == {"epochs": 3}
    assert config.read_mapping(path)["search"] == {"anything": "goes"}


def test_search_sections_of_the_configs_are_valid():
    found = 0
    for path in sorted((ROOT / "configs").glob("*.yaml")):
        section = config.read_mapping(path).get("search")
        if section is not None:
            found += 1
            assert search_space.read(section, build(config.read_yaml(path)), ("epochs",))
    assert found >= 2


OLD_BASE = build({"classifier": "lda(shrinkage=0.3)"})


@pytest.mark.parametrize("base", ["lda(shrinkage=0.3)", "lda"])
def test_a_hyperparameter_by_its_former_name(base):
    settings = build({"classifier": base})
    text = "classifier: ['lda(shrinkage=0.3)', none]\nclassifier.offsets: [0.2, 0.6]\n"
    now = search_space.present_names(yaml.safe_load(text), settings)
    assert list(now) == ["classifier", "classifier.speaker_shrinkage"]
    for section in (now, yaml.safe_load(text)):  # an old search keeps its names
        space = search_space.read(section, settings)
        assert space[1].under == ("lda(shrinkage=0.3)",)
        drawn = {"classifier": "lda(shrinkage=0.3)", space[1].name: "0.6"}
        made = search_space.applied(search_space.picked(space, drawn), settings)
        assert made.model.classifier == "lda(shrinkage=0.3, speaker_shrinkage=0.6)"


def test_former_names_of_hyperparameters_are_checked_too():
    base = build({"classifier": "lda(shrinkage=0.3, offsets=0.1)"})
    ranged = {"classifier.offsets": {"min": 0.1, "max": 0.9}}
    (axis,) = search_space.read(search_space.present_names(ranged, base), base)
    made = search_space.applied({axis.name: 0.5}, base)
    assert made.model.classifier == "lda(shrinkage=0.3, speaker_shrinkage=0.5)"
    for section, said in (
        ({"classifier.offsets": ["much"]}, "'much'; it must be a number"),
        ({"classifier": ["lda(offsets=0.1)"], "classifier.offsets": [0.2]}, "sets it; drop it"),
        ({"classifier": ["svm"], "classifier.offsets": [0.2]}, "no classifier of svm has"),
        ({"classifier.offsets": [0.1], "classifier.speaker_shrinkage": [0.1]}, "given twice"),
    ):
        with pytest.raises(UserError, match=said) as error:
            search_space.read(search_space.present_names(section, base), base)
        assert "\n" not in str(error.value)


def test_an_old_search_folder_goes_on_under_its_names(tmp_path: Path):
    old = {"classifier.offsets": [0.2, 0.6], "learning_rate": [0.1]}
    new = {"classifier.speaker_shrinkage": [0.2, 0.6], "learning_rate": [0.1]}
    assert search_files.spelled_as_before(tmp_path, new, OLD_BASE) == new
    plan = dict.fromkeys(search_files.MUST_AGREE) | {"search": old, "config": {}}
    (tmp_path / search_files.KIND.file).write_text(json.dumps(plan))
    assert search_files.spelled_as_before(tmp_path, new, OLD_BASE) == old
    other = {"classifier.speaker_shrinkage": [0.2, 0.7], "learning_rate": [0.1]}
    assert search_files.spelled_as_before(tmp_path, other, OLD_BASE) == other
