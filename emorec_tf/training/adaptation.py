"""A run and a set of unlabelled recordings: the model and the adapter that take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emorec_tf.errors import UserError
from emorec_tf.models.classical import set_scale
from emorec_tf.training import feature_standard
from emorec_tf.training.run_dir import FEATURE_STANDARD, Run
from emorec_tf.training.speaker_adaptation import SpeakerAdapter

if TYPE_CHECKING:
    import keras


def ready(
    run: Run, model: keras.Model, adapt: int | None, by: str
) -> tuple[keras.Model, SpeakerAdapter]:
    """Make a model that can be adapted, and an adapter that knows no set yet.

    Args:
        run: as it was trained.
        model: its network.
        adapt: enrolment clips of a set; None: as the run was trained, or any number.
        by: speaker or corpus: what the clips of a set have in common. It matters for a
            speaker-independent run: the spread that they are given is that of the training clips
            of one speaker, or of one corpus.

    Returns:
        The model, with inputs for the set's mean features and scale, and the adapter.

    Raises:
        UserError: a run whose training kept no standard, or that adapts to each clip by itself.
    """
    data = run.config.data
    if isinstance(data.adapt, int):
        wanted = data.adapt if adapt is None else adapt
        return model, SpeakerAdapter.for_model(model, wanted, data.adapt_audio)
    standard = feature_standard.read(run.folder) if data.adapt is None else None
    if standard is None:
        raise UserError(
            f"run {run.folder} was trained without --adapt K and keeps no {FEATURE_STANDARD}, as "
            f"runs with a classifier do, so it cannot be adapted; drop --adapt"
        )
    return set_scale.adaptable(model, standard.mean, getattr(standard, by)), SpeakerAdapter(
        adapt, None
    )
