"""export: a program with TensorFlow alone gets the run's outputs from the file."""

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
from places import ROOT
from untrained_runs import SOURCE, SPLIT, untrained

from emorec_tf import export
from emorec_tf.config import config
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.errors import UserError
from emorec_tf.exporting import export_run, parity
from emorec_tf.features.audio_features import AUDIO_FEATURES, fit_length
from emorec_tf.inference import predictor
from emorec_tf.inputs import main as inputs_main
from emorec_tf.storage.quiet import quiet
from emorec_tf.training import run_dir

pytest.importorskip("ai_edge_litert", reason="needs the extra [export]")
pytest.importorskip("tf2onnx", reason="needs the extra [export]")

pytestmark = pytest.mark.slow

DOCS = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
PLACES = [made.place for made in export.FORMATS.values()]


@pytest.fixture(scope="module")
def video(demo_clips: Path) -> Path:
    return min((demo_clips / "clips").glob("actor04_*.mp4"))


@pytest.fixture(scope="module")
def exported(demo_export: Path) -> Path:
    return demo_export


def facts_of(out: Path) -> dict[str, Any]:
    path = out / "saved_model" / "assets" / parity.FACTS
    return json.loads(path.read_text(encoding="utf-8"))


def arrays(facts: dict[str, Any], count: int = 3) -> dict[str, np.ndarray]:
    """Audio and face; face alone; audio alone."""
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


def test_report_and_folder(exported: Path, video: Path) -> None:
    report = json.loads((exported / "report.json").read_text(encoding="utf-8"))
    assert sorted(p.name for p in exported.iterdir()) == sorted([*PLACES, "report.json"])
    assert report["compared_on"] == [str(video)]
    assert list(report["formats"]) == ["saved_model", "litert", "onnx", "litert_int8"]
    for name, row in report["formats"].items():
        exact = name != "litert_int8"
        assert row["tolerance"] == (1e-4 if exact else parity.INT8_TOLERANCE)
        assert row["differences"]["probabilities"] <= (1e-5 if exact else 0.05)
        assert row["equal_answers"] == 1
        place = exported / row["path"]
        files = [p for p in (place, *place.rglob("*")) if p.is_file()]
        assert row["bytes"] == sum(p.stat().st_size for p in files)
        assert row["seconds_per_clip"] > 0
    rows = report["formats"]
    assert rows["litert_int8"]["bytes"] < 0.6 * rows["litert"]["bytes"]


def test_assets_hold_the_metadata_a_caller_needs(exported: Path, demo_run: Path) -> None:
    run, facts = run_dir.load(demo_run), facts_of(exported)
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


@pytest.mark.parametrize("number", range(3), ids=["tensorflow", "litert", "onnx"])
def test_the_example_in_the_docs_runs(
    exported: Path, demo_run: Path, video: Path, tmp_path: Path, number: int
) -> None:
    """In a separate process without this package; equal to predict on the video."""
    answer = predictor.load(str(demo_run)).answer_clip(str(video), speech_check=True)
    out = str(tmp_path / "clip.npz")
    assert inputs_main([str(video), "--run", str(demo_run), "--out", out]) == 0
    lines = SNIPPETS[number].strip().splitlines()
    assert len(lines) <= 10
    others = {"tensorflow", "ai_edge_litert", "onnxruntime", "emorec_tf"}
    others -= {("tensorflow", "ai_edge_litert", "onnxruntime")[number]}
    code = "\n".join([*lines, "import sys", f"assert not {others} & set(sys.modules)"])
    shutil.copytree(exported, tmp_path / "exported")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    answered = json.loads(done.stdout.splitlines()[-1].replace("'", '"'))
    assert answered == pytest.approx(answer.probabilities, abs=1e-4)


