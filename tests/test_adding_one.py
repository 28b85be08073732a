"""An extension is one entry in one file: a dummy of each kind works in every command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import DETECTOR

import emorec_tf
from emorec_tf.storage.files import read_csv

pytestmark = pytest.mark.slow

PACKAGE = Path(emorec_tf.__file__).parent


@dataclass(frozen=True)
class Addition:
    """Text added to one file: an entry, and the definitions it names before the table."""

    file: str
    table: str  # its first line
    entry: str
    code: str = ""


DATASET = Addition(
    "datasets/corpora.py",
    "DATASETS: dict[str, Corpus] = {\n",
    """    "dummy_corpus": Corpus(
        title="Dummy corpus",
        homepage="nowhere",
        licence="none",
        citation="none",
        label_meaning="drawn",
        emotions=("neutral", "happy", "sad"),
        example="s1_hap_2.mp4",
        clip_count=12,
        speaker_count=4,
        pattern=r"(?P<speaker>s\\d)_(?P<emotion>[a-z]{3})_(?P<take>\\d)",
        clip_id="{speaker}-{emotion}-{take}",
        codes={"neu": "neutral", "hap": "happy", "sad": "sad"},
        bookkeeping=("take",),
    ),
""",
)
AUDIO_FEATURE = Addition(
    "features/audio_features.py",
    "AUDIO_FEATURES = {\n",
    """    "dummy_feature": AudioFeature(
        dummy_feature,
        centred=False,
        width="mel_bands",
        powers=dummy_powers,
        loudness_step=0.0,
    ),
""",
    '''@keras.saving.register_keras_serializable("emorec_tf")
class DummyRoots(LogMel):
    """Square roots of the power."""

    def scaled(self, power):
        return ops.sqrt(power)


def dummy_feature(features):
    """Dummy audio feature.

    Source:
        A test.
    """
    return DummyRoots(**settings(features))


def dummy_powers(features, math):
    return (lambda roots: math.maximum(roots, 0.0) ** 2, lambda power: power**0.5)
''',
)
AUDIO_BRANCH = Addition(
    "models/audio/audio_branches.py",
    "AUDIO_BRANCHES = {\n",
    """    "dummy_audio": Branch(dummy_audio, trainable=False, small="gain=1.0"),
""",
    '''@keras.saving.register_keras_serializable("emorec_tf")
class DummySizes(keras.layers.Layer):
    def call(self, x):
        return ops.abs(x)


def dummy_audio(inputs, *, gain: float = 2.0):
    """Dummy audio branch.

    Source:
        A test.
    """
    sizes = DummySizes()(inputs["audio"])
    return Tokens(gain * ops.mean(sizes, axis=1, keepdims=True), inputs["audio_mask"][:, :1])
''',
)
FACE_BRANCH = Addition(
    "models/face/face_branches.py",
    "FACE_BRANCHES = {\n",
    """    "dummy_face": Branch(dummy_face),
""",
    '''@keras.saving.register_keras_serializable("emorec_tf")
class DummyWeights(keras.layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units), name="kernel")

    def call(self, x):
        return ops.matmul(x, self.kernel)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def dummy_face(inputs, *, units: int = 4):
    """Dummy face branch.

    Source:
        A test.
    """
    rows = ops.mean(ops.cast(inputs["faces"], "float32"), axis=(3, 4)) / 255.0
    return Tokens(DummyWeights(units)(rows), inputs["face_mask"])
''',
)
FUSION = Addition(
    "models/fusion/fusions.py",
    "FUSIONS = {\n",
    """    "dummy_fusion": Fusion(dummy_fusion, head_replaceable=True),
""",
    '''def dummy_fusion(audio, face, outputs, *, scale: float = 1.0):
    """Dummy fusion.

    Source:
        A test.
    """
    heads = [clip_logits(t, outputs, n, Head()) for t, n in ((audio, "audio"), (face, "face"))]
    return scale * (heads[0] + heads[1])
''',
)
CLASSIFIER = Addition(
    "models/classical/classifiers.py",
    "CLASSIFIERS = {\n",
    """    "dummy_classifier": Classifier(dummy_classifier),
