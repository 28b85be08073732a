"""Runs of random weights, for tests of commands that need a run but no training."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from emorec_tf.config import config
from emorec_tf.config.config import FeaturesConfig, ModelConfig
from emorec_tf.splits.splits import Split
from emorec_tf.training import run_dir

SPLIT = Split(("1",), ("2",), ("3",))
SOURCE = {"dataset": "demo", "licence": "none", "label_meaning": "drawn", "label": None}
TEMPERATURE = 1.5
SMALL: dict[str, Any] = {
    "audio": "conv1d(filters=8, blocks=2)",
    "face": "alexnet(width=0.1, dense=8)",
    "fusion": "concat",
}


def untrained(
    folder: Path, features: FeaturesConfig, settings: dict[str, Any] | None = None, /, **model: Any
) -> tuple[run_dir.Run, Any]:
    """Return a run with three classes or a rating, and its network (``SMALL`` by default).

    Args:
        features: settings of the features.
        settings: of data and training, as in a YAML file.
        model: choices that override those of ``SMALL``.
    """
    import keras

    from emorec_tf.models.model import build_model

    settings = settings or {}
    keras.utils.set_random_seed(0)
    made = dataclasses.replace(
        config.build(settings), features=features, model=ModelConfig(**{**SMALL, **model})
    )
    classes = () if "target_scale" in settings else ("a", "b", "c")
    mean = np.zeros(features.audio_width, np.float32)
    keras.mixed_precision.set_global_policy(made.train.precision)
    try:
        network = build_model(made, classes, mean, mean + 1)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    facts = json.dumps({"temperature": TEMPERATURE, "epochs": 0})
    (folder / "temperature.json").write_text(facts, encoding="utf-8")
    return run_dir.Run(folder, made, classes, SPLIT, SOURCE), network


def on_disk(folder: Path, features: FeaturesConfig, **model: Any) -> Path:
    """Write a run of random weights as ``train`` would; returns its folder."""
    folder.mkdir(parents=True)
    run, network = untrained(folder, features, **model)
    (folder / "config.yaml").write_text(config.to_yaml(run.config), encoding="utf-8")
    run_dir.write_facts(run)
    run_dir.save_model(network, run.model_file)
    return folder
