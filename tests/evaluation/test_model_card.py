"""The model card states what a reader must know, in valid Markdown tables."""

from __future__ import annotations

import re

import pytest
from invented_runs import invent

from emorec_tf.evaluation import completeness, crossval_results
from emorec_tf.evaluation.crossval_results import read
from emorec_tf.evaluation.model_card import LIMITS, between, model_card, percent
from emorec_tf.evaluation.run_metrics import run_metrics
from emorec_tf.evaluation.subgroups import INCONCLUSIVE, traits_of


def card(folder) -> str:
    run = read(folder)
    return model_card(run, run_metrics(run, traits_of(run.clip_ids.tolist(), "ravdess")))


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> str:
    return card(invent(tmp_path_factory.mktemp("card") / "cv"))


def test_card_states_protocol_scores_limits_and_training(text):
    wanted = (
        "ravdess/contiguous6",
        "12ab34cd",
        "speaker-independent",
        "fold 6 left out",
        "CC BY-NC-SA 4.0",
        "acted (intended by the actor)",
        "123,456 parameters",
        "emorec_tf.crossval --run",
        "12 speakers",
        "seeds (2)",
        "fusion: concat",
        "audio, no face",
        "noise 0 dB",
        *LIMITS,
    )
    assert [words for words in wanted if words not in text] == []
    assert INCONCLUSIVE in text  # 12 actors are 6 women and 6 men
    assert "LEAKY" not in text
    assert "UNFINISHED" not in text


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"enrol": 5}, "normalised by unlabelled enrolment clips of each test speaker"),
        ({"enrol": 5, "adapt_by": "corpus"}, "unlabelled enrolment clips of each test corpus"),
        ({"enrol": "self"}, "each clip was normalised by the clip itself, without enrolment"),
    ],
)
def test_a_card_says_what_a_run_was_adapted_by(facts, said, tmp_path):
    text = card(invent(tmp_path / "cv", mode="enrolled", **facts))
    assert said in text


def test_table_rows_have_equal_columns(text):
    tables = re.findall(r"(?:^\|.*\|\n)+", text, flags=re.MULTILINE)
    assert len(tables) == 5
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_a_leaky_or_unfinished_run_is_marked_first(tmp_path):
    text = card(invent(tmp_path / "cv", leaky=True, only=(0, 2)))
    head = text[:600]
    assert "**LEAKY" in head
    assert "**UNFINISHED: fold 1 (named 2) of seed 0, fold 1 (named 2) of seed 1 missing" in head
    tables = [line for line in text.splitlines() if line.startswith("## ") and "(" in line]
    assert len(tables) == 5
    assert all("(LEAKY, speaker-dependent" in line for line in tables)
    assert "never on test speakers" not in text


def test_a_part_of_a_protocol_is_marked(tmp_path, text):
    """The invented run has 3 of the 6 folds, and 12 of the 24 actors."""
    assert "**PARTIAL: 3 of 6 folds, " in text[:600]
    assert " of 1,440 clips; not comparable with results of the whole protocol.**" in text[:600]
    assert "`ravdess/contiguous6`, 3 of 6 folds, fingerprint" in text
    whole = crossval_results.read(invent(tmp_path / "cv", protocol="group_kfold:3", notes=[]))
    assert whole.scope == ""
    assert "PARTIAL" not in card(tmp_path / "cv")
    part = crossval_results.read(invent(tmp_path / "one", protocol="group_kfold:3", only=(0,)))
    assert part.scope.startswith("1 of 3 folds, ")
    all_folds = {"folds": [*whole.facts["folds"], *whole.facts["folds"]], "notes": []}
    complete = {**whole.facts, **all_folds, "protocol": "ravdess/contiguous6"}
    complete["clips_to_score"] = 700
    assert completeness.scope(complete, 6, 700) == ""  # classes may be left out on purpose
    assert completeness.scope(complete, 5, 600) == "5 of 6 folds, 600 of 700 clips"


def test_folds_are_counted_as_they_are_typed():
    assert completeness.fold_label(["1", "2"], "2") == "fold 1 (named 2)"
    assert completeness.fold_label(["0", "1"], "1") == "fold 1"


def test_shares_in_words():
    assert percent(0.12345) == "12.3 %"
    assert percent(None) == "-"
    assert between([0.5, 0.75]) == "50.0 to 75.0 %"
    assert "one speaker" in between(None)