def test_the_request_of_the_docs_fits_the_signature(
    exported: Path, demo_run: Path, video: Path
) -> None:
    """TensorFlow Serving turns each list into a tensor of the type that the signature names."""
    import tensorflow as tf

    clip = raw_arrays(demo_run, video)
    names: dict[str, Any] = {"clip": clip, "facts": facts_of(exported)}
    exec(SNIPPETS[3], names)
    request = json.loads(names["request"])
    assert set(request) == {"signature_name", "inputs"}
    signatures = tf.saved_model.load(str(exported / "saved_model")).signatures
    serve = signatures[request["signature_name"]]
    specs = serve.structured_input_signature[1]
    assert set(specs) == set(request["inputs"])
    written = re.search(r'`{"signature_name": "serve", "inputs": {(.*?)}}`', DOCS, re.DOTALL)
    assert written is not None
    assert set(re.findall(r'"(\w+)": ', written[1])) == set(specs)
    found = serve(**{n: tf.constant(request["inputs"][n], spec.dtype) for n, spec in specs.items()})
    direct = serve(**{n: tf.constant(array) for n, array in clip.items()})
    np.testing.assert_allclose(found["probabilities"], direct["probabilities"], atol=1e-7)


def raw_arrays(run_folder: Path, video: Path) -> dict[str, np.ndarray]:
    from emorec_tf.exporting.export_graph import serving

    run = run_dir.load(run_folder)
    served = serving(run, run_dir.load_model(run.model_file))
    return parity.clip_cases(served, [str(video)], None, None)[0].raw


@pytest.mark.parametrize("name", export.FORMATS)
def test_shapes_and_what_is_missing(exported: Path, demo_run: Path, name: str) -> None:
    made, facts = export.FORMATS[name], facts_of(exported)
    with quiet():
        answer = made.read(exported / made.place)
    given = arrays(facts)
    found = answer(given)
    classes = len(facts["classes"])
    assert set(found) == set(facts["outputs"])
    assert found["probabilities"].shape == found["logits"].shape == (3, classes)
    assert found["embedding"].shape == (3, facts["outputs"]["embedding"]["shape"][1])
    assert np.allclose(found["probabilities"].sum(1), 1, atol=1e-5)
    scaled = np.exp(found["logits"] / (facts["temperature"] or 1.0))
    shares = scaled / scaled.sum(1, keepdims=True)
    assert np.allclose(found["probabilities"], shares, atol=1e-5)

    model = run_dir.load_model(run_dir.load(demo_run).model_file)
    audio = model.get_layer("audio_branch").output[0].shape[-1]
    assert not found["embedding"][1, :audio].any()  # no audio
    assert not found["embedding"][2, audio:].any()  # no face
    assert found["embedding"][0].any()
    # masked values, and those behind the audio, are ignored
    other = {n: a.copy() for n, a in given.items()}
    other["waveform"][1], other["waveform"][2, 5000:] = np.nan, 7.0
    other["faces"][2] = 255
    for output, values in answer(other).items():
        np.testing.assert_array_equal(values, found[output])
    alone = answer({n: a[:1] for n, a in given.items()})
    assert np.allclose(alone["probabilities"], found["probabilities"][:1], atol=1e-6)


@pytest.mark.parametrize("kind", AUDIO_FEATURES)
def test_frames_counted_as_fit_length_counts(features: FeaturesConfig, kind: Any) -> None:
    from emorec_tf.exporting.export_graph import frame_mask

    changed = dataclasses.replace(features, audio_features=kind, mfcc_count=8)
    lengths = [0, 1, 79, 80, 199, 200, 201, 1999, 3840, 3999, 4000, 9999]
    got = frame_mask(np.array(lengths, np.int32), changed).numpy()
    for row, length in zip(got, lengths, strict=True):
        assert np.array_equal(row, fit_length(np.ones(length, np.float32), changed)[1]), length


