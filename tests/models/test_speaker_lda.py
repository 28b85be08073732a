"""speaker_lda: against explicitly conditioned Gaussians, and scikit-learn in both limits."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.covariance import shrunk_covariance
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from emorec_tf.config import choices
from emorec_tf.errors import UserError
from emorec_tf.models.classical import head_layers, head_search, speaker_lda

CLASSES, SPEAKERS, EACH, WIDTH = 3, 5, 8, 4
HALF: dict[str, Any] = {"balanced": True, "shrinkage": 0.2, "speaker_shrinkage": 0.5}


def clips() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As many clips of each class from each speaker, of mean zero."""
    random = np.random.default_rng(0)
    labels = np.tile(np.arange(CLASSES), SPEAKERS * EACH)
    who = np.repeat(np.arange(SPEAKERS), CLASSES * EACH)
    centres, offsets = random.normal(size=(CLASSES, WIDTH)), random.normal(size=(SPEAKERS, WIDTH))
    own = random.normal(size=(len(labels), WIDTH)) @ random.normal(size=(WIDTH, WIDTH))
    z = centres[labels] + 2 * offsets[who] + own
    return z - z.mean(0), labels, np.array([f"speaker {w}" for w in who])


def parts(z: np.ndarray, labels: np.ndarray, speakers: np.ndarray):
    """Means, W and B, from averages over the balanced clips and by scikit-learn's shrinkage."""
    means = np.stack([z[labels == k].mean(0) for k in range(CLASSES)])
    offsets = np.stack([z[speakers == s].mean(0) for s in np.unique(speakers)])
    own = z - means[labels] - np.repeat(offsets, CLASSES * EACH, axis=0)
    within = shrunk_covariance(np.cov(own.T, bias=True), HALF["shrinkage"])
    return means, within, shrunk_covariance(np.cov(offsets.T), HALF["speaker_shrinkage"])


def differences(scores: np.ndarray) -> np.ndarray:
    return scores - scores[:, :1]


@pytest.mark.parametrize("count", [1, 10])
def test_scores_are_those_of_the_joint_gaussian(count):
    z, labels, speakers = clips()
    means, within, between = parts(z, labels, speakers)
    found = speaker_lda.fitted(z, labels, speakers, clips=count, **HALF)
    x, m = np.random.default_rng(1).normal(size=(2, 6, WIDTH))
    scores = x @ found.coef_.T + found.intercept_ - m @ found.speaker_coef_.T
    joint = np.block([[within + between, between], [between, between + within / count]])
    wanted = [
        multivariate_normal(np.r_[mean, np.zeros(WIDTH)], joint).logpdf(np.c_[x, m])
        for mean in means
    ]
    np.testing.assert_allclose(differences(scores), differences(np.stack(wanted, 1)), atol=1e-8)


def test_with_many_clips_it_equals_scikit_learn_on_centred_speakers():
    z, labels, speakers = clips()
    mean_of = {s: z[speakers == s].mean(0) for s in speakers}
    away = z - np.stack([mean_of[s] for s in speakers])
    theirs = LinearDiscriminantAnalysis(solver="lsqr").fit(away, labels)
    settings: dict[str, Any] = {"balanced": False, "shrinkage": 0.0, "speaker_shrinkage": 0.5}
    found = speaker_lda.fitted(z, labels, speakers, clips=10**9, **settings)
    np.testing.assert_allclose(found.speaker_coef_, found.coef_, atol=1e-5)
    ours = away @ found.coef_.T + found.intercept_
    wanted = differences(theirs.decision_function(away))
    np.testing.assert_allclose(differences(ours), wanted, atol=1e-5)


def test_the_model_weighs_features_and_the_speakers_mean(tmp_path):
    z, labels, speakers = clips()
    features = z * np.logspace(-1, 2, WIDTH) + 3
    search = choices.resolve("classifier", "lda(pca=3, shrinkage=0.2, speaker_shrinkage=0.5)")(True)
    means = features[::-1]
    rows = head_search.Rows(features, labels, speakers, means, 5)
    found = head_search.fitted(search, None, rows)
    inputs = keras.Input((WIDTH,), name="features")
    below = keras.Model({"features": inputs}, keras.layers.Identity()(inputs))
    head_layers.with_head(below, found, enrolled=True).save(tmp_path / "head.keras")
    model = keras.saving.load_model(tmp_path / "head.keras", safe_mode=True)
    assert not model.trainable_weights
    scores = model.predict_on_batch({"features": features, head_layers.SPEAKER_FEATURES: means})
    x, m = (found.projected(values) for values in (features, means))
    head = found.estimator
    wanted = x @ head.coef_.T + head.intercept_ - m @ head.speaker_coef_.T
    np.testing.assert_allclose(scores, wanted, atol=1e-3)
    np.testing.assert_allclose(found.decisions(features, means), wanted, atol=1e-9)


def test_impossible_input_is_refused():
    z, labels, _ = clips()
    with pytest.raises(UserError, match="two training speakers"):
        speaker_lda.fitted(z, labels, np.full(len(z), "one"), clips=3, **HALF)
    with pytest.raises(UserError, match="speaker_shrinkage is"):
        choices.resolve("classifier", "lda(speaker_shrinkage=0.5)")(True)
