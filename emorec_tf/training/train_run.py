"""Train an experiment into a run directory: pretraining stages, epochs, temperature; resumable."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path

from emorec_tf.config import config
from emorec_tf.records import records_dir
from emorec_tf.training import checks, enrolment, run_dir, source_runs, stages
from emorec_tf.training.distributed import cluster, rendezvous
from emorec_tf.training.experiment import Experiment
from emorec_tf.training.run_dir import Run
from emorec_tf.training.stages import Stage

_LOG = logging.getLogger(__name__)


def train(
    experiment: Experiment,
    folder: Path,
    *,
    overwrite: bool = False,
    shared_stages: Path | None = None,
    until: int | None = None,
) -> Run:
    """Train, or go on where the same run stopped; then fit the temperature.

    Args:
        experiment: settings, records and split.
        folder: run directory.
        overwrite: throw away what is in it; never its pretraining stages.
        shared_stages: folder of pretraining stages; also takes a finished stage that is this very
            run. None: ``first`` beside the run.
        until: stop after this many epochs, as a search may; a later call resumes.

    Raises:
        UserError: settings that cannot be trained on these data, or a run of other settings in
            the way. Then nothing was written.
    """
    with records_dir.naming_damage(experiment.records):
        return _train(experiment, folder, overwrite, shared_stages, until)


def _train(
    experiment: Experiment,
    folder: Path,
    overwrite: bool,
    shared_stages: Path | None,
    until: int | None,
) -> Run:
    from emorec_tf.training import clip_familiarity, fit, logits
    from emorec_tf.training.distributed import sync

    before = stages.plan(experiment, shared_stages or folder.parent / stages.FOLDER)
    run = start(experiment, folder, before, overwrite)
    _LOG.info("%s; run %s", experiment.summary(), folder)
    if before and not (folder / "last.keras").exists():
        run = stages.run_all(
            before, run, lambda stage: train(experiment.with_settings(stage.settings), stage.folder)
        )
    elif shared_stages:
        stages.adopt(run, experiment, shared_stages)
    with sync.watched(folder):
        fit.fit(run, experiment, until)
        if cluster.is_chief():
            clip_familiarity.fit(run, experiment)
            logits.fit_temperature(run, experiment)
        sync.decided_by_chief(True)  # all wait until the chief has written everything
    return run


def start(experiment: Experiment, folder: Path, before: Sequence[Stage], overwrite: bool) -> Run:
    """Check all that can be refused, then make the run directory or open it.

    Args:
        experiment: of the run.
        folder: run directory.
        before: its pretraining stages.
        overwrite: throw away what is in the folder.

    Raises:
        UserError: see ``train``.
    """
    from emorec_tf.training.distributed import sync

    checks.check_clips(experiment, before)
    sources = stages.sources_of(experiment.settings)
    cluster.check_batch(experiment.settings.train.batch_size, sync.replicas())
    for stage in before:
        with stages.naming(stage.file):
            cluster.check_batch(stage.settings.train.batch_size, sync.replicas())
    wanted = Run(
        folder,
        experiment.settings,
        experiment.classes,
        experiment.split,
        run_dir.source_of(experiment.records),
        {stage.folder.name: stage.facts(folder) for stage in before},
        experiment.unused,
        started_from=tuple(map(source_runs.facts, sources)),
    )
    if cluster.team():
        meet(experiment, wanted, overwrite)
    chief = cluster.is_chief()
    with sync.watched(folder):
        if not sync.decided_by_chief(chief and run_dir.check(wanted, overwrite)):
            checks.check_networks(experiment, before)
        run = run_dir.create(wanted, overwrite) if chief else wanted
        sync.decided_by_chief(True)  # the run is there now
    run = run if chief else run_dir.reopen(wanted)
    _warn(run, experiment)
    for line in source_runs.doubts(experiment, sources):
        _LOG.warning("%s", line)
    return run


def _warn(run: Run, experiment: Experiment) -> None:
    """Say which branch is switched off, and which speakers have too few enrolment clips."""
    for kind in run.unused:
        _LOG.warning(
            "no training clip has %s; the %s branch is not trained and is switched off",
            enrolment.NAMES[kind],
            kind,
        )
    wanted = experiment.settings.data.adapt
    found = experiment.usable_enrolment
    few = [f"{name} ({len(own)})" for name, own in found.items() if len(own) != wanted]
    if few:
        _LOG.warning(
            "fewer than %s enrolment clips have what the network uses: of %s %s",
            wanted,
            experiment.settings.data.adapt_by,
            ", ".join(few),
        )


def meet(experiment: Experiment, wanted: Run, overwrite: bool) -> None:
    """Wait for the other machines, compare settings with them, start TensorFlow.

    Raises:
        UserError: a machine is missing or differs, the chief would refuse the run, or settings
            that only one process can train.
    """
    from emorec_tf.training.distributed import sync

    own, settings = cluster.team(), experiment.settings
    assert own is not None
    for name, given in (
        ("pretrain", settings.train.pretrain),
        ("ensemble", settings.model.ensemble),
        ("classifier", stages.has_classifier(settings)),
    ):
        if given:
            cluster.refuse(name, "give the same command; it uses all devices of its machine")
    text = json.dumps(experiment.records.manifest, sort_keys=True)
    manifest = hashlib.sha256(text.encode()).hexdigest()
    facts = sync.facts(config.flat(settings), manifest[:12])
    rendezvous.meet(own, facts, lambda: run_dir.check(wanted, overwrite))
    with sync.watched(wanted.folder):
        _LOG.info("machine %d of %d%s", own.index, len(own), ", the chief" if own.chief else "")
        cluster.strategy()
