"""What is refused before a run is started: settings, clips and networks that cannot be trained.

``check_settings`` looks at settings, ``check_clips`` at the data, ``check_networks`` at networks,
built once; each also looks at the pretraining stages and ensemble members.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from emorec_tf.config import choices
from emorec_tf.config.class_names import listing
from emorec_tf.config.config import Config, read_yaml, section_of
from emorec_tf.config.fields import check
from emorec_tf.datasets import corpora
from emorec_tf.datasets.labels import classes_by_corpus
from emorec_tf.errors import UserError
from emorec_tf.storage import quiet
from emorec_tf.training import enrolment, source_runs, transfer
from emorec_tf.training import stages as pretraining
from emorec_tf.training.stages import Stage, has_classifier, naming

if TYPE_CHECKING:
    import keras

    from emorec_tf.training.experiment import Experiment

_LOG = logging.getLogger(__name__)


def check_settings(settings: Config) -> None:
    """Refuse stages, ensembles and classifiers that cannot be, of the run and of its stages.

    Raises:
        UserError: no such config, one that has stages itself, or settings that do not go together.
    """
    if corpora.parts_of(settings.data.dataset):
        adapt = settings.data.adapt
        check(not isinstance(adapt, int), "adapt", adapt, "none where people are not identified")
    stages = pretraining.configs_of(settings)
    _check_own(settings)
    for file, own in stages.items():
        with naming(file):
            _check_own(own)


def note_ignored_features(settings: Config) -> None:
    """Log which features in the configs of stages differ from those of the records."""
    for file, own in pretraining.configs_of(settings).items():
        for line in _ignored_features(read_yaml(file), own, settings):
            _LOG.info("note: %s has %s", file, line)
    for run in pretraining.sources_of(settings):
        for line in source_runs.other_features(settings, run):
            _LOG.info("note: %s was trained with %s", run.folder, line)


def note_unchanged_audio(settings: Config) -> None:
    """Log that augmentation leaves the audio of these records as it is."""
    uses = choices.facts("fusion", settings.model.fusion).uses
    name = settings.features.audio_features
    by_gradient = not (has_classifier(settings) or settings.model.ensemble)
    samples = choices.facts("audio_features", name).samples
    if samples and settings.train.augment and by_gradient and "audio" in uses:
        _LOG.info("note: augmentation leaves audio_features %s as they are", name)


def _check_own(settings: Config) -> None:
    """Refuse settings of one run that do not go together."""
    _check_ensemble(settings)
    _check_adaptation(settings)
    if settings.model.ensemble is None:
        choices.check_mesh(settings.model.face, settings.features.face_mesh)
    train = settings.train
    if train.augment_channel or train.augmented_copies or train.channel_copies:
        name = settings.features.audio_features
        choices.facts("audio_features", name).check_powers(name)
    if has_classifier(settings):
        _check_classifier(settings)
        return
    refit = settings.train.refit and settings.model.ensemble is None
    check(not refit, "refit", True, "off unless a classifier or an ensemble is asked for")
    for name in ("inner_folds", "augmented_copies", "channel_copies"):
        given = getattr(settings.train, name)
        check(not given, name, given, "0 without a classifier; ensemble members have their own")


def _check_adaptation(settings: Config) -> None:
    """Refuse ways of adapting that need a classical head, and sets that do not fit the head."""
    data, audio_features = settings.data, settings.features.audio_features
    if choices.facts("audio_features", audio_features).samples and data.adapt is not None:
        uses = choices.facts("fusion", settings.model.fusion).uses
        wanted = f"false under a classifier, else drop --adapt: {audio_features} has no bands"
        check(not data.adapt_audio or "audio" not in uses, "adapt_audio", True, wanted)
    headed = has_classifier(settings) or settings.model.ensemble is not None
    fits = headed or not data.adapt_spread
    check(fits, "adapt_spread", data.adapt_spread, "off unless there is a classifier")
    check(headed or data.adapt_audio, "adapt_audio", False, "on unless there is a classifier")
    if not isinstance(data.adapt, int) or data.adapt_by == "speaker":
        return
    members = pretraining.configs_of(settings).values() if settings.model.ensemble else ()
    for own in filter(has_classifier, [settings, *members]):
        search = choices.resolve("classifier", own.model.classifier)(own.train.class_weights)
        wanted = "speaker under a classifier with speaker_shrinkage"
        check(search.fit_speakers is None, "adapt_by", data.adapt_by, wanted)


def _ignored_features(values: dict[str, object], own: Config, settings: Config) -> list[str]:
    """Features in a stage's config that differ from the records, for the branches it uses."""
    uses = choices.facts("fusion", own.model.fusion).uses
    found = []
    for name in [n for n in values if section_of(n) == "features"]:
        needed = ("face" if name.startswith("face_") else "audio") in uses
        used = getattr(settings.features, name)
        if used != values[name] and needed:
            found.append(f"{name} {values[name]}; the records have {used}")
    return found


