"""The search for a classical head: by validation speakers, resumable, without pickles."""

from __future__ import annotations

import dataclasses
import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import balanced_accuracy_score

from emorec_tf.config import choices
from emorec_tf.errors import UserError
from emorec_tf.models.classical import head_search, kept_oracle
from emorec_tf.models.classical.classifiers import Search
from emorec_tf.models.classical.head_search import Rows, parts_of
from emorec_tf.storage.files import write_atomically


def drawn(seed: int, clips: int = 60) -> Rows:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, clips)
    features = random.normal(size=(clips, 8)) + 1.2 * np.eye(8)[labels] + 5
    return Rows(features, labels, np.full(clips, str(seed)))


def rounds(search: Search) -> list[head_search.Part]:
    return parts_of(search, [(drawn(0), drawn(1))])


def scores(folder: Path) -> list[float]:
    return [t["score"] for t in trials(folder) if t["status"] == "COMPLETED"]


def trials(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "oracle.json").read_text())["trials"]
    return found


def values(folder: Path) -> list[dict[str, Any]]:
    return [t["hyperparameters"]["values"] for t in trials(folder)]


@pytest.mark.parametrize(
    "choice", ["logreg(trials=5)", "lda(trials=5)", "svm(trials=6, oracle='random')"]
)
def test_the_best_on_validation_is_kept(choice, tmp_path: Path, capsys, caplog):
    caplog.set_level("INFO", "emorec_tf")
    search = choices.resolve("classifier", choice)(True)
    training, validation = drawn(0), drawn(1)
    best = head_search.find(
        search, parts_of(search, [(training, validation)]), tmp_path / "search", 0
    )
    found = head_search.fitted(search, best, training)
    guesses = found.decisions(validation.features).argmax(1)
    uar = balanced_accuracy_score(validation.labels, guesses)
    assert uar == pytest.approx(max(scores(tmp_path / "search")))
    assert len(scores(tmp_path / "search")) == search.trials
    assert capsys.readouterr() == ("", ""), "a library prints nothing"
    title, head, *rows = caplog.messages
    assert title == f"best of {search.trials} trials"
    assert head.split()[0] == "trial"
    assert head.split()[-1] == "val_uar"
    assert [float(row.split()[-1]) for row in rows] == [
        round(score, 3) for score in sorted(scores(tmp_path / "search"), reverse=True)[:5]
    ]
    np.testing.assert_allclose(
        found.mean, training.features.mean(0)
    )  # nothing of the validation clips
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert {p.suffix for p in files} == {".json"}


@pytest.mark.parametrize("classes", [2, 3])
def test_balanced_analysis_holds_classes_equally_likely(classes, tmp_path: Path):
    random = np.random.default_rng(0)
    labels = np.concatenate([np.full(70, 0), np.arange(60) % classes])
    features = random.normal(size=(len(labels), 8)) + np.eye(8)[labels]
    search = choices.resolve("classifier", "lda(shrinkage=0.3, pca=0)")(True)
    assert search.trials == 1, "nothing is searched"
    rows = Rows(features, labels, np.full(len(labels), "0"))
    settings = head_search.find(
        search, parts_of(search, [(rows, drawn(1))]), tmp_path / "search", 0
    )
    found = head_search.fitted(search, settings, rows)
    z = (features - features.mean(0)) / features.std(0)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3).fit(z, labels)
    likely = theirs.predict_proba(z) / theirs.priors_  # Bayes, with even priors
    likely /= likely.sum(1, keepdims=True)
    scores = np.exp(found.decisions(features))
    np.testing.assert_allclose(scores / scores.sum(1, keepdims=True), likely, atol=1e-9)


@pytest.mark.parametrize(("clips", "width"), [(40, 90), (90, 40)])
def test_the_projection_is_scikit_learns(clips, width):
    random = np.random.default_rng(0)
    features = random.normal(size=(clips, width)) @ random.normal(size=(width, width)) + 3
    search = choices.resolve("classifier", "lda(pca=20)")(True)
    mine = head_search.projection(search, features).projected(features)
    z = (features - features.mean(0)) / features.std(0)
    theirs = PCA(20, svd_solver="full").fit_transform(z)
    np.testing.assert_allclose(np.abs(mine), np.abs(theirs), atol=1e-8)  # the signs are arbitrary
    whole = choices.resolve("classifier", "lda(pca=600)")(True)
    found = head_search.projection(whole, features)
    assert len(found.components) == min(clips - 1, width), "what the mean takes has no variance"
    turned = found.components @ found.components.T
    np.testing.assert_allclose(turned, np.eye(len(turned)), atol=1e-8)


def test_the_same_seed_repeats_the_search(tmp_path: Path):
    search = choices.resolve("classifier", "logreg(trials=3)")(True)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        head_search.find(search, rounds(search), tmp_path / name, seed)
    assert values(tmp_path / "a") == values(tmp_path / "b")
    assert values(tmp_path / "a") != values(tmp_path / "c")


