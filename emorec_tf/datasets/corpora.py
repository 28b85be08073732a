"""Corpora as data: an entry says where a corpus is from, what its labels mean and how it is read.

``clips("ravdess", "/data/ravdess")`` lists the labelled recordings of a corpus without decoding
any. To add a corpus, give it an entry in ``DATASETS`` below; nothing else names it. If file names
say everything, the entry has a ``pattern``; label files are read by ``label_files``.
"""

from __future__ import annotations

from typing import Unpack

from emorec_tf.config.clip import EMOTIONS, Clip
from emorec_tf.datasets import image_corpora, listing
from emorec_tf.datasets.corpus import Corpus, clip_named
from emorec_tf.datasets.label_files import crema_d_labels, msp_improv_labels, nemo_people
from emorec_tf.datasets.labels import class_names, merge_classes
from emorec_tf.datasets.listing import Selection
from emorec_tf.datasets.own_clips import COLUMNS, read_folder

__all__ = ["DATASETS", "Corpus", "class_names", "clip_from_path", "clips", "merge_classes"]


def clips(dataset: str, source: str, **selection: Unpack[Selection]) -> list[Clip]:
    """List the labelled recordings of a corpus below a folder, sorted by their unique clip ids.

    See ``listing.clips``; several corpora are joined by "+", their folders by ",".
    """
    return listing.clips(DATASETS, dataset, source, **selection)


def clip_from_path(dataset: str, path: str) -> tuple[Clip, str] | None:
    """Return the clip and the modality that a path names: see ``corpus.clip_named``."""
    return clip_named(dataset, DATASETS[dataset], path)


def parts_of(dataset: str) -> tuple[str, ...]:
    """Subsets that stand for speakers, in a single corpus of people not identified; else ()."""
    return DATASETS[dataset].parts if dataset in DATASETS else ()


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
        channels={"speech": "speech clips", "song": "songs"},
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
        use="share_alike",
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
        use="attribution",
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
    "tess": Corpus(
        title="Toronto emotional speech set",
        homepage="https://doi.org/10.5683/SP2/E8H2MF",
        licence="CC BY-NC-ND 4.0",
        citation="Pichora-Fuller & Dupuis 2020, Borealis, doi:10.5683/SP2/E8H2MF",
        label_meaning="acted (intended by the actor)",
        emotions=_ALL_BUT_CALM,
        example="OAF_back_ps.wav",
        clip_count=2800,
        speaker_count=2,
        # Copies in circulation have marks before and after the name, and OA for OAF.
        pattern=r"(?:\d*test)?(?P<speaker>[OY]AF?)_(?P<statement>[a-z]+)"
        r"_(?P<emotion>angry|disgust|fear|happy|neutral|ps|sad)\d*",
        clip_id="{speaker}_{statement}_{emotion}",
        values={"speaker": {"OA": "OAF", "YA": "YAF"}},
        codes={
            "angry": "angry",
            "disgust": "disgust",
            "fear": "fearful",
            "happy": "happy",
            "neutral": "neutral",
            "ps": "surprised",  # pleasant surprise
            "sad": "sad",
        },
        renamed_copies=True,
        men=(),
    ),
    "nemo": Corpus(
        title="nEMO: emotional speech in Polish",
        homepage="https://github.com/amu-cai/nEMO",
        licence="CC BY-NC-SA 4.0",
        citation="Christop 2024, LREC-COLING, arXiv:2404.06292",
        label_meaning="acted (intended by the actor)",
        emotions=EMOTIONS[:1] + EMOTIONS[2:6] + EMOTIONS[7:8],
        example="samples/EB0_anger_1.wav",
        clip_count=4481,
        speaker_count=9,
        pattern=r"(?P<speaker>[A-Z]{2}\d)_(?P<emotion>[a-z]+)_(?P<statement>\d+)",
        clip_id="{speaker}_{emotion}_{statement}",
        codes={
            "anger": "angry",
            "fear": "fearful",
            "happiness": "happy",
            "neutral": "neutral",
            "sadness": "sad",
            "surprised": "surprised",
        },
        men=("KS0", "MP0", "SM0", "TP0", "WR0"),
        finish=nemo_people,
    ),
    "jl-corpus": Corpus(
        title="JL corpus: emotional speech in New Zealand English",
        homepage="https://www.kaggle.com/datasets/tli725/jl-corpus",
        licence="CC0 1.0",
        use="free",
        citation="James, Tian & Watson 2018, Interspeech, doi:10.21437/Interspeech.2018-1349",
        label_meaning="acted (intended by the actor)",
        emotions=EMOTIONS[:1] + EMOTIONS[2:5],
        example="female1_angry_10a_1.wav",
        clip_count=960,  # of 2,400: those with one of the four classes
        speaker_count=4,
        pattern=r"(?P<speaker>(?:fe)?male\d)_(?P<emotion>[a-z]+)_(?P<statement>\d+)"
        r"(?P<session>[ab])_(?P<repetition>\d)",
        clip_id="{speaker}_{emotion}_{statement}{session}_{repetition}",
        bookkeeping=("repetition",),
        codes={"neutral": "neutral", "happy": "happy", "sad": "sad", "angry": "angry"},
        unmapped=("anxious", "apologetic", "assertive", "concerned", "encouraging", "excited"),
        men=("male1", "male2"),
    ),
    "fer2013": Corpus(
        title="FER-2013: facial expressions in images found on the web",
        homepage="https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge",
        licence="not stated; made for a public challenge",
        citation="Goodfellow et al. 2013, ICONIP, LNCS 8228, doi:10.1007/978-3-642-42051-1_16",
        label_meaning="search words, checked by raters; people are not identified",
        emotions=_ALL_BUT_CALM,
        example="train/happy/Training_10019449.jpg",
        own_names=r"(Training|PublicTest|PrivateTest)_\d+",
        clip_count=35887,
        bookkeeping=("framing",),
        parts=image_corpora.PARTS,
        read=image_corpora.read_fer2013,
    ),
    "image_folder": Corpus(
        title="your own images: folders <emotion>/ or <train|validation|test>/<emotion>/",
        homepage="the README of this package, section on your own clips",
        licence="whatever you have agreed with the people in it",
        use="own",
        citation="none",
        label_meaning="whatever you meant by it; people are not identified",
        emotions=(),
        example="train/happy/image1.jpg",
        parts=image_corpora.PARTS,
        read=image_corpora.read_images,
    ),
    "face_folder": Corpus(
        title="your own images of faces that are cut out already: folders as in image_folder",
        homepage="the README of this package, section on your own clips",
        licence="whatever you have agreed with the people in it",
        use="own",
        citation="none",
        label_meaning="whatever you meant by it; people are not identified",
        emotions=(),
        example="train/happy/face1.jpg",
        bookkeeping=("framing",),
        parts=image_corpora.PARTS,
        read=image_corpora.read_faces,
    ),
    "folder": Corpus(
        title="your own clips: a CSV of path,emotion,speaker or folders <speaker>/<emotion>/",
        homepage="the README of this package, section on your own clips",
        licence="whatever you have agreed with the people in it",
        use="own",
        citation="none",
        label_meaning="whatever you meant by it",
        emotions=(),
        example="anna/happy/clip1.mp4",
        read=read_folder,
        columns=COLUMNS,
    ),
    "demo": Corpus(
        title="demo corpus, drawn and synthesised by this package",
        homepage="the README of this package",
        licence="none needed (made by this package)",
        use="free",
        citation="none needed",
        label_meaning="drawn: demo only, never evidence",
        emotions=EMOTIONS[:8],
        example="labels.csv",
        read=read_folder,
    ),
}
