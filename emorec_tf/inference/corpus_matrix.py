"""The matrix of corpora as one call, for the command and from Python; trained models as rows."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emorec_tf.config.clip import Clip
from emorec_tf.config.given import Given, settings_of
from emorec_tf.errors import UserError
from emorec_tf.evaluation import crosscorpus as matrices
from emorec_tf.evaluation import crosscorpus_plan, run_answers
from emorec_tf.evaluation.crosscorpus_plan import Answers, ModelRow
from emorec_tf.records import joining
from emorec_tf.records.records_dir import Records
from emorec_tf.training import experiment, model_store, run_dir
from emorec_tf.training.run_dir import Run

if TYPE_CHECKING:
    from emorec_tf.inference.predictor import Predictor

SET_BY_FOLDS = ("train_speakers", "validation_speakers", "test_speakers", "seed")
_LOG = logging.getLogger(__name__)
ONLY_DATA = {"records", "dataset"}  # settings that ask for no training


@dataclass(frozen=True)
class Wanted:
    """What a matrix is made of, beside settings.

    Attributes:
        run: folder to write; None: ``runs/crosscorpus-<dataset>``.
        models: trained models as rows, by name or folder.
        seeds: how often each training set is trained.
        folds: of the cross-validation within a corpus.
        overwrite: remove an earlier matrix in that folder.
        command: that does the same.
        robustness: measure it in the cross-validations within a corpus.
    """

    run: str | Path | None = None
    models: Sequence[str] = ()
    seeds: int = 1
    folds: int = 5
    overwrite: bool = False
    command: str = ""
    robustness: bool = True


def crosscorpus(
    config: Given = None,
    *,
    records: str | Path | Records,
    run: str | Path | None = None,
    models: Sequence[str] = (),
    seeds: int = 1,
    folds: int = 5,
    overwrite: bool = False,
    **settings: Any,
) -> dict[str, Any]:
    """Train on each corpus, test on each; go on after an interruption.

    Args:
        config: settings: a Config, ``{field: value}``, or the path of a YAML file.
        records: what ``prepare`` returned for ``dataset="a+b"``, or its folder; or several folders
            of equal features, joined by commas.
        run: folder to write; None: ``runs/crosscorpus-<dataset>``.
        models: names or folders of trained models that are rows too; without other settings
            nothing is trained.
        seeds: how often each training set is trained, with random seeds 0, 1, 2, ...
        folds: of the cross-validation within a corpus; fewer where speakers are few.
        overwrite: remove an earlier matrix in that folder.
        settings: single settings; they go before ``config``.

    Returns:
        ``rows`` and ``columns`` (names), ``cells``: a list of dicts with ``train``, ``test``,
        ``uar`` (0 to 1), ``uar_ci95`` [low, high] (95 %, over speakers), ``per_class_recall``,
        ``most_predicted``, ``share``, ``ece``, ...; ``means``: UAR of each row over the corpora
        that it was not trained on.

    Raises:
        UserError: an unknown setting or model, records of one corpus, a leak, or a matrix of other
            settings in the way.

    >>> matrix = emorec_tf.crosscorpus({"fusion": "audio_only", "classifier": "lda(shrinkage=0.1)"},
    ...     records="english,german", audio="functionals(coefficients=8)", batch_size=4, folds=2,
    ...     run="runs/matrix")
    >>> [len(matrix["rows"]), len(matrix["columns"]), len(matrix["cells"])]
    [2, 2, 4]
    """
    folder = records.folder if isinstance(records, Records) else records
    given = settings_of(config, {**settings, "records": folder})
    return made(given, Wanted(run, models, seeds, folds, overwrite))[0]


def made(given: Mapping[str, Any], wanted: Wanted) -> tuple[dict[str, Any], Path]:
    """Make the matrix of flat settings, and name its folder; see ``crosscorpus``."""
    given = {name: value for name, value in given.items() if name not in SET_BY_FOLDS}
    if not given.get("records"):
        raise UserError("crosscorpus needs --records FOLDER[,FOLDER ...] that hold several corpora")
    settings = None
    if wanted.models and not given.keys() - ONLY_DATA:
        records = joining.open_all(given["records"])
    else:
        settings, records = experiment.resolve(given)
    rows = [model_row(name, records) for name in wanted.models]
    planned = crosscorpus_plan.plan(settings, records, wanted.folds, rows)
    folder = Path(wanted.run or f"runs/crosscorpus-{records.manifest['dataset']}")
    matrix = matrices.crosscorpus(
        planned,
        folder,
        seeds=wanted.seeds,
        overwrite=wanted.overwrite,
        command=wanted.command,
        robustness=wanted.robustness,
    )
    return matrix, folder


def model_row(name: str, records: Records) -> ModelRow:
    """Make a trained model a row. Where its features are other ones, clips are decoded again.

    Raises:
        UserError: no such model, one that estimates ratings, or one that adapts to speakers and
            has other features.
    """
    folder = model_store.folder_of(name)
    model_store.check_sums(folder)
    run = run_dir.load(folder)
    if not run.classes or run.config.data.target != "emotion":
        raise UserError(f"{name} predicts no emotions; only models that do are rows of the matrix")
    called = folder.resolve().name
    if run.config.features == records.features:
        return ModelRow(called, run, _of_records(run, records))
    if isinstance(run.config.data.adapt, int):
        raise UserError(
            f"{name} adapts to speakers by their clips, for which the records need its features; "
            f"prepare them with those, or leave it out"
        )
    _LOG.info("note: %s has other features than the records; clips are decoded again", called)
    return ModelRow(called, run, _of_files(str(folder)))


def _of_records(run: Run, records: Records) -> Answers:
    found: list[Answers] = []

    def answers(clips: Sequence[Clip]) -> tuple[np.ndarray, Sequence[Clip]]:
        if not found:  # opened only if there is something to score
            found.append(run_answers.run_answers(run, records))
        return found[0](clips)

    return answers


def _of_files(folder: str) -> Answers:
    found: list[Predictor] = []

    def answers(clips: Sequence[Clip]) -> tuple[np.ndarray, Sequence[Clip]]:
        from emorec_tf.inference import predictor

        if not found:
            found.append(predictor.load(folder))
        (model,) = found
        rows = [_answer(model, clip) for clip in clips]
        return np.array(rows), clips

    return answers


def _answer(model: Predictor, clip: Clip) -> list[float]:
    """Probabilities of one clip, decoded from its file; NaN where nothing is of use."""
    heard = model.modalities == ("audio",)
    path = (clip.audio or clip.video) if heard else (clip.video or clip.audio)
    shares = model.answer_clip(str(path), speech_check=False).probabilities
    classes = model.run.classes
    return [shares[name] for name in classes] if shares else [np.nan] * len(classes)
