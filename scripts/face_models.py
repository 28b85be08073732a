"""Make the face models that the package ships from those in MediaPipe's wheel (0.10.21).

    python scripts/face_models.py

The detector is copied. The mesh with attention has operations between its layers that only
MediaPipe knows; it is cut there into two networks, which any TFLite runtime can run
(``emorec_tf/features/attention_mesh.py`` does these operations). Weights stay as they are.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np

FOLDER = Path(__file__).resolve().parents[1] / "emorec_tf" / "features" / "face_models"
DETECTOR = "face_detection_short_range.tflite"
IMAGE = "input_1"
# Points, the features that lips and eyes are cut out of, and whether there is a face at all.
ROUGH = ("output_mesh", "p_re_lu_3", "conv_faceflag")
CUT_OUT = tuple(f"transform_tensor_bilinear_v2{end}" for end in ("", "_1", "_2"))
# Lips; left eye and iris; right eye and iris.
PARTS = ("reshape_1", "reshape_3", "reshape_4", "reshape_6", "reshape_7")


def part_of(content: bytes, inputs: Sequence[str], outputs: Sequence[str], schema: Any) -> bytes:
    """Cut out of a TFLite model what lies between some of its tensors."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    (graph,) = model.subgraphs
    number = {tensor.name.decode(): index for index, tensor in enumerate(graph.tensors)}
    first, last = ([number[name] for name in names] for names in (inputs, outputs))
    maker = {int(made): op for op in graph.operators for made in op.outputs}
    kept, needed, waiting = set(first), set(), list(last)
    while waiting:
        tensor = waiting.pop()
        if tensor in kept:
            continue
        kept.add(tensor)
        if tensor in maker:
            needed.add(id(maker[tensor]))
            waiting += [int(one) for one in maker[tensor].inputs if one >= 0]
    graph.operators = [op for op in graph.operators if id(op) in needed]
    renumbered = {tensor: index for index, tensor in enumerate(sorted(kept))}
    graph.tensors = [graph.tensors[tensor] for tensor in sorted(kept)]
    for holder in (*graph.operators, graph):
        wires = (first, last) if holder is graph else (holder.inputs, holder.outputs)
        holder.inputs, holder.outputs = (
            np.array([renumbered.get(int(one), -1) for one in wire], np.int32) for wire in wires
        )
    drop_unused(model, graph)
    builder = flatbuffers.Builder(1 << 22)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def drop_unused(model: Any, graph: Any) -> None:
    """Drop weights, kinds of operations and descriptions that the graph does not use any more."""
    buffers = [model.buffers[0]]
    for tensor in graph.tensors:
        if tensor.buffer:
            buffers.append(model.buffers[tensor.buffer])
            tensor.buffer = len(buffers) - 1
    model.buffers = buffers
    used = sorted({op.opcodeIndex for op in graph.operators})
    model.operatorCodes = [model.operatorCodes[index] for index in used]
    for op in graph.operators:
        op.opcodeIndex = used.index(op.opcodeIndex)
    model.metadata = model.metadataBuffer = model.signatureDefs = None


def models() -> dict[str, bytes]:
    """Make the files, from the installed MediaPipe."""
    spec = importlib.util.find_spec("mediapipe")
    places = (spec and spec.submodule_search_locations) or [""]
    inside = Path(places[0]) / "modules"
    if not (inside / "face_detection" / DETECTOR).is_file():
        sys.exit("no models in the installed MediaPipe; pip install mediapipe==0.10.21")
    from mediapipe.tasks.metadata import schema_py_generated as schema

    mesh = (inside / "face_landmark/face_landmark_with_attention.tflite").read_bytes()
    return {
        DETECTOR: (inside / "face_detection" / DETECTOR).read_bytes(),
        "face_mesh.tflite": part_of(mesh, [IMAGE], ROUGH, schema),
        "face_mesh_parts.tflite": part_of(mesh, CUT_OUT, PARTS, schema),
    }


def main() -> None:
    """Write the models and their checksums."""
    made = models()
    for name, content in made.items():
        (FOLDER / name).write_bytes(content)
    sums = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in made.items()]
    (FOLDER / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")


if __name__ == "__main__":
    main()