def test_a_given_strength_is_scikit_learns_and_not_searched(tmp_path: Path):
    from sklearn.linear_model import LogisticRegression

    search = choices.resolve("classifier", "logreg(strength=20.0)")(False)
    parts = rounds(search)
    best = head_search.find(search, parts, tmp_path, 0)
    assert len(values(tmp_path)) == 1
    _, fit, judged = parts[0]
    z = (fit.features - fit.features.mean(0)) / fit.features.std(0)
    theirs = LogisticRegression(C=0.05, max_iter=1000).fit(z, fit.labels)
    wanted = theirs.decision_function(
        (judged.features - fit.features.mean(0)) / fit.features.std(0)
    )
    found = head_search.answered(search, best, parts[:1])
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_a_stopped_search_goes_on(tmp_path: Path):
    search = choices.resolve("classifier", "logreg(trials=5)")(True)
    calls = []

    def stopping(hp):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return search.make(hp)

    broken = dataclasses.replace(search, make=stopping)
    with pytest.raises(KeyboardInterrupt):
        head_search.find(broken, rounds(broken), tmp_path / "search", 0)
    before = scores(tmp_path / "search")
    assert 1 <= len(before) < 5
    head_search.find(search, rounds(search), tmp_path / "search", 0)
    after = scores(tmp_path / "search")
    assert len(after) == 5
    assert after[: len(before)] == before


def test_a_failing_trial_stops_the_search(tmp_path: Path):
    def failing(hp):
        hp.Float("C", 0.1, 1.0)
        return object()

    search = dataclasses.replace(choices.resolve("classifier", "logreg")(True), make=failing)
    for _ in range(2):
        with pytest.raises(AttributeError, match="fit"):
            head_search.find(search, rounds(search), tmp_path / "search", 0)


CHOICES = ["logreg(trials=8)", "svm(trials=9)", "svm(trials=6, oracle='random')"]


@pytest.fixture(scope="module", params=CHOICES)
def undisturbed(request: pytest.FixtureRequest, tmp_path_factory) -> tuple[Search, Any, list[str]]:
    """A search, what it chooses, and its file after each write."""
    search = choices.resolve("classifier", request.param)(True)
    written = []

    def keep(path: Path, text: str) -> None:
        written.append(text)
        write_atomically(path, text)

    folder = tmp_path_factory.mktemp("whole") / "search"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept_oracle, "write_atomically", keep)
        best = head_search.find(search, rounds(search), folder, 0)
    return search, best.values, written


def test_a_kill_after_a_write_chooses_the_same_head(undisturbed, tmp_path: Path):
    search, best, written = undisturbed
    assert len(written) == 2 * search.trials, "when a trial begins and when it ends"
    whole = [t["hyperparameters"]["values"] for t in json.loads(written[-1])["trials"]]
    for at, text in [*enumerate(written)][::3]:  # of started and of ended trials
        folder = tmp_path / str(at)
        folder.mkdir()
        (folder / "oracle.json").write_text(text)
        again = head_search.find(search, rounds(search), folder, 0)
        assert again.values == best
        assert values(folder) == whole


@pytest.mark.parametrize("after", [1, 4, 6])
def test_a_stop_within_a_trial_chooses_the_same_head(undisturbed, after: int, tmp_path: Path):
    search, best, _ = undisturbed
    left = [after]

    def stopping(hp: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return search.make(hp)

    broken = dataclasses.replace(search, make=stopping)
    with pytest.raises(KeyboardInterrupt):
        head_search.find(broken, rounds(broken), tmp_path / "search", 0)
    assert head_search.find(search, rounds(search), tmp_path / "search", 0).values == best


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"oracle": {}, "trials": [{}]}'])
def test_a_damaged_file_is_set_aside(text: str, tmp_path: Path, caplog):
    search = choices.resolve("classifier", "logreg(trials=4)")(True)
    best = head_search.find(search, rounds(search), tmp_path / "search", 0)
    file = tmp_path / "search" / "oracle.json"
    file.write_text(text)
    with caplog.at_level("WARNING"):
        again = head_search.find(search, rounds(search), tmp_path / "search", 0)
    assert again.values == best.values
    assert "its trials are made again" in caplog.text
    assert file.with_name("oracle.damaged.json").read_text() == text


@pytest.mark.parametrize("after", [1, 6, 7])
def test_a_full_disk_loses_nothing_once_there_is_space(
    undisturbed, after: int, tmp_path: Path, monkeypatch
):
    search, best, _ = undisturbed
    left = [after]

    def full(path: Path, text: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write_atomically(path, text)

    monkeypatch.setattr(kept_oracle, "write_atomically", full)
    with pytest.raises(OSError, match="No space"):
        head_search.find(search, rounds(search), tmp_path / "search", 0)
    monkeypatch.undo()
    assert head_search.find(search, rounds(search), tmp_path / "search", 0).values == best


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("svm(kernel='cubic')", "linear, poly, rbf or any"),
        ("svm(gamma=0.0)", "gamma is 0.0"),
        ("logreg(pca=-1)", "pca is -1"),
        ("logreg(trials=0)", "trials is 0"),
        ("logreg(oracle='delphi')", "bayesian or random"),
        ("logreg(strength=0.0)", "strength is 0.0; it must be above 0, or None: searched"),
        ("lda(shrinkage=1.5)", "shrinkage is 1.5; it must be from 0 to 1"),
    ],
)
def test_wrong_arguments(choice, said):
    with pytest.raises(UserError, match=said):
        choices.resolve("classifier", choice)(True)
