"""emorec_tf: a TensorFlow/Keras model zoo for emotion recognition from speech and face together.

    import emorec_tf

    model = emorec_tf.load("ravdess-av")  # list_models() names others
    model.predict_clip("clip.mp4")["emotion"]
    emorec_tf.predict(["a.mp4", "b.wav"], run="ravdess-av")  # a pandas table

    records = emorec_tf.prepare("my_clips", "records/mine")
    run = emorec_tf.train({"fusion": "gated"}, records=records, run="runs/mine")
    emorec_tf.evaluate(run)["uar"]

Shape legend used in every docstring: B batch, T audio feature frames, M bands, F face frames,
H W C pixels and channels, S tokens of a branch, E embedding size, K classes.
"""

import importlib
import logging
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emorec_tf.api import (
        Model,
        Records,
        Run,
        build_model,
        crosscorpus,
        crossval,
        evaluate,
        finetune,
        list_models,
        load,
        predict,
        prepare,
        train,
    )
    from emorec_tf.errors import UserError

__version__ = "0.1.0"
__all__ = [
    "Model",
    "Records",
    "Run",
    "UserError",
    "__version__",
    "build_model",
    "crosscorpus",
    "crossval",
    "evaluate",
    "finetune",
    "list_models",
    "load",
    "predict",
    "prepare",
    "train",
]

_HOMES = dict.fromkeys(__all__, "emorec_tf.api") | {"UserError": "emorec_tf.errors"}

logging.getLogger(__name__).addHandler(logging.NullHandler())


class _Package(types.ModuleType):
    """The package: ``emorec_tf.train`` is always the function.

    The module ``emorec_tf/train.py`` is the command. Importing it would make it the attribute
    ``train``; ``from emorec_tf.train import main`` and ``import_module`` work all the same.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return __all__


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    # Loaded when asked for: importing the package alone must cost nothing.
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'emorec_tf' has no attribute {name!r}")
