"""LICENSE.txt: every corpus, every pretrained network inside, and what follows for the weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from untrained_runs import SOURCE, untrained

from emorec_tf.config import choices
from emorec_tf.config.config import FeaturesConfig, ModelConfig
from emorec_tf.datasets import terms
from emorec_tf.datasets.corpora import DATASETS
from emorec_tf.exporting import licences, package_model
from emorec_tf.training import networks_inside, run_dir


@pytest.mark.parametrize(
    ("datasets", "said"),
    [
        (["demo"], "set no conditions"),
        (["emodb", "jl-corpus"], "Name emodb wherever"),
        (["emodb", "crema-d"], "Name crema-d, and share these weights under the same licence"),
        (["ravdess", "emodb"], "for non-commercial research only: ravdess allows no more."),
        (["tess", "nemo", "emodb"], "research only: tess and nemo allow no more."),
        (["my-clips"], "as you have agreed with the people"),
    ],
)
def test_the_strictest_corpus_decides(datasets: list[str], said: str) -> None:
    assert said in terms.strictest(datasets)


def test_each_corpus_has_a_use_that_its_licence_allows() -> None:
    for name, corpus in DATASETS.items():
        assert corpus.use in terms.USES, name
        if any(word in corpus.licence for word in ("-NC", "-ND", "research", "academic")):
            assert corpus.use == "research", name


def test_every_branch_that_takes_weights_says_whose_they_are() -> None:
    for kind in ("audio", "face"):
        for entry in choices.entries(kind).values():
            assert ("weights" in entry.arguments) == ("*" in entry.facts.pretrained), entry.name
            text = entry.facts.inside({**entry.arguments, "weights": "some.file"})
            assert ("licence" in text) == ("weights" in entry.arguments), entry.name
            assert entry.facts.inside({**entry.arguments, "weights": "none"}) == ""


def test_networks_and_their_corpora_are_named(tmp_path: Path, features: FeaturesConfig) -> None:
    run, _ = untrained(tmp_path, features)
    model = ModelConfig(
        audio="whisper(size='tiny.en', weights='/home/me/model.bin')",
        face="expression_net(weights='/home/me/net.keras')",
        fusion="concat",
    )
    run = dataclasses.replace(run, config=dataclasses.replace(run.config, model=model))
    assert networks_inside.pretrained(run)["corpora"] == ["fer2013"]
    source = package_model.with_pretrained(run)
    text = licences.text("mine", source)
    assert "Whisper tiny.en by OpenAI: MIT licence" in text
    assert "\n\nfer2013: not stated" in text
    assert "for non-commercial research only: fer2013 allows no more." in text
    assert "/home/me" not in text
    alone = dataclasses.replace(model, fusion="audio_only")
    heard = dataclasses.replace(run, config=dataclasses.replace(run.config, model=alone))
    assert networks_inside.pretrained(heard)["corpora"] == []


def test_stages_of_an_ensemble_name_theirs(tmp_path: Path, features: FeaturesConfig) -> None:
    stages = {}
    for name, audio in (("a", "whisper(size='base', weights='download')"), ("b", "lstm")):
        run, _ = untrained(tmp_path, features, fusion="audio_only")
        model = dataclasses.replace(run.config.model, audio=audio)
        config = dataclasses.replace(run.config, model=model)
        own = run_dir.create(dataclasses.replace(run, folder=tmp_path / name, config=config))
        stages[name] = {"config": name, "folder": name}
    whole = dataclasses.replace(
        own,
        folder=tmp_path,
        steps=stages,
        config=dataclasses.replace(own.config, model=ModelConfig(ensemble="a,b")),
    )
    assert networks_inside.pretrained(whole)["networks"] == [
        "encoder of Whisper base by OpenAI: MIT licence, https://github.com/openai/whisper"
    ]
    assert whole.modalities == ("audio", "face")
    assert package_model.unused(whole) == ("face",)
    assert package_model.with_pretrained(dataclasses.replace(whole, steps={})) == SOURCE