def _check_ensemble(settings: Config) -> None:
    """Refuse an ensemble in a run that also trains something itself, or estimates a rating."""
    if settings.model.ensemble is None:
        return
    alone = settings.train.pretrain is None and not settings.train.freeze_branches
    alone = alone and not has_classifier(settings) and settings.data.target_scale == "bins"
    check(
        alone,
        "ensemble",
        settings.model.ensemble,
        "without pretrain, freeze_branches, classifier and target_scale continuous: each member "
        "is trained on its own, and their probabilities are multiplied",
    )


def _check_classifier(settings: Config) -> None:
    """Refuse a classifier whose arguments, fusion, branches or target do not fit."""
    choice, fusion = settings.model.classifier, choices.parse(settings.model.fusion)[0]
    search = choices.resolve("classifier", choice)(True)  # refuses wrong arguments
    by_speaker = bool(settings.data.adapt and search.fit_speakers)
    balanced = settings.train.balance
    check(
        balanced == "none" or not by_speaker,
        "balance",
        balanced,
        "none under lda(speaker_shrinkage=...) with --adapt, which has no weights",
    )
    replaceable = [n for n, e in choices.entries("fusion").items() if e.facts.head_replaceable]
    heads = f"{', '.join(replaceable)} under a classifier, which takes the head's place"
    check(fusion in replaceable, "fusion", fusion, heads)
    used = choices.facts("fusion", fusion).uses
    for name in ("augmented_copies", "channel_copies"):
        copies = getattr(settings.train, name)
        check("audio" in used or not copies, name, copies, "0 where the face alone is used")
    if settings.train.pretrain is None:
        transfer.check_trained(settings, [f"{kind}_branch" for kind in used])
    scale = settings.data.target_scale
    check(scale == "bins", "target_scale", scale, "bins under a classifier")


def check_clips(experiment: Experiment, stages: Sequence[Stage] = ()) -> None:
    """Refuse data that the settings of a run, or of its stages, cannot train on.

    Raises:
        UserError: one class, a class without training clips, none with what the network uses, less
            than one batch, or too few clips or speakers for enrolment or inner folds.
    """
    _check_own_clips(experiment)
    for stage in stages:
        with naming(stage.file):
            _check_own_clips(experiment.with_settings(stage.settings))


def _check_own_clips(experiment: Experiment) -> None:
    classes, training = experiment.classes, experiment.train
    if len(classes) == 1:
        raise UserError(f"all clips are {classes[0]}; there is nothing to tell apart")
    if missing := set(classes) - {clip.emotion for clip in training}:
        names = ", ".join(sorted(missing))
        raise UserError(
            f"no training clip is {names}; change the split, or leave it out: --label_map "
            f"{listing([f'{name}=' for name in sorted(missing)])}"
        )
    _check_modalities(experiment)
    source_runs.check_speakers(experiment, pretraining.sources_of(experiment.settings))
    batch_size = experiment.settings.train.batch_size
    if len(training) < batch_size:
        raise UserError(
            f"batch_size {batch_size} is more than the {len(training)} training clips; give "
            f"--batch_size {len(training)} or less"
        )
    _ = experiment.usable_enrolment  # refuses too few clips
    folds = experiment.settings.train.inner_folds
    if folds:
        _ = experiment.unscored_in_inner_folds  # likewise
    if folds == "corpora":
        _check_inner_corpora(experiment)
        return
    speakers = {clip.speaker for clip in experiment.train_and_validation}
    if len(speakers) < folds:
        raise UserError(
            f"inner_folds is {folds}, but there are {len(speakers)} speakers for training and "
            f"validation; lower it"
        )


