"""Finished runs that another run starts from: their matching branches are its first weights.

``pretrain`` names them beside configs. Nothing of a source run is trained again, and nothing is
read from its folder once the new run has its weights: run.json says which network it was, how good
it was and which speakers it was trained on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emorec_tf.config import choices
from emorec_tf.config.clip import SEPARATOR, corpus_of
from emorec_tf.config.config import Config
from emorec_tf.config.fields import check
from emorec_tf.datasets import corpora
from emorec_tf.datasets.speakers import normal_form
from emorec_tf.errors import UserError
from emorec_tf.splits.splits import natural
from emorec_tf.storage import paths
from emorec_tf.training import model_store, networks_inside, packaged_members, run_dir
from emorec_tf.training.run_dir import Run
from emorec_tf.training.shared_weights import digest_of

if TYPE_CHECKING:
    from emorec_tf.training.experiment import Experiment

# Settings that decide what an audio branch is given, where the audio features are computed.
AUDIO_SCALE = ("audio_features", "sample_rate_hz", "mfcc_count", "window_seconds", "hop_seconds",
               "mel_bands", "mel_min_hz", "mel_max_hz")  # fmt: skip
SCORES = ("war", "uar", "ccc", "clips")  # of metrics.json, as far as it has them
SHOWN = 8  # speakers in a message


def folder_of(name: str) -> Path | None:
    """Find the run that a name in ``pretrain`` means: a folder, else a model's name; else None."""
    known = model_store.found()
    folder = paths.place(name)
    if (folder / "run.json").exists():
        return folder
    return known.get(folder.name)


def opened(folders: Iterable[Path]) -> list[Run]:
    """Open finished runs; of a packaged ensemble, the models that it refers to.

    Raises:
        UserError: a run that is not finished or is damaged, or an ensemble with weights of its own.
    """
    found: list[Run] = []
    for folder in folders:
        model_store.check_sums(folder)
        run = run_dir.load(folder)
        if run.config.model.ensemble and not run.members:
            raise UserError(f"pretrain: {folder} is an ensemble; name one of its members' runs")
        stopped = bool(run.history) and not run.is_finished()
        if stopped or not (run.members or run.model_file.exists()):
            raise UserError(f"pretrain: {folder} is not finished; repeat its train command")
        found += packaged_members.opened(run) if run.members else [run]
    return found


def facts(run: Run) -> dict[str, Any]:
    """What run.json keeps of a run that another starts from."""
    history = run.scores(run.history)
    reached = {f"val_{run.task.score}": max(history)} if history else {}
    stored = run.source
    return {
        "name": run.folder.name,
        "sha256": digest_of(run.model_file),
        "classes": run.classes,
        **{name: stored[name] for name in ("dataset", "licence", "label_meaning")},
        **{kind: getattr(run.config.model, kind) for kind in run.modalities},
        **reached,
        "test": _test_scores(run.folder),
        "trained_on": trained_on(run),
        "pretrained": networks_inside.pretrained(run) or stored.get("pretrained", {}),
    }


def _test_scores(folder: Path) -> dict[str, float]:
    """Test scores that metrics.json has; {} where the run was not scored."""
    try:
        found = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        return {name: found[name] for name in SCORES if found.get(name) is not None}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def trained_on(run: Run) -> dict[str, list[str] | None]:
    """Speakers that a run and those it started from have seen, by corpus; None: not known."""
    found: dict[str, list[str] | None] = {}
    names = str(run.source["dataset"]).split("+")
    if run.split.leaky:  # it names clips, not speakers
        found = dict.fromkeys(names)
    else:
        for speaker in (*run.split.train, *run.split.validation):
            corpus = corpus_of(speaker, "+".join(names))
            found.setdefault(corpus, [])
            own = found[corpus]
            assert own is not None
            own.append(speaker.removeprefix(f"{corpus}{SEPARATOR}") if len(names) > 1 else speaker)
    inside = networks_inside.pretrained(run) or run.source.get("pretrained", {})
    for corpus in inside.get("corpora", ()):
        found.setdefault(corpus, None)
    for source in run.started_from:
        for corpus, speakers in source["trained_on"].items():
            known = found.get(corpus, [])
            found[corpus] = None if speakers is None or known is None else [*known, *speakers]
    return {c: s and sorted(set(s), key=natural) for c, s in sorted(found.items())}


def check_speakers(experiment: Experiment, sources: Iterable[Run]) -> None:
    """Refuse a source run that was trained on test speakers of this run.

    Raises:
        UserError: so it was.
    """
    for run, corpus, both in _shared(experiment, sources, "test"):
        if both and not _is_own(corpus):
            raise UserError(
                f"pretrain: {run.folder} was trained on {corpus}, speakers {_some(both)}, which "
                f"this run is tested on; test other speakers, or start from another run"
            )


