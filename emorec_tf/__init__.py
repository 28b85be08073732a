"""emorec_tf: a TensorFlow/Keras model zoo for emotion recognition from speech and face together.

    import emorec_tf
    model = emorec_tf.load("ravdess-av")  # or the folder of a run; list_models() names others
    model.predict_clip("clip.mp4")

Shape legend used in every docstring: B batch, T audio feature frames, M bands, F face frames,
H W C pixels and channels, S tokens of a branch, E embedding size, K classes.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_ZOO = ("build_model", "list_models", "load")


def __getattr__(name: str) -> Any:
    # Loaded when asked for: importing the package alone must cost nothing.
    if name in _ZOO:
        return getattr(importlib.import_module("emorec_tf.api"), name)
    raise AttributeError(f"module 'emorec_tf' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_ZOO])
