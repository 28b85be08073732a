"""A run and a set of unlabelled recordings: the model and the adapter that take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emorec_tf.config.config import DataConfig
from emorec_tf.errors import UserError
from emorec_tf.models.classical import set_scale
from emorec_tf.training import enrolment, feature_standard
from emorec_tf.training.run_dir import FEATURE_STANDARD, Run
from emorec_tf.training.speaker_adaptation import SpeakerAdapter

if TYPE_CHECKING:
    import keras


def ready(run: Run, model: keras.Model, wanted: DataConfig) -> tuple[keras.Model, SpeakerAdapter]:
    """Make a model that can be adapted, and an adapter that knows no set yet.

    Args:
        run: as it was trained.
        model: its network.
        wanted: ``adapt``, enrolment clips of a set (None: as the run was trained, or any number),
            and ``adapt_by``, what they have in common. A speaker-independent run gives them the
            spread of the training clips of one speaker, or of one corpus.

    Returns:
        The model, with inputs for the set's mean features and scale, and the adapter.

    Raises:
        UserError: a run whose training kept no standard, or that adapts to each clip by itself.
    """
    data = run.config.data
    if isinstance(data.adapt, int):
        clips = data.adapt if wanted.adapt is None else wanted.adapt
        return model, SpeakerAdapter.for_model(model, clips, data.adapt_audio)
    enrolment.check_takes_clips(run)
    standard = feature_standard.read(run.folder)
    if standard is None:
        raise UserError(
            f"run {run.folder} was trained without --adapt K and keeps no {FEATURE_STANDARD}, as "
            f"runs with a classifier do, so it cannot be adapted; drop --adapt"
        )
    if len(standard.mean) != set_scale.width_of(model):
        raise UserError(
            f"{run.folder / FEATURE_STANDARD} is of another network; train the run again"
        )
    pooled = getattr(standard, wanted.adapt_by)
    made = set_scale.adaptable(model, standard.mean, pooled)
    return made, SpeakerAdapter(wanted.adapt, None)
