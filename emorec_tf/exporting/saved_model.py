"""A run as a TensorFlow SavedModel: a folder with everything a caller must know in its assets."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import tensorflow as tf

from emorec_tf.config.config import to_yaml
from emorec_tf.errors import UserError
from emorec_tf.exporting.export_graph import Serving
from emorec_tf.exporting.metadata import facts
from emorec_tf.exporting.parity import FACTS, Answer, Arrays


def write(served: Serving, folder: Path) -> None:
    """Write a SavedModel with the signatures ``serve`` and ``serving_default``, and its assets."""
    kept = folder.with_name(f"{folder.name}.assets")
    kept.mkdir(exist_ok=True)
    files = {FACTS: json.dumps(facts(served), indent=1), "config.yaml": to_yaml(served.run.config)}
    module = tf.Module()
    module.variables_kept = served.model.variables
    module.serve = served.function
    try:
        for name, text in files.items():
            (kept / name).write_text(text, encoding="utf-8")
        module.files = [tf.saved_model.Asset(str(kept / name)) for name in files]
        signatures = dict.fromkeys(("serve", "serving_default"), served.function)
        tf.saved_model.save(module, str(folder), signatures=signatures)
    except tf.errors.OpError as error:
        line = " ".join(str(error.message).split())[:200]
        raise UserError(f"cannot write {folder}: {line}") from error
    finally:
        shutil.rmtree(kept)


def read(folder: Path) -> Answer:
    """Load a SavedModel with TensorFlow alone."""
    serve = tf.saved_model.load(str(folder)).signatures["serve"]

    def answer(arrays: Arrays) -> Arrays:
        found = serve(**{name: tf.constant(array) for name, array in arrays.items()})
        return {name: value.numpy() for name, value in found.items()}

    return answer
