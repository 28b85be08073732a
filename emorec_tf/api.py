"""The package from Python: prepare, train, score and use models, without a command line.

All of it is in the package: ``emorec_tf.train(...)``. What a caller can put right raises
``emorec_tf.UserError``, one line. Progress is logged to ``logging.getLogger("emorec_tf")`` at INFO;
nothing is printed. TensorFlow starts without notes, unless ``TF_CPP_MIN_LOG_LEVEL`` is set.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emorec_tf.config import choices
from emorec_tf.config import config as configs
from emorec_tf.config.given import Given, refuse_others, settings_of
from emorec_tf.evaluation import crossvalidation
from emorec_tf.inference import adapting, devices, predictor
from emorec_tf.inference.clip_scores import evaluate
from emorec_tf.inference.corpus_matrix import crosscorpus
from emorec_tf.inference.data_frame import predict
from emorec_tf.inference.model import Model
from emorec_tf.records import prepare_records
from emorec_tf.records.prepare_records import Preparation
from emorec_tf.records.records_dir import Records
from emorec_tf.storage import paths
from emorec_tf.storage.deferred import Deferred
from emorec_tf.storage.start_notes import leave_notes_out
from emorec_tf.training import experiment, fresh_model, model_store, run_dir, train_run
from emorec_tf.training.finetuning import finetune
from emorec_tf.training.run_dir import Run

if TYPE_CHECKING:
    import keras
else:
    keras = Deferred("keras")

__all__ = ["Model", "Records", "Run", "build_model", "crosscorpus", "crossval", "evaluate",
           "finetune", "list_models", "load", "predict", "prepare", "train"]  # fmt: skip
# settings that prepare knows: of features, and of a corpus
_FEATURES = {field.name for field in dataclasses.fields(configs.FeaturesConfig)}
_CLIPS = ("channel", "classes", "label", "label_map", "modality")

leave_notes_out()  # TensorFlow is imported later


def list_models() -> list[str]:
    """Name the models that ``load`` finds: those of the package, and the runs in ``runs``.

    >>> "demo-concat" in emorec_tf.list_models()
    True
    """
    return sorted(model_store.found())


def load(
    name_or_folder: str | Path | Run,
    *,
    face_model: str | None = None,
    mesh_model: str | None = None,
    adapt: str | Path | Sequence[str | Path] | None = None,
    enrol: str | None = None,
) -> Model:
    """Load a trained model.

    Args:
        name_or_folder: one of ``list_models()``, a folder that ``train`` wrote, or what ``train``
            returned.
        face_model: face detector's model file, in place of its own.
        mesh_model: bundle of MediaPipe's FaceLandmarker, in place of the mesh.
        adapt: folder or files: unlabelled recordings of the same speaker or room; see
            ``Model.adapt``. A run that was trained with ``adapt=N`` needs them.
        enrol: former name of ``adapt``.

    Raises:
        UserError: no such run, or a damaged one; recordings that it cannot be adapted to.

    >>> emorec_tf.load("runs/demo-concat")
    Model('demo-concat', classes neutral, happy, sad, from audio and face)
    """
    folder = str(_folder(name_or_folder))
    names = adapting.names_of(adapt, enrol)
    return Model(predictor.load(folder, face_model, mesh_model, adapt=names))


def prepare(
    source: str | Path | None = None,
    records: str | Path | None = None,
    *,
    dataset: str | None = None,
    config: Given = None,
    workers: int | None = None,
    face_model: str | None = None,
    mesh_model: str | None = None,
    overwrite: bool = False,
    columns: str | None = None,
    **settings: Any,
) -> Records:
    """Decode a corpus once: audio features and face crops of every clip, as TFRecords.

    An interrupted call goes on where it stopped; a finished one returns at once. Clips that cannot
    be used are left out; ``refused`` of the result says why. Several processes decode, so a script
    that calls this needs ``if __name__ == "__main__":``.

    Args:
        source: folder of the corpus; None: the demo corpus, which is generated.
        records: folder to write; None: that of the settings, or ``records/<dataset>``.
        dataset: name of a corpus (``python -m emorec_tf.zoo`` lists them); None: ``folder``, which
            reads <speaker>/<emotion>/ or a labels.csv, or ``demo`` without a source.
        config: settings: a Config, ``{field: value}``, or the path of a YAML file.
        workers: processes that decode; None: one for each processor.
        face_model: face detector's model file, in place of its own.
        mesh_model: bundle of MediaPipe's FaceLandmarker, in place of the mesh.
        overwrite: replace records that were made from other clips or settings.
        columns: names in a table of own clips: ``"emotion=label,speaker=subject"``.
        settings: single settings, such as ``face_frames=5`` or ``classes="7"``.

    Raises:
        UserError: a single setting that is unknown or that prepare does not use, an unknown corpus,
            no clips, records of other settings in the way, or no clip that can be used.

    >>> emorec_tf.prepare("clips", "own", clip_seconds=1.0, face_frames=0, mel_bands=16)
    Records('own', folder: 24 clips, 4 speakers, 3 emotions)
    """
    given = settings_of(config, settings)
    known = {*_FEATURES, *_CLIPS}
    refuse_others("prepare", settings, known)
    name = dataset or given.get("dataset") or ("folder" if source else "demo")
    if source is None and name == "demo":
        source = prepare_records.demo_source()
    features = configs.build({k: v for k, v in given.items() if k in _FEATURES}).features
    values: dict[str, Any] = {
        "dataset": name,
        "source": source and str(source),
        "records": str(records or given.get("records") or f"records/{name}"),
        "face_model": face_model,
        "mesh_model": mesh_model,
        "overwrite": overwrite,
        "columns": columns,
        **{key: given[key] for key in _CLIPS if key in given},
        **({} if workers is None else {"workers": workers}),
    }
    return prepare_records.prepare(Preparation(**values), features)


def train(
    config: Given = None,
    *,
    records: str | Path | Records | None = None,
    run: str | Path | None = None,
    overwrite: bool = False,
    **settings: Any,
) -> Run:
    """Train a model on prepared records; go on where the same call stopped.

    Each epoch is logged in one line (``emorec_tf`` at INFO): an application sees them with
    ``logging.basicConfig(level=logging.INFO)``.

    Args:
        config: settings: a Config, ``{field: value}``, or the path of a YAML file.
        records: what ``prepare`` returned, or its folder; None: those of the settings, or the demo
            corpus.
        run: folder to write; None: ``runs/<dataset>-<fusion>``.
        overwrite: remove an earlier run in that folder.
        settings: single settings, such as ``fusion="gated"`` or ``epochs=10``; they go before
            ``config``.

    Returns:
        The run, for ``evaluate`` and ``load``: ``folder``, ``config``, ``classes``, ``split``,
        ``history`` (one row per epoch).

    Raises:
        UserError: an unknown setting or choice, records of other features, a split that cannot be
            made, or a run with other settings in the way.

    >>> emorec_tf.train({"fusion": "audio_only", "epochs": 1}, records="records", run="runs/voice",
    ...                 audio="conv1d(filters=8, blocks=2)", batch_size=4)
    Run('runs/voice', 3 classes, validation UAR ...)
    """
    given = settings_of(config, {**settings, "records": _path(records)})
    complete, opened = experiment.resolve(given)
    fusion, _ = choices.parse(complete.model.fusion)
    folder = paths.place(run or f"runs/{complete.data.dataset}-{fusion}")
    return train_run.train(experiment.make(complete, opened), folder, overwrite=overwrite)


def crossval(
    config: Given = None,
    *,
    protocol: str,
    records: str | Path | Records | None = None,
    run: str | Path | None = None,
    seeds: int = 3,
    folds: Sequence[int] | None = None,
    allow_partial: bool = False,
    overwrite: bool = False,
    **settings: Any,
) -> dict[str, Any]:
    """Train and score each fold of a protocol with several random seeds; go on if interrupted.

    Args:
        config: settings: a Config, ``{field: value}``, or the path of a YAML file.
        protocol: name of a protocol, such as ravdess/contiguous6, group_kfold:5 or loso.
        records: what ``prepare`` returned, or its folder.
        run: folder to write; None: ``runs/cv-<dataset>``.
        seeds: how often each fold is trained, with random seeds 0, 1, 2, ...
        folds: numbers of the folds to train here, from 0; None: all.
        allow_partial: go on with fewer speakers or clips than the protocol has.
        overwrite: remove an earlier cross-validation in that folder.
        settings: single settings; they go before ``config``, whose speakers and random seed are
            not used, as ``protocol`` and ``seeds`` decide them.

    Returns:
        Scores over all folds that are done, as in ``evaluate``, with ``uar_per_seed`` {seed: 0 to
        1} and ``uar_spread`` (standard deviation over random seeds).

    Raises:
        UserError: an unknown setting or protocol, one that does not fit the records, a single
            setting of speakers or random seed, or a leak.

    >>> scores = emorec_tf.crossval({"fusion": "audio_only", "epochs": 1}, records="records",
    ...     protocol="group_kfold:2", seeds=1, run="runs/cv-voice", batch_size=4,
    ...     audio="conv1d(filters=8, blocks=2)")
    >>> scores["coverage"]["folds_done"]
    2
    """
    given = settings_of(config, {**settings, "records": _path(records)})
    complete, opened = experiment.resolve(crossvalidation.without_decided(given, settings))
    planned = crossvalidation.plan(complete, opened, protocol, allow_partial)
    chosen = planned.chosen(None if folds is None else ",".join(map(str, folds)))
    folder = Path(run or f"runs/cv-{complete.data.dataset}")
    return crossvalidation.crossval(planned, folder, seeds=seeds, folds=chosen, overwrite=overwrite)


def build_model(
    classes: Sequence[str], *, weights: str | Path | Run | None = None, **settings: Any
) -> keras.Model:
    """Build a fresh Keras model, to be compiled and fitted as any other.

    Args:
        classes: names of the K classes, in the order of the outputs.
        weights: a run (or its name or folder) whose settings and standardisation are used, and the
            weights of its layers where name and shapes are equal; so an output layer of as many
            classes is copied too.
        settings: settings such as ``fusion="concat"`` or ``face_frames=5``; they go before those
            of ``weights``.

    Returns:
        {array name: [B, ...]} -> logits [B, K]; ``Model.inputs`` makes its arrays.

    Raises:
        UserError: an unknown setting or choice, fewer than two classes, no such run.

    >>> emorec_tf.build_model(["smiling", "other"], weights="runs/demo-concat").output_shape
    (None, 2)
    """
    run = run_dir.load(_folder(weights)) if weights else None
    chosen = configs.build(settings_of(None, settings), run.config if run else None)
    devices.import_quickly()
    return fresh_model.build(chosen, tuple(classes), run)


def _path(records: str | Path | Records | None) -> str | Path | None:
    return records.folder if isinstance(records, Records) else records


def _folder(run: str | Path | Run) -> Path:
    return run.folder if isinstance(run, Run) else model_store.folder_of(run)