@pytest.mark.parametrize(
    ("choices", "changes", "asked"),
    [
        ({"fusion": "audio_only"}, {}, "waveform samples"),
        ({"fusion": "face_only"}, {"face_mesh": True}, "faces face_mask"),  # alexnet uses no mesh
        (
            {"fusion": "face_only", "face": "face_hog(units=8)"},
            {"face_mesh": True},
            "faces face_mask landmarks mesh_mask",
        ),
        (
            {"face": "landmark_distances(units=8)"},
            {"face_mesh": True},
            "waveform samples face_mask landmarks mesh_mask",
        ),
    ],
)
def test_only_arrays_in_use_are_inputs(
    tmp_path: Path,
    features: FeaturesConfig,
    choices: dict[str, Any],
    changes: dict[str, Any],
    asked: str,
) -> None:
    from emorec_tf.exporting.export_graph import serving

    features = dataclasses.replace(features, **changes)
    served = serving(*untrained(tmp_path, features, **choices))
    assert list(served.inputs) == asked.split()
    case = parity.random_cases(served)[0]
    assert list(case.raw) == asked.split()
    found = served.function(case.raw)
    wanted = parity.reference(served)(case.example)
    np.testing.assert_allclose(found["probabilities"], wanted["probabilities"], atol=1e-5)
    np.testing.assert_allclose(found["embedding"], wanted["embedding"], atol=1e-4)


def test_networks_of_16_bits_are_taken_in_float32(tmp_path: Path, features: FeaturesConfig) -> None:
    from emorec_tf.exporting.export_graph import in_float32

    run, network = untrained(tmp_path, features, {"precision": "mixed_bfloat16"})
    _, exact = untrained(tmp_path, features)  # the same seed
    same = in_float32(network)
    kinds = [{x.compute_dtype for x in m._flatten_layers()} for m in (network, same)]
    assert kinds[0] > {"bfloat16"}
    assert kinds[1] == {"float32"}
    assert in_float32(exact) is exact
    case = parity.random_cases(agreement_of(run, same))[0].example
    rounded, wide, wanted = (m.predict_on_batch(case) for m in (network, same, exact))
    np.testing.assert_allclose(wide, wanted, atol=1e-6)
    assert 1e-5 < np.abs(np.asarray(rounded, np.float32) - wanted).max() < 0.5


def agreement_of(run: run_dir.Run, network: Any) -> Any:
    from emorec_tf.exporting.export_graph import serving

    return serving(run, network)


