"""Familiarity in exports: the numbers of the run, in every format; none of a run without it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from untrained_runs import TEMPERATURE, untrained

from emorec_tf.config.config import FeaturesConfig
from emorec_tf.exporting import familiarity_graph, parity
from emorec_tf.exporting.export_graph import Serving, serving
from emorec_tf.exporting.export_run import export
from emorec_tf.exporting.formats import FORMATS
from emorec_tf.exporting.metadata import facts
from emorec_tf.models import branch_outputs
from emorec_tf.tasks import calibration, familiarity, familiarity_file
from emorec_tf.training import run_dir

SLOPE = 0.7


def fitted(served: Serving) -> familiarity.Familiarity:
    """Fit to random clips of four speakers."""
    network = branch_outputs.with_branches(served.model)
    cases = [c.example for c in parity.random_cases(served)]
    rows = np.concatenate([branch_outputs.embedding_of(network.predict_on_batch(c)) for c in cases])
    random = np.random.default_rng(0)
    noise = random.normal(size=(60, rows.shape[1])) * (np.abs(rows[:1]) + 0.1) + rows[:1]
    speakers = np.repeat(["a", "b", "c", "d"], 15)
    made, _ = familiarity.across_folds(noise, branch_outputs.widths_of(network), speakers)
    assert made is not None
    return made


@pytest.fixture(scope="module")
def served(features: FeaturesConfig, tmp_path_factory: pytest.TempPathFactory) -> Serving:
    folder = tmp_path_factory.mktemp("run")
    run, network = untrained(folder, features)
    run.familiarity_file.write_bytes(familiarity_file.to_bytes(fitted(serving(run, network))))
    text = {"temperature": TEMPERATURE, "epochs": 0, "unfamiliar_slope": SLOPE}
    (folder / "temperature.json").write_text(json.dumps(text), encoding="utf-8")
    run_dir.save_model(network, run.model_file)
    return serving(run, network)


def test_the_graph_gives_the_numbers_of_the_table(served: Serving) -> None:
    found = served.run.familiarity
    assert found is not None
    random = np.random.default_rng(1)
    rows = (3 * random.normal(size=(40, found.width))).astype(np.float32)
    rows[:10, : found.parts[0].stop] = 0
    rows[5:15, found.parts[1].start :] = 0
    far, share = found.of(rows)
    graph_far, graph_share = familiarity_graph.scores(found, tf.constant(rows))
    np.testing.assert_allclose(graph_far[:, 0], far, atol=1e-4)
    np.testing.assert_allclose(graph_share[:, 0], share, atol=2 / familiarity.MOST_QUANTILES)
    grown = familiarity_graph.growth(SLOPE, graph_far)
    np.testing.assert_allclose(grown, calibration.growth(SLOPE, far), rtol=1e-4)


def test_the_temperature_of_an_unfamiliar_clip_is_higher(served: Serving) -> None:
    for case in parity.random_cases(served):
        found = {n: v.numpy() for n, v in served.function(case.raw).items()}
        wanted = parity.reference(served)(case.example)
        np.testing.assert_allclose(found["probabilities"], wanted["probabilities"], atol=1e-5)
        assert 0 <= found["familiarity"].item() <= 1
        far, _ = served.run.familiarity.of(found["embedding"])
        temperature = TEMPERATURE * np.exp(SLOPE * np.clip(far, 0, calibration.MOST_UNFAMILIAR))
        shares = calibration.scaled(found["logits"], temperature[:, None])
        np.testing.assert_allclose(found["probabilities"], shares, atol=1e-5)


@pytest.mark.parametrize("name", ["saved_model", "litert", "onnx"])
def test_every_format_has_it_as_an_output(served: Serving, name: str, tmp_path: Path) -> None:
    for package in FORMATS[name].packages:
        pytest.importorskip(package)
    report = export(served.run, [name], tmp_path)
    row = report["formats"][name]
    assert row["differences"]["familiarity"] <= 2 / familiarity.MOST_QUANTILES
    assert row["differences"]["probabilities"] < 1e-4
    assert facts(served)["outputs"]["familiarity"]["shape"] == [None, 1]


def test_a_run_without_it_exports_as_before(features: FeaturesConfig, tmp_path: Path) -> None:
    plain = serving(*untrained(tmp_path, features))
    assert set(facts(plain)["outputs"]) == {"answerable", "probabilities", "logits", "embedding"}