""",
    '''def dummy_classifier(balanced, *, alpha: float = 1.0):
    """Dummy classical head.

    Source:
        A test.
    """

    def make(hp):
        from sklearn.linear_model import RidgeClassifier

        return RidgeClassifier(alpha=alpha)

    return Search(make, 0, 1, "random")
''',
)
ADDITIONS = {
    "dummy_corpus": DATASET,
    "dummy_feature": AUDIO_FEATURE,
    "dummy_audio": AUDIO_BRANCH,
    "dummy_face": FACE_BRANCH,
    "dummy_fusion": FUSION,
    "dummy_classifier": CLASSIFIER,
}
FEATURES = ["--sample_rate_hz=8000", "--clip_seconds=1.0", "--mel_bands=16", "--mel_max_hz=4000"]
FEATURES += ["--face_frames=2", "--face_pixels=24", f"--face_detector={DETECTOR}"]
FEATURES += ["--audio_features=dummy_feature"]
SPLIT = ["--test_speakers=s4", "--validation_speakers=s3", "--batch_size=3", "--epochs=1"]


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.py")}


def add(package: Path, addition: Addition) -> None:
    file = package / addition.file
    text = file.read_text(encoding="utf-8")
    assert text.count(addition.table) == 1
    code = f"{addition.code}\n\n" if addition.code else ""
    added = f"{code}{addition.table}{addition.entry}"
    file.write_text(text.replace(addition.table, added), encoding="utf-8")


def run(folder: Path, *commands: list[str]) -> str:
    """Run commands in sequence in a fresh process that imports only the copy."""
    code = (
        "import importlib, json, sys\n"
        "if __name__ == '__main__':\n"
        "    for verb, *words in json.loads(sys.argv[1]):\n"
        "        code = importlib.import_module(f'emorec_tf.{verb}').main(words)\n"
        "        if code: sys.exit(f'{verb} exits with {code}')\n"
    )
    script = folder / "run_commands.py"
    script.write_text(code, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "240"}
    done = subprocess.run(
        [sys.executable, str(script), json.dumps(commands)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def clips(demo_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One demo clip per actor and emotion, under the dummy corpus's file names."""
    folder = tmp_path_factory.mktemp("dummy_clips")
    taken = set()
    for row in read_csv(demo_clips / "labels.csv"):
        name = f"s{row['speaker'][-1]}_{row['emotion'][:3]}_1.mp4"
        if name not in taken:
            shutil.copy(demo_clips / row["path"], folder / name)
            taken.add(name)
    assert len(taken) == 12
    return folder


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with a dummy of each kind, each in one file."""
    folder = tmp_path_factory.mktemp("copy")
    package = folder / "emorec_tf"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    before = contents(package)
    for addition in ADDITIONS.values():
        add(package, addition)
        after = contents(package)
        assert before.keys() == after.keys()
        assert [f for f in after if after[f] != before[f]] == [addition.file]
        before = after
    return folder


def test_every_command_takes_the_new_entries(copy: Path, clips: Path) -> None:
    records, gradients, classical = (str(copy / n) for n in ("records", "gradients", "classical"))
    where = ["--dataset=dummy_corpus", "--source", str(clips), "--records", records]
    train = ["train", "--records", records, *SPLIT, "--audio=dummy_audio", "--fusion=dummy_fusion"]
    still = ["--face=face_statistics(mesh=False, cells=2, parts=1)"]
    run(
        copy,
        ["prepare", *where, "--workers=1", "--cache_gib=0", *FEATURES],
        [*train, "--run", gradients, "--face=dummy_face(units=3)", "--augment_channel"],
        [*train, "--run", classical, *still, "--classifier=dummy_classifier"],
    )
    clip = str(next(clips.iterdir()))
    answers = run(
        copy,
        ["evaluate", "--run", gradients],
        ["predict", clip, "--run", gradients, "--json"],
        ["predict", clip, "--run", classical, "--json"],
        ["export", "--run", classical, "--out", str(copy / "exported")],
    )
    lines = [json.loads(line) for line in answers.splitlines() if line.startswith("{")]
    assert [set(line["probabilities"]) for line in lines] == [{"neutral", "happy", "sad"}] * 2
    noise = {row["condition"]: row for row in read_csv(copy / "gradients" / "robustness.csv")}
    assert "noise 0 dB" in noise
    report = json.loads((copy / "exported" / "report.json").read_text(encoding="utf-8"))
    assert list(report["formats"]) == ["saved_model"]


def test_the_zoo_lists_them(copy: Path) -> None:
    text = run(copy, ["zoo"])
    assert [name for name in ADDITIONS if name not in text] == []
