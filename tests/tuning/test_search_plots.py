"""Search plots: importance finds the axis that a made-up score depends on."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
from PIL import Image

from emorec_tf.tuning import search_plots


def invented(count: int = 40, seed: int = 0) -> list[dict]:
    """Trials whose score depends on the rate and, less, on the branch."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(count):
        rate, audio = 10 ** random.uniform(-4, -1), str(random.choice(["conv1d", "lstm(units=8)"]))
        values = {"learning_rate": f"{rate:.4g}", "audio": audio, "fusion": "concat"}
        values["augment"] = str(random.choice(["True", "False"]))
        if audio == "conv1d":
            values["audio.filters"] = str(random.choice([64, 128]))
        score = 0.8 - 0.2 * abs(np.log10(rate) + 2.5) - 0.1 * (audio == "conv1d")
        found.append({"trial": str(number), "values": values, "epochs": 9, "score": float(score)})
    return found


def test_numeric_columns_keep_missing_values():
    table = search_plots.frame_of(invented())
    assert [*table] == ["audio", "audio.filters", "augment", "fusion", "learning_rate"]
    assert pd.api.types.is_float_dtype(table["audio.filters"])
    assert (table["audio.filters"].isna() == (table["audio"] != "conv1d")).all()
    assert not pd.api.types.is_numeric_dtype(table["augment"])
    trials = invented(3)
    trials[0]["epochs"] = 1
    assert "(epochs trained)" in search_plots.frame_of(trials)


def test_importance_finds_the_influential_axis():
    trials = invented()
    table, scores = search_plots.frame_of(trials), [t["score"] for t in trials]
    found = search_plots.importances(table, scores, seed=0)
    assert found is not None
    assert next(iter(found)) == "learning_rate"
    assert found["learning_rate"][0] > 0.5
    assert abs(found["augment"][0]) < 0.05
    assert found["fusion"] == (0, 0), "what never differs explains nothing"
    assert found == search_plots.importances(table, scores, seed=0)
    assert search_plots.importances(table[:7], scores[:7], 0) is None
    assert search_plots.importances(table, [0.5] * 40, 0) is None


def test_positions():
    at, ticks = search_plots.positions(pd.Series([1e-3, 1e-2, 1e-1]))
    assert np.allclose(at, [0, 0.5, 1]), "wide ranges are logarithmic"
    assert ticks == [(0.0, "0.001"), (1.0, "0.1")]
    at, _ = search_plots.positions(pd.Series([1.0, np.nan, 3.0, 2.0]))
    assert np.allclose(at, [0, np.nan, 1, 0.5], equal_nan=True)
    at, ticks = search_plots.positions(pd.Series(["b", "a", "-"]))
    assert np.allclose(at, [1, 0, np.nan], equal_nan=True)
    assert ticks == [(0.0, "a"), (1.0, "b")]


def test_plots_of_many_trials_and_of_one():
    for count in (40, 1):
        data = search_plots.plot(invented(count), "val_uar", 0)
        image = Image.open(io.BytesIO(data)).convert("L")
        assert image.width > 600
        assert np.asarray(image).std() > 10, "something is drawn"
