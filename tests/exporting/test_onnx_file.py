"""ONNX files as other tools read them; test_frozen_graph compares their outputs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from untrained_runs import untrained

from emorec_tf import __version__
from emorec_tf.config import config
from emorec_tf.config.config import FeaturesConfig

pytest.importorskip("tf2onnx", reason="needs the extra [export]")

import onnx

from emorec_tf.exporting import onnx_file
from emorec_tf.exporting.export_graph import Serving, serving
from emorec_tf.exporting.metadata import facts
from emorec_tf.storage.quiet import quiet

TYPES = {"float32": onnx.TensorProto.FLOAT, "uint8": onnx.TensorProto.UINT8}
TYPES |= {"int32": onnx.TensorProto.INT32}


@pytest.fixture(scope="module")
def served(features: FeaturesConfig, tmp_path_factory: pytest.TempPathFactory) -> Serving:
    return serving(*untrained(tmp_path_factory.mktemp("run"), features))


@pytest.fixture(scope="module")
def model(served: Serving, tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    path: Path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    with quiet():
        onnx_file.write(served, path)
    return onnx.load(path)


def test_onnx_checker_accepts_the_file(model: onnx.ModelProto) -> None:
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import if not o.domain] == [("", 17)]
    assert {node.domain for node in model.graph.node} <= {""}
    assert (model.producer_name, model.producer_version) == ("emorec_tf", __version__)


def test_the_signature_is_that_of_the_run(model: onnx.ModelProto, served: Serving) -> None:
    def shape(value: onnx.ValueInfoProto) -> list[int | str]:
        return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]

    inputs = {value.name: value for value in model.graph.input}
    assert set(inputs) == set(served.inputs)
    for name, spec in served.inputs.items():
        assert inputs[name].type.tensor_type.elem_type == TYPES[spec.dtype]
        assert shape(inputs[name]) == ["batch", *spec.shape]
    outputs = {value.name: shape(value) for value in model.graph.output}
    wanted = facts(served)["outputs"]
    assert outputs == {name: ["batch", *spec["shape"][1:]] for name, spec in wanted.items()}


def test_metadata_holds_each_fact_and_all_of_them(model: onnx.ModelProto, served: Serving) -> None:
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    wanted = facts(served)
    assert json.loads(metadata["emorec_tf.json"]) == wanted
    assert config.build(yaml.safe_load(metadata["config.yaml"])) == served.run.config
    assert metadata["licence"] == served.run.source["licence"]
    assert metadata["label_meaning"] == "drawn"
    assert json.loads(metadata["classes"]) == ["a", "b", "c"]
    assert json.loads(metadata["sound"])["sample_rate_hz"] == 8000
    assert json.loads(metadata["pictures"])["crop"].startswith("rotated, scaled and shifted")
    assert set(wanted) < set(metadata)
