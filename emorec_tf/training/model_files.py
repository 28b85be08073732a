"""Files of networks: saved whole or not at all, read without running any code in them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from emorec_tf.errors import UserError
from emorec_tf.storage import paths
from emorec_tf.training import saved_layers, shared_weights

if TYPE_CHECKING:
    import keras


def save_model(model: keras.Model, path: Path) -> None:
    """Save under a temporary name, then rename: a kill in between loses nothing."""
    from emorec_tf.models.pretrained import half_precision

    with paths.local_draft(path, f"{path.stem}.tmp.keras") as draft:
        model.save(draft)
        if half_precision.is_useful(model):
            half_precision.compact(Path(draft))


def load_model(path: Path, for_training: bool = False) -> keras.Model:
    """Read a saved model; nothing in the file can run code of its own.

    Raises:
        UserError: no such file, a damaged one, one with an encoder that cannot run here, or one
            whose weights are in another model that is not beside it.
    """
    import keras

    saved_layers.register()
    if not path.exists():
        raise UserError(f"{path} does not exist; train the run first (the same command goes on)")
    try:
        with paths.local_copy(path) as local, shared_weights.whole(local, path) as file:
            model = keras.saving.load_model(file, compile=for_training, safe_mode=True)
    except (ValueError, OSError, KeyError, TypeError, zipfile.BadZipFile) as error:
        line = " ".join(str(error).split())[:200]
        raise UserError(f"model {path} is damaged: {line}") from error
    saved_layers.refuse_problems(model, path)
    return model
