"""Fine-tuning packaged models and runs on demo clips: new labels, refusals, what is left alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import emorec_tf
from emorec_tf.errors import UserError
from emorec_tf.evaluate import main as evaluate_main
from emorec_tf.export import main as export_main
from emorec_tf.finetune import main as finetune_main
from emorec_tf.training import finetuning, run_dir

pytestmark = pytest.mark.slow

TWO = "--label_map=sad=neutral"
SPEAKERS = ["--test_speakers=actor04", "--validation_speakers=actor03"]


def same_weights(layer: str, *files: Path) -> bool:
    ours, theirs = (run_dir.load_model(file).get_layer(layer).get_weights() for file in files)
    return all(np.array_equal(mine, other) for mine, other in zip(ours, theirs, strict=True))


@pytest.fixture(scope="module")
def face(demo_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ravdess-face, which has no trainable weights, with a head for two other classes."""
    folder = tmp_path_factory.mktemp("tuned") / "face"
    where = ["--from=ravdess-face", f"--source={demo_clips}", f"--run={folder}"]
    assert finetune_main([*where, TWO, *SPEAKERS]) == 0
    return folder


def test_a_model_without_trainable_weights_gets_a_new_head(face: Path, demo_clips: Path) -> None:
    run = run_dir.load(face)
    assert run.classes == ("neutral", "happy")
    assert run.is_finished()
    assert (
        run.config.model.classifier
        == run_dir.load(finetuning.model_store.folder_of("ravdess-face")).config.model.classifier
    )
    assert evaluate_main(["--run", str(face), "--no_robustness"]) == 0
    metrics = json.loads((face / "metrics.json").read_text())
    assert metrics["n"] == 6
    assert metrics["test_speakers"] == ["actor04"]
    clip = min((demo_clips / "clips").glob("actor04_*.mp4"))
    assert set(emorec_tf.load(face).predict_clip(clip)["probabilities"]) == set(run.classes)


def test_its_features_are_those_of_the_model(face: Path, demo_clips: Path) -> None:
    clip = min((demo_clips / "clips").glob("*happy*.mp4"))
    mine, theirs = (emorec_tf.load(m).embedding(clip) for m in (face, "ravdess-face"))
    np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_it_can_be_exported(face: Path, demo_clips: Path, tmp_path: Path) -> None:
    clip = min((demo_clips / "clips").glob("actor04_*.mp4"))
    where = ["--run", str(face), "--out", str(tmp_path / "out"), "--clips", str(clip)]
    assert export_main([*where, "--format=onnx"]) == 0


def test_pretrained_branches_come_from_the_packaged_model(demo_clips: Path, tmp_path: Path) -> None:
    """The expression net is inside general-face; no file of it is here, nothing is downloaded."""
    run = emorec_tf.finetune(
        "general-face",
        demo_clips,
        run=tmp_path / "run",
        test_speakers="actor04",
        validation_speakers="actor03",
    )
    source = run_dir.load(finetuning.model_store.folder_of("general-face"))
    assert same_weights("face_branch", run.model_file, source.model_file)
    (facts,) = run.started_from
    assert facts["name"] == "general-face"
    assert facts["trained_on"]["fer2013"]


def test_a_network_gets_a_new_head_and_is_then_trained_whole(
    demo_run: Path, demo_records: Path, tmp_path: Path, capsys
) -> None:
    where = [f"--from={demo_run}", f"--records={demo_records}", TWO, *SPEAKERS, "--epochs=2"]
    assert finetune_main([*where, f"--run={tmp_path / 'head'}"]) == 0
    said = capsys.readouterr()
    assert "was trained on demo" in said.out + said.err
    for name in ("audio_branch", "face_branch"):
        assert same_weights(name, tmp_path / "head" / "best.keras", demo_run / "best.keras")
    assert run_dir.load_model(tmp_path / "head" / "best.keras").output_shape == (None, 2)
    assert finetune_main([*where, "--unfreeze", f"--run={tmp_path / 'whole'}"]) == 0
    whole = run_dir.load(tmp_path / "whole")
    assert whole.started_from[0]["classes"] == ["neutral", "happy"]
    assert whole.config.train.learning_rate == pytest.approx(1e-4)
    network = run_dir.load_model(tmp_path / "whole" / "best.keras", for_training=True)
    assert network.get_layer("face_branch").trainable_weights


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--source={clips}"], "needs --from"),
        (["--from=ravdess-face"], "needs --source FOLDER"),
        (["--from=ravdess-fac", "--source={clips}"], "did you mean 'ravdess-face'"),
        (["--from=ravdess-face", "--source={clips}", "--label_map=sad=happy,neutral=happy"],
         "nothing to tell apart"),
        (["--from=ravdess-face", "--source={clips}", "--unfreeze"], "nothing more to train"),
        (["--from=ravdess-face", "--records={records}"], "have other features"),
        (["--from=ravdess-face", "--source={clips}", "--train_speakers=actor01",
          "--label_map=sad=neutral", "--pretrain=ravdess-face"], "takes no pretrain"),
        (["--from={run}", "--records={records}", "--test_speakers=actor01"],
         "was trained on demo, speakers actor01"),
    ],
)  # fmt: skip
def test_what_cannot_learn_is_refused_in_one_line(
    given: list[str], said: str, demo_clips: Path, demo_records: Path, demo_run: Path,
    tmp_path: Path, capsys,
) -> None:  # fmt: skip
    places = {"clips": demo_clips, "records": demo_records, "run": demo_run}
    words = [text.format(**places) for text in given]
    assert finetune_main([*words, f"--run={tmp_path / 'run'}"]) == 1
    errors = [n for n in capsys.readouterr().err.splitlines() if n.startswith("error")]
    assert len(errors) == 1
    assert said in errors[0]
    assert not (tmp_path / "run").exists()


def test_too_few_clips_are_refused(demo_clips: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    for speaker in ("actor01", "actor02", "actor03"):
        for emotion in ("happy", "sad"):
            (own / speaker / emotion).mkdir(parents=True)
            clip = min((demo_clips / "clips").glob(f"{speaker}_{emotion}_*.mp4"))
            (own / speaker / emotion / "1.mp4").write_bytes(clip.read_bytes())
    with pytest.raises(UserError, match="too few training clips: happy 1, sad 1"):
        emorec_tf.finetune("ravdess-audio", own, run=tmp_path / "run")