def check_corpora(sources: Iterable[Run], tested: Iterable[str]) -> None:
    """Refuse a source run that was trained on any of these corpora, in which all are tested.

    Raises:
        UserError: so it was.
    """
    for run in sources:
        if both := [corpus for corpus in tested if corpus in trained_on(run)]:
            raise UserError(
                f"pretrain: {run.folder} was trained on {', '.join(both)}, which is tested here as "
                f"a corpus not trained on; start from another run"
            )


def doubts(experiment: Experiment, sources: Iterable[Run]) -> list[str]:
    """Say what makes the scores of this run too good, or may; one line each."""
    found = []
    for run, corpus, both in _shared(experiment, sources, "test"):
        if both is None:
            found.append(
                f"{run.folder} or a network in it was trained on {corpus}; whether on test "
                f"speakers of this run is not known. If so, the test scores are too good"
            )
        elif both:
            found.append(
                f"{run.folder} was trained on own clips with speakers {_some(both)}, as test "
                f"speakers of this run are called. If they are the same, test others"
            )
    for run, corpus, both in _shared(experiment, sources, "validation"):
        only_chose = () if run.config.train.refit else run.split.validation
        both = [n for n in both or () if not {n, f"{corpus}{SEPARATOR}{n}"} & set(only_chose)]
        if both:
            found.append(
                f"{run.folder} was trained on {corpus}, validation speakers {_some(both)}: "
                f"validation scores and temperature are too good, test scores are not affected"
            )
    own = experiment.settings.data.dataset
    for run in sources:
        theirs = [n for n in trained_on(run) if _is_own(n) or _is_own(own)]
        if theirs and own not in theirs and experiment.split.test:
            found.append(
                f"whether {run.folder}, trained on {', '.join(theirs)}, has seen the test speakers "
                f"of {own} is not known"
            )
    return found


def _shared(
    experiment: Experiment, sources: Iterable[Run], subset: str
) -> list[tuple[Run, str, list[str] | None]]:
    """Speakers of a subset that each source run has seen, by corpus; None: not known."""
    dataset = experiment.settings.data.dataset
    joined = "+" in dataset
    tested: dict[str, set[str]] = {}
    for clip in experiment.subsets[subset]:
        corpus = corpus_of(clip.speaker, dataset)
        name = clip.speaker.removeprefix(f"{corpus}{SEPARATOR}") if joined else clip.speaker
        tested.setdefault(corpus, set()).add(name)
    found: list[tuple[Run, str, list[str] | None]] = []
    for run in sources:
        for corpus, seen in trained_on(run).items():
            if corpus in tested and seen is None:
                found.append((run, corpus, None))
            elif corpus in tested:
                forms = set(map(normal_form, seen or ()))
                both = [name for name in tested[corpus] if normal_form(name) in forms]
                found.append((run, corpus, sorted(both, key=natural)))
    return found


def _is_own(corpus: str) -> bool:
    """Whether a corpus is own clips, whose name says nothing about the people in it."""
    return corpus not in corpora.DATASETS or corpora.DATASETS[corpus].use == "own"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def check_features(settings: Config, run: Run) -> None:
    """Refuse an audio branch that is given other audio than it was trained on.

    Raises:
        UserError: names the setting.
    """
    ours, theirs = settings.features, run.config.features
    entry = choices.facts("audio_features", ours.audio_features)
    names = AUDIO_SCALE[:2] if entry.samples else AUDIO_SCALE
    for name in names:
        here, there = getattr(ours, name), getattr(theirs, name)
        check(here == there, name, here, f"{there!r}, as in {run.folder}, whose branch starts this")


def other_features(settings: Config, run: Run) -> list[str]:
    """Features of what the run uses that may differ, and do: "face_pixels 48, here 96"."""
    kinds = {"face_": "face", "clip_seconds": "audio", "trim_db": "audio"}
    ours, theirs = vars(settings.features), vars(run.config.features)
    uses = set(run.modalities) & set(choices.facts("fusion", settings.model.fusion).uses)
    return [
        f"{name} {theirs[name]}, here {value}"
        for name, value in ours.items()
        if value != theirs[name]
        and any(name.startswith(start) and kind in uses for start, kind in kinds.items())
    ]


def fingerprints(runs: Iterable[Run]) -> Mapping[str, str]:
    """Checksum of the network of each run, by the name of its folder."""
    return {run.folder.name: digest_of(run.model_file) for run in runs}
