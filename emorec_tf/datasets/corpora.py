"""Corpora as data: an entry says where a corpus is from, what its labels mean and how it is read.

``clips("ravdess", "/data/ravdess")`` lists the labelled recordings of a corpus without decoding
any. To add a corpus, give it an entry in ``DATASETS`` below; nothing else names it. If file names
say everything, the entry has a ``pattern``; label files are read by ``label_files``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from emorec_tf.config.clip import EMOTIONS, MODALITIES, Clip
from emorec_tf.config.fields import nearest
from emorec_tf.datasets import image_corpora, stand_ins
from emorec_tf.datasets.corpus import Corpus, clip_named, files_named, named_like
from emorec_tf.datasets.discovery import files_below, instead, join
from emorec_tf.datasets.label_files import crema_d_labels, msp_improv_labels
from emorec_tf.datasets.labels import class_names, common, merge_classes
from emorec_tf.datasets.own_clips import read_folder
from emorec_tf.datasets.speakers import one_spelling
from emorec_tf.errors import UserError
from emorec_tf.storage.paths import place

__all__ = ["DATASETS", "Corpus", "class_names", "clip_from_path", "clips", "merge_classes"]

_LOG = logging.getLogger(__name__)


def clips(
    dataset: str,
    source: str,
    *,
    classes: str | None = None,
    label: str | None = None,
    modality: str = "auto",
    allow_missing: bool = False,
) -> list[Clip]:
    """List the labelled recordings of a corpus below a folder, sorted by their unique clip ids.

    Args:
        dataset: A name in ``DATASETS``, or several joined by "+"; then clip ids, speakers and
            sessions get the prefix "<name>/", and the emotions that all of them have are kept.
        source: The folder of the corpus; for several, as many, joined by ",".
        classes: See ``merge_classes``.
        label: Which labels, for a corpus with several kinds (crema-d: intended, perceived).
        modality: Which files of a corpus that has several of a clip (ravdess): one of
            ``MODALITIES``, or the corpus's own code; "auto" all of them, joined, those with video
            and audio before the others.
        allow_missing: list clips too whose files a table names but that are not there, or that are
            pointers of git-lfs; ``prepare`` refuses each of them by name.

    Speakers whose names differ only in case, blanks, leading zeros or Unicode form become one, with
    a log message.

    Raises:
        UserError: If a name is unknown, the folder is missing or holds no file of the corpus,
            an emotion code is unknown, or two files are the same clip.
    """
    sources = _sources(dataset, source)
    corpora = [DATASETS[name] for name in sources]
    _check_choice("label", label, sources, sum((c.labels for c in corpora), ()))
    codes = {code: name for c in corpora for code, name in c.modalities.items()}
    modality = codes.get(modality, modality)
    _check_choice("modality", modality, sources, ("auto", *(MODALITIES if codes else ())))
    parts = {
        name: _clips_of(name, folder, label, modality, allow_missing)
        for name, folder in sources.items()
    }
    joined = parts[dataset] if dataset in parts else common(parts, classes)
    return merge_classes(joined, classes)


def clip_from_path(dataset: str, path: str) -> tuple[Clip, str] | None:
    """Return the clip and the modality that a path names: see ``corpus.clip_named``."""
    return clip_named(dataset, DATASETS[dataset], path)


def parts_of(dataset: str) -> tuple[str, ...]:
    """Subsets that stand for speakers, in a single corpus of people not identified; else ()."""
    return DATASETS[dataset].parts if dataset in DATASETS else ()


def _sources(dataset: str, source: str) -> dict[str, str]:
    """Return {corpus: folder}."""
    names = dataset.split("+")
    for name in names:
        if name not in DATASETS:
            raise UserError(f"unknown dataset {name!r}; {nearest(name, DATASETS)}")
    folders = source.split(",") if len(names) > 1 else [source]
    if len(folders) != len(names) or len(set(names)) != len(names):
        raise UserError(
            f"dataset {dataset!r} with source {source!r}: give each corpus once and one folder for"
            " each, joined by commas"
        )
    return {
        name: str(place(folder.strip()).expanduser())
        for name, folder in zip(names, folders, strict=True)
    }


def _check_choice(
    option: str, value: str | None, names: Iterable[str], kinds: tuple[str, ...]
) -> None:
    """Refuse a kind of label or of file that none of the corpora has."""
    if value is not None and value not in kinds:
        way_out = (
            nearest(value, kinds) if kinds[1:] else f"{'+'.join(names)} has one kind; leave it out"
        )
        raise UserError(f"unknown {option} {value!r}; {way_out}")


def _clips_of(
    name: str, source: str, label: str | None, modality: str, allow_missing: bool
) -> list[Clip]:
    corpus = DATASETS[name]
    kind = label if label in corpus.labels else "".join(corpus.labels[:1])
    if corpus.read is not None:
        try:
            found = corpus.read(source, allow_missing)
        except UserError as error:
            raise UserError(f"{error}{named_like(DATASETS, source)}") from error
    else:
        found = join(files_named(name, corpus, source, modality))
    if not found:
        raise UserError(
            f"no file of {name} below {source}; its files are named like {corpus.example}"
            + (f" (modality {modality})" if modality != "auto" else "")
            + instead(files_below(source))
        )
    if not allow_missing:
        stand_ins.check(found)
    kept = corpus.finish(found, source, str(kind)) if corpus.finish else found
    if not kept:
        raise UserError(
            f"none of the {len(found)} {name} clips below {source} has a label {kind}".strip()
        )
    return one_spelling(kept)


def _speech_only(clips: list[Clip], source: str, label: str) -> list[Clip]:
    """Keep RAVDESS's speech; its songs are read only where the folder holds nothing else."""
    del source, label
    speech = [clip for clip in clips if clip.traits["channel"] == "speech"]
    if speech and len(speech) < len(clips):
        _LOG.warning("left out %d songs of %d clips", len(clips) - len(speech), len(clips))
    return speech or clips


