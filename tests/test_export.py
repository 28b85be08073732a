"""export: the file gives the run's numbers to a program that knows TensorFlow alone."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from emorec_tf import agreement, config, export, predict, runs
from emorec_tf.audio_features import AUDIO_FEATURES, fit_length
from emorec_tf.clip import UserError
from emorec_tf.config import FeaturesConfig, ModelConfig
from emorec_tf.splits import Split

DOCS = (Path(__file__).resolve().parents[1] / "docs" / "export.md").read_text(encoding="utf-8")
SPLIT = Split(("1",), ("2",), ("3",))
SOURCE = {"dataset": "demo", "licence": "none", "label_meaning": "drawn", "label": None}


@pytest.fixture(scope="module")
def film(demo_clips: Path) -> Path:
    return sorted((demo_clips / "clips").glob("actor04_*.mp4"))[0]


@pytest.fixture(scope="module")
def exported(demo_run: Path, film: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import keras

    keras.utils.clear_session()  # as in a process of its own, names of operations begin anew
    out = tmp_path_factory.mktemp("exported")
    assert export.main(["--run", str(demo_run), "--out", str(out), "--clips", str(film)]) == 0
    return out


def facts_of(out: Path) -> dict[str, Any]:
    path = out / "saved_model" / "assets" / export.FACTS
    return json.loads(path.read_text(encoding="utf-8"))


def arrays(facts: dict[str, Any], count: int = 3) -> dict[str, np.ndarray]:
    """A voice and a face; a face alone; a voice alone."""
    random = np.random.default_rng(1)
    made = {}
    for name, spec in facts["inputs"].items():
        shape = (count, *spec["shape"][1:])
        made[name] = random.uniform(0, 255, shape).astype(spec["dtype"])
        if name.endswith("_mask"):
            made[name] = np.ones(shape, np.float32)
            made[name][2] = 0
    made["waveform"] = random.normal(0, 0.1, made["waveform"].shape).astype(np.float32)
    made["samples"] = np.array([made["waveform"].shape[1], 0, 5000], np.int32)
    return made


def test_report_and_folder(exported: Path, film: Path) -> None:
    report = json.loads((exported / "report.json").read_text(encoding="utf-8"))
    row = report["formats"]["saved_model"]
    assert sorted(p.name for p in exported.iterdir()) == ["report.json", "saved_model"]
    assert report["compared_on"] == [str(film)]
    assert row["differences"]["probabilities"] <= 1e-4
    files = [p for p in (exported / "saved_model").rglob("*") if p.is_file()]
    assert row["bytes"] == sum(p.stat().st_size for p in files)
    assert row["seconds_per_clip"] > 0


def test_assets_tell_what_a_caller_must_know(exported: Path, demo_run: Path) -> None:
    run, facts = runs.load(demo_run), facts_of(exported)
    features = run.config.features
    assert facts["classes"] == list(run.classes)
    assert facts["temperature"] == run.temperature
    for name in ("label_meaning", "licence", "dataset"):
        assert facts[name] == run.source[name]
    assert facts["sound"]["sample_rate_hz"] == features.sample_rate_hz
    assert facts["inputs"]["waveform"]["shape"] == [None, features.clip_samples]
    assert facts["pictures"]["margin"] == features.face_margin
    text = (exported / "saved_model" / "assets" / "config.yaml").read_text(encoding="utf-8")
    assert config.build(yaml.safe_load(text)) == run.config


def test_the_ten_lines_of_the_docs(
    exported: Path, demo_run: Path, film: Path, tmp_path: Path
) -> None:
    """In a process of its own, which never sees this package; from the film on, as predict."""
    answer = predict.predictor(str(demo_run))(str(film))
    served = agreement_cases(demo_run, film)
    np.savez(tmp_path / "clip.npz", **served)
    snippet = re.search(r"```python\n(.*?)```", DOCS, re.DOTALL)
    assert snippet is not None
    lines = snippet[1].strip().splitlines()
    assert len(lines) <= 10
    code = "\n".join([*lines, "import sys", "assert 'emorec_tf' not in sys.modules"])
    shutil.copytree(exported, tmp_path / "exported")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout.splitlines()[-1].replace("'", '"'))
    assert told == pytest.approx(answer.probabilities, abs=1e-4)


def agreement_cases(run_folder: Path, film: Path) -> dict[str, np.ndarray]:
    from emorec_tf.serving import serving

    run = runs.load(run_folder)
    served = serving(run, runs.load_model(run.model_file))
    return agreement.clip_cases(served, [str(film)], None, None)[0].raw


def test_shapes_and_what_is_missing(exported: Path, demo_run: Path) -> None:
    facts, answer = facts_of(exported), export.read_saved_model(exported / "saved_model")
    given = arrays(facts)
    found = answer(given)
    classes = len(facts["classes"])
    assert found["probabilities"].shape == found["logits"].shape == (3, classes)
    assert found["embedding"].shape == (3, facts["outputs"]["embedding"]["shape"][1])
    assert np.allclose(found["probabilities"].sum(1), 1, atol=1e-5)
    scaled = np.exp(found["logits"] / (facts["temperature"] or 1.0))
    shares = scaled / scaled.sum(1, keepdims=True)
    assert np.allclose(found["probabilities"], shares, atol=1e-5)

    model = runs.load_model(runs.load(demo_run).model_file)
    voice = model.get_layer("audio_branch").output[0].shape[-1]
    assert not found["embedding"][1, :voice].any()  # no voice
    assert not found["embedding"][2, voice:].any()  # no face
    assert found["embedding"][0].any()
    # what is masked, or stands behind the sound, is not looked at
    other = {n: a.copy() for n, a in given.items()}
    other["waveform"][1], other["waveform"][2, 5000:] = np.nan, 7.0
    other["faces"][2] = 255
    assert all(np.array_equal(found[n], a) for n, a in answer(other).items())


@pytest.mark.parametrize("kind", AUDIO_FEATURES)
def test_frames_counted_as_fit_length_counts(features: FeaturesConfig, kind: str) -> None:
    from emorec_tf.serving import frame_mask

    changed = dataclasses.replace(features, audio_features=kind, mfcc_count=8)
    lengths = [0, 1, 79, 80, 199, 200, 201, 1999, 3840, 3999, 4000, 9999]
    got = frame_mask(np.array(lengths, np.int32), changed).numpy()
    for row, length in zip(got, lengths, strict=True):
        assert np.array_equal(row, fit_length(np.ones(length, np.float32), changed)[1]), length


def untrained(folder: Path, features: FeaturesConfig, data: dict[str, Any], **model: str) -> Any:
    """A run of random weights that nobody trained, and its model."""
    from emorec_tf.model import build_model

    settings = dataclasses.replace(
        config.build(data), features=features, model=ModelConfig(**model)
    )
    classes = () if "target_scale" in data else ("a", "b", "c")
    mean = np.zeros(features.audio_width)
    network = build_model(settings, classes, mean, mean + 1)
    return runs.Run(folder, settings, classes, SPLIT, SOURCE), network


CHOICES = [
    ({"audio": "lstm(units=8, pool='none')", "fusion": "weighted_average"}, {}, {}),
    ({"fusion": "audio_only"}, {"audio_features": "mfcc", "mfcc_count": 8}, {"enrol": "self"}),
    ({"fusion": "face_only"}, {"face_mesh": True, "face_channels": 3}, {}),
    ({}, {"audio_features": "mel_db"}, {"target": "valence", "target_scale": "continuous"}),
]
SMALL = {"audio": "conv1d(filters=8, blocks=2)", "face": "alexnet(width=0.1, dense=8)"}
SMALL |= {"fusion": "concat"}


@pytest.mark.parametrize(
    ("model", "changes", "data"), CHOICES, ids=["lstm", "voice", "mesh", "rating"]
)
def test_any_network_exports(
    tmp_path: Path,
    features: FeaturesConfig,
    model: dict[str, str],
    changes: dict[str, Any],
    data: dict[str, Any],
) -> None:
    from emorec_tf.serving import serving

    features = dataclasses.replace(features, **changes)
    run, network = untrained(tmp_path, features, data, **{**SMALL, **model})
    served = serving(run, network)
    branches = [layer for layer in network.layers if layer.name.endswith("_branch")]
    asked = set(served.inputs)
    assert ("waveform" in asked) == (model.get("fusion") != "face_only")
    assert ("faces" in asked) == (model.get("fusion") != "audio_only")
    assert ("landmarks" in asked) == features.face_mesh
    cases = agreement.random_cases(served)
    wanted, _ = agreement.answers_of(agreement.reference(served), cases, lambda case: case.example)
    export.write_saved_model(served, tmp_path / "saved")
    answer = export.read_saved_model(tmp_path / "saved")
    row = agreement.compare("saved_model", answer, cases, wanted)
    output = "value" if data.get("target_scale") else "probabilities"
    assert row["differences"][output] <= 1e-5
    embedding = answer(cases[0].raw)["embedding"]
    assert embedding.shape == (1, sum(branch.output[0].shape[-1] for branch in branches))


def test_a_wrong_file_is_not_kept(
    tmp_path: Path,
    demo_run: Path,
    exported: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    shutil.copytree(exported, out)
    before = sorted((p, p.stat().st_mtime) for p in out.rglob("*"))

    def read(folder: Path) -> export.Answer:
        answer = export.read_saved_model(folder)
        return lambda given: {n: a + np.float32(2e-4) for n, a in answer(given).items()}

    wrong = dataclasses.replace(export.FORMATS["saved_model"], read=read)
    monkeypatch.setitem(export.FORMATS, "saved_model", wrong)
    assert export.main(["--run", str(demo_run), "--out", str(out)]) == 1
    error = capsys.readouterr().err.strip()
    assert "0.0002 in probabilities" in error
    assert len(error.splitlines()) == 1
    assert [p for p, _ in before] == sorted(out.rglob("*"))
    assert before[1:] == sorted((p, p.stat().st_mtime) for p in out.rglob("*"))[1:]


def test_random_arrays_replace_an_earlier_export(
    tmp_path: Path, demo_run: Path, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(exported, out)
    assert export.main(["--run", str(demo_run), "--out", str(out)]) == 0
    assert "4 random" in capsys.readouterr().out
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert "random: no voice" in report["compared_on"]
    assert sorted(p.name for p in out.iterdir()) == ["report.json", "saved_model"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--run"),
        (["--run", "nowhere"], "nowhere"),
        (["--run", "RUN", "--format", "savedmodel"], "did you mean 'saved_model'"),
        (["--run", "RUN", "--format", ","], "known are saved_model"),
        (["--run", "RUN", "--out", "OUT/file"], "is a file"),
        (["--run", "RUN", "--out", "OUT"], "in the way"),
        (["--run", "RUN", "--out", "OUT/new", "--clips", "OUT"], "no clip in folder"),
    ],
)
def test_wrong_calls_get_one_line(
    demo_run: Path,
    tmp_path: Path,
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "saved_model").mkdir()
    (tmp_path / "saved_model" / "mine.txt").write_text("mine")
    places = {"RUN": str(demo_run), "OUT": str(tmp_path)}
    arguments = [re.sub("RUN|OUT", lambda m: places[m[0]], a) for a in arguments]
    assert export.main(arguments) == 1
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1
    assert (tmp_path / "saved_model" / "mine.txt").read_text() == "mine"


def test_speakers_known_by_clips_are_refused(tmp_path: Path) -> None:
    from emorec_tf.serving import check_alone

    run = runs.Run(tmp_path, config.build({"enrol": 5}), ("a", "b"), SPLIT, SOURCE)
    with pytest.raises(UserError, match="--enrol self"):
        check_alone(run)