def _check_inner_corpora(experiment: Experiment) -> None:
    """Refuse a single corpus, and one without which a class has no clip to fit to."""
    own = classes_by_corpus(experiment.train_and_validation)
    if len(own) < 2:
        raise UserError(
            "inner_folds corpora needs clips of at least two corpora for training and validation "
            "(three where a protocol tests one of them); give a number"
        )
    for left in own:
        others = set().union(*(classes for corpus, classes in own.items() if corpus != left))
        if alone := sorted(own[left] - others):
            raise UserError(
                f"inner_folds corpora: no corpus but {left} has {', '.join(alone)}, so none is "
                f"left to learn it from; leave it out by --label_map {listing([f'{alone[0]}='])}, "
                "or give a number"
            )


def _check_modalities(experiment: Experiment) -> None:
    """Refuse training clips that have nothing of what the network uses."""
    fusion = experiment.settings.model.fusion
    uses = choices.facts("fusion", fusion).uses
    if experiment.unused and set(experiment.unused) == set(uses):
        lacking = " or ".join(enrolment.NAMES[kind] for kind in uses)
        raise UserError(
            f"no training clip of {experiment.records.folder} has {lacking}, and fusion {fusion} "
            f"uses nothing else; give another --fusion or other --records"
        )


def check_networks(experiment: Experiment, stages: Sequence[Stage]) -> None:
    """Build the networks of a run and of its stages, and see whether they fit together.

    Raises:
        UserError: a network that cannot be built, a stage without matching layers, or a branch that
            nothing trains.
    """
    import keras

    try:
        built = {}
        for stage in stages:
            with naming(stage.file):
                built[stage] = _network(experiment.with_settings(stage.settings))
        for stage, network in built.items():
            with naming(stage.file):
                _check_trained(experiment.with_settings(stage.settings), network, ())
        settings = experiment.settings
        if settings.model.ensemble:
            return
        model = _network(experiment)
        own = transfer.branch_layers(model)
        taken: set[str] = set()
        for stage, network in built.items():
            trained = transfer.branch_layers(network)
            taken |= transfer.matching(settings, own, stage.settings, trained, str(stage.file))
        _check_trained(experiment, model, taken)
    finally:
        keras.utils.clear_session()  # layers are numbered from the start in what is trained


def _untrained(experiment: Experiment, model: keras.Model) -> set[str]:
    """Names of the layers with weights, without branches that are switched off."""
    switched_off = {f"{kind}_branch" for kind in experiment.unused}
    return transfer.with_weights(model.layers) - switched_off


def _check_trained(experiment: Experiment, network: keras.Model, taken: Iterable[str]) -> None:
    """Refuse a run or a stage that would keep the random weights of a branch.

    ``taken``: names of layers that have the weights of stages; those of source runs are added.
    """
    given = transfer.from_sources(experiment.settings, experiment.classes, network)
    untrained = _untrained(experiment, network) - {*taken, *given}
    transfer.check_trained(experiment.settings, untrained)


def _network(experiment: Experiment) -> keras.Model:
    """Build a network as before training, for audio of mean 0 and deviation 1."""
    import numpy as np

    from emorec_tf.models.model import build_model
    from emorec_tf.training.fit import audio_frames

    mean = np.zeros(experiment.settings.features.audio_width, np.float32)
    frames = audio_frames(experiment)
    settings, unused = experiment.settings, experiment.unused
    given = transfer.loaded_branches(settings, pretraining.sources_of(settings))
    try:
        return build_model(settings, experiment.classes, mean, mean + 1, frames, unused, given)
    except (ValueError, OverflowError) as error:  # Keras's, of sizes that do not fit
        named = ", ".join(f"{kind} {getattr(settings.model, kind)}" for kind in choices.NETWORK)
        line = quiet.last_line(str(error))
        raise UserError(f"no network can be built of {named}: {line}") from error
