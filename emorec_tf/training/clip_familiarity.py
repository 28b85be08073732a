"""Familiarity of clips to a run's training clips: fitted after training, and asked for later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from emorec_tf.config.clip import Clip
from emorec_tf.errors import UserError
from emorec_tf.models import branch_outputs
from emorec_tf.storage.files import write_atomically
from emorec_tf.tasks import calibration, familiarity, familiarity_file
from emorec_tf.tasks.familiarity import Familiarity
from emorec_tf.tasks.joint_familiarity import JointFamiliarity
from emorec_tf.training import kept_rows, logits, run_dir, shift_answers
from emorec_tf.training.run_dir import Run
from emorec_tf.training.speaker_adaptation import SpeakerAdapter

if TYPE_CHECKING:
    from emorec_tf.training.experiment import Experiment


class Answering:
    """A network whose clips get their familiarity, where the run can tell it."""

    def __init__(self, model: keras.Model, run: Run) -> None:
        """Read what the run keeps; a run without familiarity answers as it always did.

        Raises:
            UserError: a damaged familiarity file.
        """
        self.model, self.found = model, run.familiarity
        self.slope = run.unfamiliar_slope if self.found else 0.0
        self.network = branch_outputs.with_branches(model) if self.found else None
        if self.found and sum(branch_outputs.widths_of(self.network)) != self.found.width:
            raise UserError(
                f"{run.familiarity_file} is of another network; delete it, or train the run again"
            )

    def __call__(self, inputs: Any) -> tuple[np.ndarray, float | np.ndarray, np.ndarray | None]:
        """Answer a batch.

        Returns:
            Logits [B, K], growth of their temperature (1 or [B, 1]), and familiarity [B] or None.
        """
        if self.found is None or self.network is None:
            return np.asarray(self.model.predict_on_batch(inputs)), 1.0, None
        found = self.network.predict_on_batch(inputs)
        embedding = branch_outputs.embedding_of(found)
        far, familiar = self.found.of(embedding)
        if isinstance(self.found, JointFamiliarity):  # each member has a temperature of its own
            return self.found.tempered(found["logits"], found["experts"], embedding), 1.0, familiar
        grown = calibration.growth(self.slope, far) if self.slope else 1.0
        return np.asarray(found["logits"]), grown, familiar

    def logits_of(
        self, batches: Any, adapter: Any, corruption: Any = None
    ) -> tuple[np.ndarray, list[Clip], float | np.ndarray, np.ndarray | None]:
        """As ``logits.logits_of``, with growth (1 or [N, 1]) and familiarity ([N] or None)."""
        collected: list[tuple[float | np.ndarray, np.ndarray | None]] = []

        def once(inputs: Any) -> np.ndarray:
            raw, grown, familiar = self(inputs)
            collected.append((grown, familiar))
            return raw

        raw, clips = logits.logits_of(Predicting(once), batches, adapter, corruption)
        if self.found is None:
            return raw, clips, 1.0, None
        familiar = np.concatenate([f for _, f in collected if f is not None])
        if not self.slope:
            return raw, clips, 1.0, familiar
        return raw, clips, np.concatenate([np.asarray(g) for g, _ in collected]), familiar

    def summary(self, familiar: np.ndarray | None) -> dict[str, Any]:
        """Describe the familiarity [N] of scored clips for metrics.json; {} where it is unknown."""
        if familiar is None or self.found is None:
            return {}
        unlike = float((familiar < self.found.threshold).mean())
        facts = {"median": float(np.median(familiar)), "threshold": self.found.threshold}
        return {"familiarity": facts | {"unlike": unlike}}


class Predicting:
    """A function of a batch's inputs, as ``logits.logits_of`` takes a network."""

    def __init__(self, function: Callable[[Any], np.ndarray]) -> None:
        """Keep the function."""
        self.predict_on_batch = function


def fit(run: Run, experiment: Experiment) -> None:
    """Fit familiarity and store it, unless the run is calibrated already: old runs stay.

    A classical head with inner folds is compared with held-out speakers of all training and
    validation clips; a network, which has seen its training clips too often, with the validation
    speakers.

    Args:
        run: finished or not.
        experiment: of the run.
    """
    if run.temperature is not None:
        return
    clips = [*experiment.train, *experiment.scored("validation")]
    rows, clips, widths = _embeddings(run, experiment, clips)
    found = fitted(rows, clips, widths, experiment)
    if found is None:
        return
    clip_ids, speakers = zip(*((clip.clip_id, clip.speaker) for clip in clips), strict=True)
    shift_answers.place(run, rows, clip_ids, widths, speakers)
    write_atomically(run.familiarity_file, familiarity_file.to_bytes(found))


def _embeddings(
    run: Run, experiment: Experiment, clips: Sequence[Clip]
) -> tuple[np.ndarray, list[Clip], tuple[int, ...]]:
    """Embeddings [N, E] of clips, the clips in the same order, and the widths of their parts.

    Those of an ensemble are the members' side by side, so members with frozen branches need not be
    read again.
    """
    members = [run_dir.load(run.folder / facts["folder"]) for facts in run.steps.values()]
    if members and run.config.model.ensemble:
        inner = [experiment.with_settings(member.config) for member in members]
        if all(kept_rows.is_possible(own.settings) for own in inner):
            found = [
                _embeddings(member, own, clips) for member, own in zip(members, inner, strict=True)
            ]
            widths = tuple(width for _, _, own in found for width in own)
            return np.concatenate([rows for rows, _, _ in found], axis=1), found[0][1], widths
    model = run_dir.load_model(run.model_file if run.model_file.exists() else run.validated_file)
    network = branch_outputs.with_branches(model)
    adapter = SpeakerAdapter.for_model(model, run.config.data.adapt, run.config.data.adapt_audio)
    adapter.fit(experiment, clips, model)

    def embed(inputs: Any) -> np.ndarray:
        return branch_outputs.embedding_of(network.predict_on_batch(inputs))

    def compute(some: Sequence[Clip]) -> tuple[np.ndarray, list[Clip]]:
        batches = logits.ClipBatches(experiment.records, some)
        return logits.logits_of(Predicting(embed), batches, adapter)

    widths = branch_outputs.widths_of(network)
    if not kept_rows.is_possible(experiment.settings):
        return *compute(clips), widths
    tokens = network.output["tokens"]
    # With one token per clip, the embedding is what a classical head is fitted to.
    what = "clips" if all(values.shape[1] == 1 for values, _ in tokens) else "embeddings"
    key = kept_rows.key_of(
        keras.Model(network.input, tokens), experiment.settings, experiment.records, what
    )
    return *kept_rows.rows_of(key, clips, compute), widths


def fitted(
    rows: np.ndarray, clips: Sequence[Clip], widths: Sequence[int], experiment: Experiment
) -> Familiarity | None:
    """Fit to embeddings [N, E] of training and validation clips; None: nothing is held out."""
    speakers = np.array([clip.speaker for clip in clips])
    training = {clip.clip_id for clip in experiment.train}
    trained = np.array([clip.clip_id in training for clip in clips])
    if experiment.settings.train.inner_folds:
        return familiarity.across_folds(rows, widths, speakers)[0]
    parts = familiarity.fit_parts(rows[trained], widths, speakers[trained])
    held = rows[~trained]
    here = familiarity.present(parts, held)
    return (
        familiarity.calibrated(parts, familiarity.log_distances(parts, held), here)
        if here.any()
        else None
    )
