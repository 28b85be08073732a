"""What is built on runs that were trained first: a product, a classical head, tokens kept.

None of it is trained by gradient; ``steps`` says what comes first, ``train`` when this is built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emorec_tf.config import choices
from emorec_tf.config.clip import Clip
from emorec_tf.datasets.labels import labelled
from emorec_tf.records.records_dir import Records
from emorec_tf.splits import splits
from emorec_tf.training import run_dir
from emorec_tf.training.run_dir import Run

if TYPE_CHECKING:
    import keras

    from emorec_tf.models.classical.head_search import Rows
    from emorec_tf.records.corruptions import Damage
    from emorec_tf.records.input_pipeline import Adapt


def multiplied(begun: Run) -> keras.Model:
    """Make the members one network; with ``refit``, save that of the refitted members too.

    Returns:
        Of members that have not met the validation speakers, who are yet to judge it.
    """
    from emorec_tf.training import ensemble, inner_cv

    members = [run_dir.load(begun.folder / facts["folder"]) for facts in begun.steps.values()]
    inner_cv.product(begun, members, ensemble.temperatures(members))
    features = begun.config.features
    if begun.config.train.refit:
        run_dir.save_model(ensemble.product(features, members), begun.model_file)
    return ensemble.product(features, members, validated=True)


def classical(
    features: keras.Model,
    begun: Run,
    opened: Records,
    sides: Mapping[str, Sequence[Clip]],
    adapt: Adapt | None,
) -> keras.Model:
    """Search a classical head on the model's features, and put it on.

    Args:
        features: branches with their weights; gives [B, E].
        begun: the run; trials are kept in its ``search`` folder, answers of inner folds beside it.
        opened: records that hold the clips.
        sides: clips of ``train``, to which heads are fitted, and ``validation``, which choose
            where there are no inner folds.
        adapt: puts voices on the scale of the training clips (see enrolment).
    """
    from emorec_tf.models.classical import head_layers, head_search
    from emorec_tf.records import voice_perturbation
    from emorec_tf.training import inner_cv, logits, speaker_adaptation

    settings = begun.config
    train = settings.train
    search = choices.resolve("classifier", settings.model.classifier)(train.class_weights)
    enrol = settings.data.enrol
    clips_enrol = enrol if isinstance(enrol, int) else 0
    beside = bool(clips_enrol and search.fit_speakers)  # the head itself weighs the speaker's mean
    everybody = [c for s in sides.values() for c in s]
    own = speaker_means(features, begun, opened, everybody, adapt) if clips_enrol else {}

    silent: set[str] = set()  # clips of which the branches see and hear nothing

    def rows_of(clips: Sequence[Clip], copy: Damage | None = None) -> tuple[Rows, list[str]]:
        values, clips = logits.logits_of(features, opened, clips, adapt=adapt, damage=copy)
        silent.update(c.clip_id for c, row in zip(clips, values, strict=True) if not row.any())
        speakers = np.array([c.speaker for c in clips])
        means = np.stack([own[speaker] for speaker in speakers]) if own else None
        if means is not None and not beside:
            values, means = values - means, None
        rows = head_search.Rows(values, begun.task.truth(clips), speakers, means, clips_enrol)
        return rows, [c.clip_id for c in clips]

    copies = voice_perturbation.copies(settings.features, train.augmented_copies)
    (training, ids), (validation, later_ids) = [rows_of(sides[s]) for s in ("train", "validation")]
    varied = [rows_of(sides["train"], copy)[0] for copy in copies]
    fitting = head_search.joined([training, *varied])
    rounds, everything = [(fitting, validation)], fitting
    if train.refit:
        later = [rows_of(sides["validation"], copy)[0] for copy in copies]
        everything = head_search.joined([training, validation, *varied, *later])
    if train.inner_folds:
        taken = speaker_adaptation.enrolling(everybody, settings.data, train.seed)
        rounds, judged = inner_cv.rounds(
            everything, [*ids, *later_ids], train.inner_folds, {c.clip_id for c in taken}
        )
    parts = head_search.parts_of(search, rounds)
    best = head_search.find(search, parts, begun.folder / "search", train.seed)
    if train.inner_folds:
        told = head_search.answered(search, best, parts)
        told[[clip_id in silent for clip_id in judged]] = 0
        inner_cv.write(begun, judged, told, np.concatenate([r[1].labels for r in rounds]))
    scaled = None if train.inner_folds else parts[0][0]  # else that round was fitted to the same
    found = head_search.fitted(search, best, fitting, scaled)
    if train.refit:
        again = head_search.fitted(search, best, everything)
        run_dir.save_model(
            head_layers.with_head(features, again, clips_enrol > 0), begun.model_file
        )
    return head_layers.with_head(features, found, clips_enrol > 0)


def speaker_means(
    features: keras.Model, begun: Run, opened: Records, clips: Sequence[Clip], adapt: Adapt | None
) -> dict[str, np.ndarray]:
    """Mean features of each of these clips' speakers, over the clips that enrol them."""
    from emorec_tf.training import speaker_adaptation

    data, seed = begun.config.data, begun.config.train.seed
    speakers = {clip.speaker for clip in clips}  # all of their clips, not those alone that score
    everything = splits.clips_of(labelled(opened.clips, data), speakers)
    enrolling = speaker_adaptation.enrolling(everything, data, seed)
    return speaker_adaptation.mean_features(features, opened, enrolling, adapt)


def remembered(
    below: keras.Model, opened: Records, clips: Sequence[Clip], adapt: Adapt | None
) -> Adapt:
    """Answer every clip by frozen branches once; return what looks the tokens up by clip.

    Args:
        below: inputs to tokens (see ``model.above_branches``).
        opened: records that hold the clips.
        clips: all that will be asked for.
        adapt: as in training.
    """
    import tensorflow as tf

    from emorec_tf.records import input_pipeline

    parts, ids = [], []
    for inputs, clip_ids in input_pipeline.evaluation(opened, clips):
        parts.append(below.predict_on_batch(adapt(inputs, clip_ids) if adapt else inputs))
        ids += list(clip_ids.numpy())
    with tf.device("CPU"):  # where batches are made
        tables = {n: tf.constant(np.concatenate([p[n] for p in parts])) for n in parts[0]}
        rows = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(ids), tf.range(len(ids), dtype=tf.int64)
            ),
            -1,
        )

    def look_up(_: Any, clip_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        return {n: tf.gather(table, rows.lookup(clip_ids)) for n, table in tables.items()}

    return look_up