@pytest.mark.parametrize("length", [1, 2, 3, 4000, 4001])
def test_samples_counted_in_rows(length: int) -> None:
    from emorec_tf.exporting.export_graph import sample_mask

    samples = np.array([0, 1, length // 2, length - 1, length, length + 9], np.int32)
    wanted = np.arange(length) < samples[:, None]
    assert np.array_equal(sample_mask(samples, length), wanted)


def test_unsupported_operations_are_refused_in_one_line(
    tmp_path: Path, features: FeaturesConfig
) -> None:
    import keras

    from emorec_tf.exporting.export_graph import serving

    run, network = untrained(tmp_path, features, fusion="audio_only")
    curved = keras.ops.erfinv(keras.ops.tanh(network.output) * 0.9)  # TensorFlow alone has it
    served = serving(run, keras.Model(network.input, curved))
    cases = parity.random_cases(served)
    wanted, _ = parity.predictions_of(parity.reference(served), cases, lambda case: case.example)
    assert (
        export_run.write_format(served, "saved_model", tmp_path, cases, wanted)["equal_answers"]
        == 1
    )
    for name in ("litert", "onnx"):
        with pytest.raises(UserError) as raised:
            export_run.write_format(served, name, tmp_path, cases, wanted)
        line = str(raised.value)
        assert len(line.splitlines()) == 1
        assert f"{name} cannot represent {tmp_path} (audio conv1d(filters=8" in line
        assert "other formats are saved_model" in line
        assert line.endswith("has no Erfinv")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["saved_model", "temperature.json"]


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

    read_well = export.FORMATS["saved_model"].read

    def read(folder: Path) -> parity.Answer:
        answer = read_well(folder)
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
    tmp_path: Path, demo_run: Path, exported: Path
) -> None:
    """In a separate process: only our own lines are printed."""
    out = tmp_path / "out"
    shutil.copytree(exported, out)
    (out / ".model.tflite.tmp").write_text("of an export that was killed")
    (out / ".saved_model.tmp").mkdir()
    before = (out / "model.onnx").stat().st_mtime_ns
    command = [sys.executable, "-m", "emorec_tf.export", "--run", str(demo_run), "--out", str(out)]
    done = subprocess.run(
        [*command, "--format", "saved_model,litert"], capture_output=True, text=True, check=True
    )
    greeting = ("port.cc", "absl::InitializeLog")  # TensorFlow 2.21's, whenever it is imported
    assert [s for s in done.stderr.splitlines() if not any(g in s for g in greeting)] == []
    assert "4 random" in done.stdout
    lines = done.stdout.splitlines()
    assert len(lines) == 9, "a line, a table of seven, and where the files are"
    assert lines[-1].startswith("written: ")
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert "random: no audio" in report["compared_on"]
    assert list(report["formats"]) == ["saved_model", "litert", "litert_int8"]
    assert sorted(p.name for p in out.iterdir()) == sorted([*PLACES, "report.json"])
    assert (out / "model.onnx").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("problem", "code", "said"),
    [
        (OSError(28, "No space left on device"), 1, "writing OUT/saved_model No space left"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
    ids=["disk full", "stopped"],
)
def test_an_interrupted_export_leaves_nothing(
    tmp_path: Path,
    demo_run: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    problem: BaseException,
    code: int,
    said: str,
) -> None:
    well = export.FORMATS["saved_model"]

    def write(served: Any, folder: Path) -> None:
        well.write(served, folder)
        raise problem

    changed = dataclasses.replace(well, write=write)
    monkeypatch.setitem(export.FORMATS, "saved_model", changed)
    assert export.main(["--run", str(demo_run), "--out", str(tmp_path / "out")]) == code
    error = capsys.readouterr().err.splitlines()[-1]
    assert said.replace("OUT", str(tmp_path / "out")) in error
    assert not list((tmp_path / "out").iterdir())


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # marks a missing module
    with pytest.raises(UserError, match=r"onnx needs onnxruntime; pip install 'emorec-tf\[export"):
        export.chosen("saved_model,onnx")
    assert export.chosen("litert,saved_model") == ["litert", "saved_model", "litert_int8"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--run", "nowhere"], "nowhere"),
        (["--run", "RUN", "--format", "savedmodel"], "did you mean 'saved_model'"),
        (["--run", "RUN", "--format", ","], "known formats are saved_model"),
        (["--run", "RUN", "--out", "OUT/file"], "is a file"),
        (["--run", "RUN", "--out", "OUT"], "saved_model exists and is no export"),
        (
            ["--run", "RUN", "--out", "OUT", "--format", "onnx"],
            "model.onnx exists and is no export",
        ),
        (["--run", "RUN", "--format", "tflite"], "unknown format 'tflite'; "),
        (["--run", "RUN", "--out", "OUT/new", "--clips", "OUT"], "no clip in folder"),
    ],
)
def test_wrong_calls_are_refused_in_one_line(
    demo_run: Path,
    tmp_path: Path,
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "saved_model").mkdir()
    (tmp_path / "saved_model" / "mine.txt").write_text("mine")
    (tmp_path / "model.onnx").write_bytes(b"of somebody else")
    places = {"RUN": str(demo_run), "OUT": str(tmp_path)}
    arguments = [re.sub("RUN|OUT", lambda m: places[m[0]], a) for a in arguments]
    assert export.main(arguments) == 1
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1
    assert (tmp_path / "saved_model" / "mine.txt").read_text() == "mine"


def test_speaker_adapted_runs_are_refused(tmp_path: Path) -> None:
    from emorec_tf.exporting.export_graph import check_alone

    run = run_dir.Run(tmp_path, config.build({"adapt": 5}), ("a", "b"), SPLIT, SOURCE)
    with pytest.raises(UserError, match="--adapt self"):
        check_alone(run)
