"""Familiarity of a trained run: stored, in its answers, in its scores; runs without it stay."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import TRAIN_FLAGS

from emorec_tf.errors import UserError
from emorec_tf.inference import predictor
from emorec_tf.inference.long_media import Settings
from emorec_tf.inference.media_answer import answer_media
from emorec_tf.inference.windows import UNSURE
from emorec_tf.records import records_dir
from emorec_tf.tasks import familiarity_file
from emorec_tf.tasks.familiarity import Familiarity
from emorec_tf.train import main as train_main
from emorec_tf.training import clip_familiarity, logits, run_dir

HEAD = """audio: functionals(coefficients=8)
fusion: audio_only
classifier: "lda(shrinkage=0.4, pca=4)"
refit: true
inner_folds: 2
batch_size: 4
"""
COMMON = [flag for flag in TRAIN_FLAGS if "speakers" in flag]


@pytest.fixture(scope="module")
def run(demo_records: Path, tmp_path_factory: pytest.TempPathFactory) -> run_dir.Run:
    folder = tmp_path_factory.mktemp("familiar")
    (folder / "head.yaml").write_text(HEAD)
    where = ["--records", str(demo_records), "--run", str(folder / "run")]
    assert train_main(["--config", str(folder / "head.yaml"), *where, *COMMON]) == 0
    return run_dir.load(folder / "run")


@pytest.fixture(scope="module")
def ready(run: run_dir.Run) -> predictor.Predictor:
    return predictor.load(str(run.folder))


def test_training_clips_are_at_no_distance_and_noise_is_far(run: run_dir.Run) -> None:
    records = records_dir.open_records(str(run.config.data.records))
    answering = clip_familiarity.Answering(run_dir.load_model(run.model_file), run)
    clips = run.split.clips(records.clips)["train"]
    raw, ordered, growth, near = answering.logits_of(logits.ClipBatches(records, clips), None)
    assert near is not None
    assert growth == 1.0, "one corpus says nothing about others"
    assert np.median(near) > 0.25, "they are among those that clips are compared with"
    plain, same = logits.logits_of(answering.model, logits.ClipBatches(records, clips))
    assert same == ordered
    np.testing.assert_allclose(raw, plain, atol=1e-5)

    def noise(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        random = np.random.default_rng(0)
        return {**inputs, "audio": random.normal(0, 30, inputs["audio"].shape).astype("float32")}

    far = answering.logits_of(logits.ClipBatches(records, clips), None, noise)[3]
    assert far is not None
    assert far.max() < 0.02


def test_the_answer_says_it_and_abstains_only_when_asked(
    run: run_dir.Run, ready: predictor.Predictor, demo_clips: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clip = str(min((demo_clips / "clips").glob("*.mp4")))
    short = Settings(windows="off", speech_check=False)
    answer = answer_media(ready, clip, short).answer
    assert 0 <= answer["familiarity"] <= 1
    found = run.familiarity
    assert isinstance(found, Familiarity)
    assert found.threshold == 0, "two held-out speakers of a demo are too few to flag any clip"
    held_out = found.held_out * 0 - 1e6  # all clips are nearer
    never = dataclasses.replace(found, held_out=held_out, threshold=0.02)
    assert ready.answering is not None
    ready.answering.found = never
    try:
        strange = answer_media(ready, clip, short).answer
        assert strange["familiarity"] == 0
        assert strange["emotion"] == answer["emotion"], "the emotion stays, unless asked"
        assert "unlike anything it was trained on (familiarity 0.000)" in caplog.text
        asked = dataclasses.replace(ready, unfamiliar_below=never.threshold)
        assert answer_media(asked, clip, short).answer["emotion"] == UNSURE
        windows = answer_media(asked, clip, Settings(windows="on", speech_check=False))
        assert windows.answer["emotion"] in (UNSURE, None)
        assert all("familiarity" in row for row in [*windows.answer["windows"], *windows.timeline])
    finally:
        ready.answering.found = found


def test_a_run_without_it_answers_without_it(
    run: run_dir.Run, ready: predictor.Predictor, demo_clips: Path
) -> None:
    clip = str(min((demo_clips / "clips").glob("*.mp4")))
    short = Settings(windows="off", speech_check=False)
    wanted = answer_media(ready, clip, short).answer
    plain = dataclasses.replace(ready, answering=None)
    answer = answer_media(plain, clip, short).answer
    assert list(answer) == [key for key in wanted if key != "familiarity"]
    assert answer["probabilities"] == pytest.approx(wanted["probabilities"], abs=1e-5)


def test_it_is_fitted_once_and_a_damaged_file_is_refused(run: run_dir.Run) -> None:
    path = run.familiarity_file
    whole = path.read_bytes()
    try:
        with pytest.raises(UserError, match="held too few clips out"):
            predictor.load(str(run.folder), abstain_unfamiliar=True)
        path.write_bytes(whole[:100])
        with pytest.raises(UserError, match=r"familiarity\.npz is damaged: .*; delete it"):
            predictor.load(str(run.folder))
        path.unlink()
        with pytest.raises(UserError, match="cannot tell how familiar a clip is"):
            predictor.load(str(run.folder), abstain_unfamiliar=True)
        other = dataclasses.replace(familiarity_file.from_bytes(whole), width=1 << 19)
        path.write_bytes(familiarity_file.to_bytes(other))
        with pytest.raises(UserError, match="is of another network"):
            predictor.load(str(run.folder))
    finally:
        path.write_bytes(whole)
    assert "unfamiliar_slope" not in json.loads((run.folder / "temperature.json").read_text())
