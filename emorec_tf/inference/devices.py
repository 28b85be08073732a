"""TensorFlow is started: quickly, and on the device that was chosen."""

from __future__ import annotations

from emorec_tf.errors import SetupError


def import_quickly() -> None:
    """Import TensorFlow and Keras without what they import for scikit-learn's users and plots.

    Keras treats both as optional; they make a third of the time to its first answer.
    """
    from emorec_tf.storage.downloads import hidden

    with hidden("sklearn", "matplotlib"):
        import keras  # noqa: F401
        import tensorflow  # noqa: F401


def choose(device: str) -> None:
    """Choose what TensorFlow may run on (auto, cpu, gpu), before it has run anything.

    Raises:
        SetupError: a GPU is asked for, and there is none.
    """
    if device == "auto":
        return
    import_quickly()
    import tensorflow as tf

    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
    elif not tf.config.list_physical_devices("GPU"):
        raise SetupError(
            "--device gpu: TensorFlow sees no GPU here; use --device cpu, or install "
            "'emorec-tf[gpu]' where there is one"
        )
