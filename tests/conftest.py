"""Shared fixtures: tiny settings, random model inputs, a demo corpus, its records, a run on it."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from filelock import FileLock
from fresh_process import FreshProcess, Reloaded
from places import DATA

from emorec_tf.config.clip import Clip
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.config.schema import schema
from emorec_tf.storage.quiet import QUIET_START

if TYPE_CHECKING:
    import keras

os.environ.update(QUIET_START)  # before anything imports TensorFlow

Inputs = dict[str, np.ndarray]


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that one worker of this session makes while the others wait for it.

    Args:
        make: gets the path of the folder, which does not exist yet.
    """
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # the folder of the session, with one below it for each worker
    folder, done = base / name, base / f"{name}.done"
    folder.parent.mkdir(exist_ok=True)
    with FileLock(base / f"{name}.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # left by a worker that failed
            make(folder)
            done.touch()
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run files with slow tests first, so that workers under ``--dist loadfile`` end together."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests marked ``data`` whose files or folders below ``EMOREC_DATA`` are missing."""
    for mark in item.iter_markers("data"):
        missing = [name for name in mark.args if not (DATA / name).exists()]
        if missing:
            pytest.skip(f"no {' or '.join(missing)} in {DATA}; set EMOREC_DATA")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keep decoded test clips out of the user's cache, in commands too."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["EMOREC_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def noticed_interrupts() -> None:
    """Take notice of Ctrl-C, which shells have the commands ignore that they start with ``&``."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def features() -> FeaturesConfig:
    """Half a second of audio in 48 frames of 16 bands, 3 grey face crops of 24 pixels."""
    return FeaturesConfig(
        sample_rate_hz=8000,
        clip_seconds=0.5,
        mel_bands=16,
        mel_max_hz=4000.0,
        face_frames=3,
        face_pixels=24,
    )


@pytest.fixture(scope="session")
def inputs() -> Callable[..., Inputs]:
    """Return a function that draws random model inputs; the last third of each is padding."""

    def draw(features: FeaturesConfig, count: int = 4, seed: int = 0) -> Inputs:
        random = np.random.default_rng(seed)
        made: Inputs = {}
        for name, spec in schema(features).items():
            shape = (count, *spec.shape)
            if name.endswith("_mask"):
                made[name] = np.ones(shape, np.float32)
                made[name][:, -(spec.shape[0] // 3) :] = 0
            elif spec.dtype == "uint8":
                made[name] = random.integers(0, 256, shape, np.uint8)
            else:
                made[name] = random.normal(size=shape).astype(spec.dtype)
        return made

    return draw


@pytest.fixture(scope="session")
def fresh_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FreshProcess]:
    """Return a process that opens saved models as a command would."""
    process = FreshProcess(tmp_path_factory.mktemp("reloaded"))
    yield process
    process.stop()


@pytest.fixture
def reloaded(fresh_process: FreshProcess) -> Callable[[keras.Model], Reloaded]:
    """Return a function that saves a model and lets a fresh process read it again and answer."""
    return functools.partial(Reloaded, fresh_process)


@pytest.fixture(scope="session")
def people() -> list[Clip]:
    """Eight speakers, named 1 to 8, with three emotions each; the files do not exist."""
    return [
        Clip(f"{speaker}-{emotion}", str(speaker), emotion)
        for speaker in range(1, 9)
        for emotion in ("neutral", "happy", "sad")
    ]


DETECTOR = "mediapipe"
# of runs with random weights, which read clips as any other
TINY_FEATURES = FeaturesConfig(
    face_detector=DETECTOR,  # type: ignore[arg-type]
    sample_rate_hz=8000,
    clip_seconds=1.5,
    mel_bands=16,
    mel_max_hz=4000.0,
    face_frames=2,
    face_pixels=24,
)
FEATURE_FLAGS = [
    f"--face_detector={DETECTOR}",
    "--sample_rate_hz=8000",
    "--clip_seconds=1.5",
    "--mel_bands=16",
    "--mel_max_hz=4000",
    "--face_frames=2",
    "--face_pixels=24",
]


@pytest.fixture(scope="session")
def demo_clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo corpus of 4 actors, 3 emotions, 2 takes: 24 videos of two seconds."""

    def make(folder: Path) -> None:
        from emorec_tf.datasets.demo import demo_corpus

        emotions = ("neutral", "happy", "sad")
        demo_corpus.build(folder, actors=4, takes=2, emotions=emotions, workers=1)

    return made_once(tmp_path_factory, "demo-corpus", make)


@pytest.fixture(scope="session")
def demo_records(demo_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same corpus, prepared with tiny features in shards of five clips."""

    def make(folder: Path) -> None:
        from emorec_tf.prepare import main as prepare_main

        source = ["--source", str(demo_clips), "--records", str(folder)]
        where = [*source, "--workers=2", "--clips_per_shard=5"]
        assert prepare_main(["--dataset=demo", *where, *FEATURE_FLAGS]) == 0

    return made_once(tmp_path_factory, "demo-records", make)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an empty bucket on a local S3 server."""
    from emorec_tf.errors import SetupError
    from emorec_tf.storage import object_store

    try:
        object_store.file_system("s3")
    except SetupError as error:
        pytest.skip(str(error))
    with socket.create_server(("127.0.0.1", 0)) as free:
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
    server = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1"]
    process = subprocess.Popen(
        [*server, "-p", endpoint.rsplit(":", 1)[1]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    settings = {"S3_ENDPOINT": endpoint, "AWS_REGION": "us-east-1"}
    settings |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in settings.items():
                patch.setenv(name, value)
            make_bucket(f"{endpoint}/bucket")
            yield "s3://bucket"
    finally:
        process.terminate()
        process.wait()
        object_store.ready.cache_clear()


def make_bucket(address: str) -> None:
    """Wait for the server, then make a bucket."""
    for _ in range(600):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(urllib.request.Request(address, method="PUT")).close()
            return
        time.sleep(0.1)
    raise AssertionError(f"{address} does not answer")


TRAIN_FLAGS = [
    "--audio=conv1d(filters=8, blocks=2)",
    "--face=alexnet(width=0.1, dense=8)",
    "--test_speakers=actor04",
    "--validation_speakers=actor03",
    "--batch_size=4",
    "--learning_rate=0.01",
]


@pytest.fixture(scope="session")
def demo_run(demo_records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A concat run of three epochs on the small demo records; tests may evaluate it."""

    def make(folder: Path) -> None:
        from emorec_tf.train import main as train_main

        where = ["--records", str(demo_records), "--run", str(folder)]
        assert train_main([*where, "--epochs=3", *TRAIN_FLAGS]) == 0

    trained = made_once(tmp_path_factory, "demo-run/trained", make)
    # each worker writes metrics into its own copy
    worker = os.environ.get("PYTEST_XDIST_WORKER", "here")
    return shutil.copytree(trained, trained.with_name(f"demo-concat-{worker}"))


@pytest.fixture(scope="session")
def demo_export(demo_run: Path, demo_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo run in every format, compared with Keras on one video of its test speaker."""

    def make(folder: Path) -> None:
        import keras

        from emorec_tf.export import main as export_main

        keras.utils.clear_session()  # names of operations start again, as in a fresh process
        clip = min((demo_clips / "clips").glob("actor04_*.mp4"))
        where = ["--run", str(demo_run), "--out", str(folder), "--clips", str(clip)]
        assert export_main([*where, "--format", "saved_model,litert,onnx"]) == 0

    return made_once(tmp_path_factory, "demo-export", make)
