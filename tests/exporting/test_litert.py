"""LiteRT files as other tools read them; test_frozen_graph compares their outputs."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from untrained_runs import untrained

from emorec_tf.config import config
from emorec_tf.config.config import FeaturesConfig

pytest.importorskip("ai_edge_litert", reason="needs the extra [export]")

from ai_edge_litert import schema_py_generated as schema

from emorec_tf.exporting import litert
from emorec_tf.exporting.export_graph import Serving, serving
from emorec_tf.exporting.metadata import facts
from emorec_tf.storage.quiet import quiet


@pytest.fixture(scope="module")
def served(features: FeaturesConfig, tmp_path_factory: pytest.TempPathFactory) -> Serving:
    return serving(*untrained(tmp_path_factory.mktemp("run"), features, audio="lstm(units=8)"))


@pytest.fixture(scope="module")
def files(served: Serving, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("litert")
    made = {"float32": folder / "model.tflite", "int8": folder / "model_int8.tflite"}
    with quiet():
        litert.write(served, made["float32"])
        litert.write_int8(served, made["int8"])
    return made


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_associated_files_can_be_unzipped(
    files: dict[str, Path], served: Serving, kind: str
) -> None:
    with zipfile.ZipFile(files[kind]) as archive:
        assert archive.testzip() is None
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    metadata = json.loads(texts["emorec_tf.json"])
    assert metadata["arithmetic"].startswith("float32")
    assert ("int8" in metadata["arithmetic"]) == (kind == "int8")
    assert {**metadata, "arithmetic": "float32"} == facts(served)
    assert texts["labels.txt"].split() == list(served.run.classes)
    assert config.build(yaml.safe_load(texts["config.yaml"])) == served.run.config


def test_mediapipe_reads_the_metadata(files: dict[str, Path], served: Serving) -> None:
    """With the classes that MediaPipe generates from the metadata's schema."""
    schema_module = pytest.importorskip("mediapipe.tasks.metadata.metadata_schema_py_generated")
    model = model_of(files["float32"])
    (entry,) = [e for e in model.metadata if e.name == b"TFLITE_METADATA"]
    buffer = bytes(model.buffers[entry.buffer].data)
    assert schema_module.ModelMetadata.ModelMetadataBufferHasIdentifier(buffer, 0)
    metadata = schema_module.ModelMetadataT.InitFromObj(
        schema_module.ModelMetadata.GetRootAs(buffer, 0)
    )
    assert metadata.name == b"emorec_tf demo"
    assert json.loads(metadata.description) == facts(served)
    assert metadata.license == served.run.source["licence"].encode()
    assert metadata.version == facts(served)["emorec_tf"].encode()
    names = [file.name for file in metadata.associatedFiles]
    assert names == [b"emorec_tf.json", b"config.yaml", b"labels.txt"]


def model_of(path: Path) -> schema.ModelT:
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_the_signature_is_that_of_the_run(
    files: dict[str, Path], served: Serving, kind: str
) -> None:
    from ai_edge_litert.interpreter import Interpreter

    with quiet():
        interpreter = Interpreter(str(files[kind]))
        serve = interpreter.get_signature_runner("serve")
    assert list(interpreter.get_signature_list()) == ["serve"]
    for name, spec in served.inputs.items():
        detail = serve.get_input_details()[name]
        assert detail["dtype"] == np.dtype(spec.dtype)
        assert tuple(detail["shape_signature"]) == (-1, *spec.shape)
    assert set(serve.get_input_details()) == set(served.inputs)
    outputs = serve.get_output_details()
    assert {name: d["dtype"] for name, d in outputs.items()} == dict.fromkeys(
        ("answerable", "probabilities", "logits", "embedding"), np.float32
    )


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_only_built_in_operations_and_aligned_weights(files: dict[str, Path], kind: str) -> None:
    raw = files[kind].read_bytes()
    model = schema.Model.GetRootAs(raw, 0)
    codes = [model.OperatorCodes(n) for n in range(model.OperatorCodesLength())]
    assert not any(
        code.CustomCode() for code in codes
    )  # TensorFlow's own would be custom operations
    whole = np.frombuffer(raw, np.uint8)
    for number in range(model.BuffersLength()):
        data = model.Buffers(number).DataAsNumpy()
        if isinstance(data, np.ndarray) and data.size:
            place = data.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
            assert place % 16 == 0


def test_the_same_run_gives_the_same_bytes(
    files: dict[str, Path], served: Serving, tmp_path: Path
) -> None:
    with quiet():
        litert.write(served, tmp_path / "again.tflite")
    assert (tmp_path / "again.tflite").read_bytes() == files["float32"].read_bytes()