_ALL_BUT_CALM = EMOTIONS[:1] + EMOTIONS[2:8]

DATASETS: dict[str, Corpus] = {
    "ravdess": Corpus(
        title="Ryerson Audio-Visual Database of Emotional Speech and Song",
        homepage="https://zenodo.org/records/1188976",
        licence="CC BY-NC-SA 4.0",
        citation="Livingstone & Russo 2018, PLoS ONE 13(5), doi:10.1371/journal.pone.0196391",
        label_meaning="acted (intended by the actor)",
        emotions=EMOTIONS[:8],
        example="Actor_02/01-01-08-02-02-02-02.mp4",
        clip_count=1440,
        speaker_count=24,
        pattern=r"(?P<modality>0[123])-(?P<channel>0[12])-(?P<emotion>\d\d)-(?P<intensity>0[12])"
        r"-(?P<statement>0[12])-0(?P<repetition>[12])-0?(?P<speaker>\d{1,2})",
        clip_id="{channel}-{emotion}-{intensity}-{statement}-0{repetition}-{speaker:0>2}",
        codes={f"{number:02d}": name for number, name in enumerate(EMOTIONS[:8], start=1)},
        modalities={"01": "audio_visual", "02": "video_only", "03": "audio_only"},
        id_stem="03-{clip_id}",
        bookkeeping=("channel", "repetition"),
        values={
            "channel": {"01": "speech", "02": "song"},
            "intensity": {"01": "normal", "02": "strong"},
            "statement": {"01": "kids", "02": "dogs"},
        },
        men=tuple(str(actor) for actor in range(1, 24, 2)),
        finish=_speech_only,
    ),
    "savee": Corpus(
        title="Surrey Audio-Visual Expressed Emotion database",
        homepage="http://kahlan.eps.surrey.ac.uk/savee/",
        licence="research use only, after registration with the University of Surrey",
        citation="Haq & Jackson 2010, Multimodal Emotion Recognition, in: Machine Audition, ch. 17",
        label_meaning="acted (intended by the actor)",
        emotions=_ALL_BUT_CALM,
        example="AudioVisualClip/DC/a1.avi",
        clip_count=480,
        speaker_count=4,
        pattern=r"(?P<speaker>DC|JE|JK|KL)[/_](?P<emotion>[a-z]{1,2})0?(?P<number>\d{1,2})",
        clip_id="{speaker}_{emotion}{number:0>2}",
        bookkeeping=("number",),
        codes={
            "n": "neutral",
            "h": "happy",
            "sa": "sad",
            "a": "angry",
            "f": "fearful",
            "d": "disgust",
            "su": "surprised",
        },
        men=("DC", "JE", "JK", "KL"),
    ),
    "crema-d": Corpus(
        title="Crowd-sourced Emotional Multimodal Actors Dataset",
        homepage="https://github.com/CheyneyComputerScience/CREMA-D",
        licence="ODbL 1.0 (contents: DbCL 1.0)",
        citation="Cao et al. 2014, IEEE TAC 5(4), 377-390, doi:10.1109/TAFFC.2014.2336244",
        label_meaning="acted (intended by the actor); label perceived: most votes of the raters",
        emotions=_ALL_BUT_CALM[:-1],
        example="VideoFlash/1001_DFA_ANG_XX.flv",
        clip_count=7442,
        speaker_count=91,
        labels=("intended", "perceived"),
        pattern=r"(?P<speaker>\d{4})_(?P<statement>[A-Z]{3})_(?P<emotion>[A-Z]{3})"
        r"_(?P<intensity>LO|MD|HI|XX)",
        clip_id="{speaker}_{statement}_{emotion}_{intensity}",
        codes={
            "NEU": "neutral",
            "HAP": "happy",
            "SAD": "sad",
            "ANG": "angry",
            "FEA": "fearful",
            "DIS": "disgust",
        },
        finish=crema_d_labels,
    ),
    "msp-improv": Corpus(
        title="MSP-IMPROV: dyadic improvisations",
        homepage="https://ecs.utdallas.edu/research/researchlabs/msp-lab/MSP-Improv.html",
        licence="academic licence of UT Dallas, by signed agreement",
        citation="Busso et al. 2017, IEEE TAC 8(1), 67-80, doi:10.1109/TAFFC.2016.2515617",
        label_meaning="perceived (majority of raters)",
        emotions=EMOTIONS[:1] + EMOTIONS[2:5],
        example="session1/S01A/P/MSP-IMPROV-S01A-F01-P-FM01.avi",
        clip_count=7798,  # of 8,438: those with one of the four classes
        speaker_count=12,
        pattern=r"MSP-IMPROV-S(?P<statement>\d\d)(?P<target>[A-Z])"
        r"-(?P<speaker>[FM]0(?P<session>\d))-(?P<scenario>[A-Z])-(?P<turn>[A-Z]+\d+)",
        clip_id="MSP-IMPROV-S{statement}{target}-{speaker}-{scenario}-{turn}",
        bookkeeping=("target", "turn"),
        men=("M01", "M02", "M03", "M04", "M05", "M06"),
        finish=msp_improv_labels,
    ),
    "emodb": Corpus(
        title="Berlin Database of Emotional Speech",
        homepage="http://emodb.bilderbar.info/",
        licence="free, listed as CC BY 4.0",
        citation="Burkhardt et al. 2005, Interspeech, 1517-1520, doi:10.21437/Interspeech.2005-446",
        label_meaning="acted (intended by the actor)",
        emotions=EMOTIONS[:1] + EMOTIONS[2:7] + EMOTIONS[8:],
        example="wav/03a01Fa.wav",
        clip_count=535,
        speaker_count=10,
        pattern=r"(?P<speaker>\d\d)(?P<statement>[ab]\d\d)(?P<emotion>[A-Z])(?P<version>[a-z])",
        clip_id="{speaker}{statement}{emotion}{version}",
        bookkeeping=("version",),
        codes={
            "N": "neutral",
            "F": "happy",
            "T": "sad",
            "W": "angry",
            "A": "fearful",
            "E": "disgust",
            "L": "boredom",
        },
        men=("03", "10", "11", "12", "15"),
    ),
    "fer2013": Corpus(
        title="FER-2013: facial expressions in images found on the web",
        homepage="https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge",
        licence="not stated; made for a public challenge",
        citation="Goodfellow et al. 2013, ICONIP, LNCS 8228, doi:10.1007/978-3-642-42051-1_16",
        label_meaning="search words, checked by raters; people are not identified",
        emotions=_ALL_BUT_CALM,
        example="train/happy/Training_10019449.jpg",
        clip_count=35887,
        bookkeeping=("framing",),
        parts=image_corpora.PARTS,
        read=image_corpora.read_fer2013,
    ),
    "image_folder": Corpus(
        title="your own images: folders <emotion>/ or <train|validation|test>/<emotion>/",
        homepage="the README of this package, section on your own clips",
        licence="whatever you have agreed with the people in it",
        citation="none",
        label_meaning="whatever you meant by it; people are not identified",
        emotions=EMOTIONS,
        example="train/happy/image1.jpg",
        parts=image_corpora.PARTS,
        read=image_corpora.read_images,
    ),
    "face_folder": Corpus(
        title="your own images of faces that are cut out already: folders as in image_folder",
        homepage="the README of this package, section on your own clips",
        licence="whatever you have agreed with the people in it",
        citation="none",
        label_meaning="whatever you meant by it; people are not identified",
        emotions=EMOTIONS,
        example="train/happy/face1.jpg",
        bookkeeping=("framing",),
        parts=image_corpora.PARTS,
        read=image_corpora.read_faces,
    ),
    "folder": Corpus(
        title="your own clips: a CSV of path,emotion,speaker or folders <speaker>/<emotion>/",
        homepage="the README of this package, section on your own clips",
        licence="whatever you have agreed with the people in it",
        citation="none",
        label_meaning="whatever you meant by it",
        emotions=EMOTIONS,
        example="anna/happy/clip1.mp4",
        read=read_folder,
    ),
    "demo": Corpus(
        title="demo corpus, drawn and synthesised by this package",
        homepage="the README of this package",
        licence="none needed (made by this package)",
        citation="none needed",
        label_meaning="drawn: demo only, never evidence",
        emotions=EMOTIONS[:8],
        example="labels.csv",
        read=read_folder,
    ),
}
