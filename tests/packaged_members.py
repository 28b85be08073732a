"""Packaged models of random weights, one of audio and one of faces, for ensembles of them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from untrained_runs import TEMPERATURE, on_disk

from emorec_tf.config.config import FeaturesConfig
from emorec_tf.exporting.package_model import write_sums
from emorec_tf.models import branch_outputs
from emorec_tf.tasks import familiarity, familiarity_file
from emorec_tf.training import model_store, run_dir

SLOPE = 0.7
AUDIO: dict[str, Any] = {"fusion": "audio_only", "audio": "conv1d(filters=8, blocks=2)"}
FACE: dict[str, Any] = {"fusion": "face_only", "face": "alexnet(width=0.1, dense=8)"}
HEARD = {"dataset": "ravdess+tess", "licence": "CC BY-NC-SA 4.0 + CC BY-NC-ND 4.0"}
SEEN = {"dataset": "emodb", "licence": "free, listed as CC BY 4.0"}


def of_audio(features: FeaturesConfig) -> FeaturesConfig:
    """Features of audio alone."""
    return dataclasses.replace(features, face_frames=0)


def of_faces(features: FeaturesConfig) -> FeaturesConfig:
    """Features with other audio settings, which a model of faces does not use."""
    return dataclasses.replace(features, mel_bands=9, hop_seconds=0.02)


def member(
    folder: Path,
    features: FeaturesConfig,
    source: dict[str, Any],
    slope: float = 0.0,
    network: Any = None,
    **model: Any,
) -> Path:
    """Write a packaged model that can say how familiar a clip is; ``network``: in its file."""
    on_disk(folder, features, **model)
    facts = json.loads((folder / "run.json").read_text())
    facts["source"] |= source
    (folder / "run.json").write_text(json.dumps(facts))
    said: dict[str, Any] = {"temperature": TEMPERATURE, "epochs": 0}
    said |= {"unfamiliar_slope": slope} if slope else {}
    (folder / "temperature.json").write_text(json.dumps(said))
    run = run_dir.load(folder)
    if network is not None:
        run_dir.save_model(network, run.model_file)
    network = branch_outputs.with_branches(run_dir.load_model(run.model_file))
    random = np.random.default_rng(len(folder.name))
    widths = branch_outputs.widths_of(network)
    rows = np.abs(random.normal(size=(400, sum(widths))))
    found, _ = familiarity.across_folds(rows, widths, np.repeat([*"abcd"], 100))
    assert found is not None
    assert found.threshold
    run.familiarity_file.write_bytes(familiarity_file.to_bytes(found))
    write_sums(folder)
    return folder


def pair(folder: Path, features: FeaturesConfig, slope: float = SLOPE) -> tuple[Path, Path]:
    """Write ``heard`` and ``seen`` into a folder."""
    heard = member(folder / "heard", of_audio(features), HEARD, slope, **AUDIO)
    return heard, member(folder / "seen", of_faces(features), SEEN, **FACE)


def changed(folder: Path, file: str, **facts: Any) -> None:
    """Change facts of a JSON file of a package, and its checksums with it."""
    found = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(found | facts))
    (folder / model_store.SUMS).unlink()
    write_sums(folder)
