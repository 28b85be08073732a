"""A run as a LiteRT file (.tflite), with everything that a caller must know in its metadata.

By TensorFlow Lite's convention the metadata is in a buffer called TFLITE_METADATA, and the
associated files are appended as a ZIP archive, which any unzip opens.
"""

from __future__ import annotations

import functools
import json
import re
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from emorec_tf import __version__
from emorec_tf.config.config import to_yaml
from emorec_tf.exporting import litert_int8
from emorec_tf.exporting.export_graph import Serving
from emorec_tf.exporting.frozen_graph import frozen, large_weights
from emorec_tf.exporting.metadata import facts
from emorec_tf.exporting.parity import FACTS, Answer, Arrays
from emorec_tf.features.audio_features import layer_of

BUFFER = "TFLITE_METADATA"
ALIGNMENT = 16  # bytes; the classes generated from the schema do not ensure it
EPOCH = (1980, 1, 1, 0, 0, 0)  # earliest ZIP date, fixed so that the same run gives the same bytes
CLASSICAL = ("features_projected", "classifier")  # layers of head_layers


def write(served: Serving, path: Path) -> None:
    """Write a LiteRT file in float32, whose signature is called ``serve``."""
    finish(served, editable(served), path, facts(served))


def write_int8(served: Serving, path: Path) -> None:
    """Write it with 8-bit weights, except for the spectra and a classical head."""
    front = layer_of(served.run.config.features)
    matrices = ("fourier", "mel", "cosines")
    spectra = [getattr(front, name) for name in matrices if hasattr(front, name)]
    heads = [layer for layer in served.model._flatten_layers() if layer.name in CLASSICAL]
    kept = [np.asarray(weight) for layer in heads for weight in layer.weights]
    model = editable(served)
    litert_int8.quantise(model, half=spectra, whole=kept)
    finish(served, model, path, {**facts(served), "arithmetic": litert_int8.MEANING})


@functools.lru_cache(maxsize=1)  # both files come from one conversion
def converted(served: Serving) -> bytes:
    """Convert with LiteRT's built-in operations only, without TensorFlow's."""
    module = tf.Module()
    module.serve = frozen(served, litert=True)
    with tempfile.TemporaryDirectory(prefix="emorec_tf") as folder:
        tf.saved_model.save(module, folder, signatures={"serve": module.serve})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["serve"])
        try:
            return bytes(converter.convert())
        except Exception as error:
            unknown = re.findall(r"^(?:Custom|Flex) ops: (.+)$", str(error), re.MULTILINE)
            if unknown:  # deep in pages of the graph
                raise ValueError(f"LiteRT has no {', '.join(unknown)}") from error
            raise


def editable(served: Serving) -> Any:
    """Return the converted model as an object that can be modified, with all its weights."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(converted(served), 0))
    (signature,), large = model.signatureDefs, large_weights(served.model)
    graph = model.subgraphs[signature.subgraphIndex]
    placed = {i.tensorIndex: i.name.decode() for i in signature.inputs if i.name.decode() in large}
    for number, name in placed.items():
        kernel = np.ascontiguousarray(np.transpose(large[name]))  # [outputs, inputs]
        graph.tensors[number].buffer = len(model.buffers)
        model.buffers.append(Buffer(kernel.ravel().view(np.uint8)))
    signature.inputs = [i for i in signature.inputs if i.tensorIndex not in placed]
    graph.inputs = np.array([number for number in graph.inputs if number not in placed], "int32")
    return model


def finish(served: Serving, model: Any, path: Path, metadata: Mapping[str, Any]) -> None:
    """Add the metadata to a model and write it, with the associated files appended."""
    texts = {
        FACTS: json.dumps(metadata, indent=1),
        "config.yaml": to_yaml(served.run.config),
        "labels.txt": "".join(f"{name}\n" for name in served.run.classes),
    }
    model.buffers.append(Buffer(metadata_table(metadata, [*texts])))
    entry = schema.MetadataT()
    entry.name, entry.buffer = BUFFER, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    path.write_bytes(packed(model))
    with zipfile.ZipFile(path, "a") as files:
        for name, text in texts.items():
            files.writestr(zipfile.ZipInfo(name, EPOCH), text)


def metadata_table(metadata: Mapping[str, Any], files: Sequence[str]) -> bytes:
    """Write the ModelMetadata table of TensorFlow Lite: name, licence, files, all metadata.

    Source:
        metadata_schema.fbs of TensorFlow Lite Support; the numbers are those of its fields.
    """
    builder = flatbuffers.Builder()

    def table(size: int, fields: Mapping[int, int]) -> int:
        builder.StartObject(size)
        for number, offset in fields.items():
            builder.PrependUOffsetTRelativeSlot(number, offset, 0)
        return builder.EndObject()

    associated = [table(5, {0: builder.CreateString(name)}) for name in files]
    builder.StartVector(4, len(associated), 4)
    for offset in reversed(associated):
        builder.PrependUOffsetTRelative(offset)
    fields = {6: builder.EndVector()}
    texts = {0: f"emorec_tf {metadata['dataset']}", 1: json.dumps(metadata), 2: __version__}
    texts |= {4: "emorec_tf", 5: metadata["licence"]}
    fields |= {number: builder.CreateString(text) for number, text in texts.items()}
    builder.Finish(table(8, fields), b"M001")
    return bytes(builder.Output())


def packed(model: Any) -> bytes:
    """Bytes of a model."""
    size = sum(len(b.data) for b in model.buffers if b.data is not None)
    builder = flatbuffers.Builder(size + size // 8)
    model.buffers = [Buffer(b.data) for b in model.buffers]
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class Buffer(schema.BufferT):
    """A buffer that is aligned as the schema demands (``force_align: 16``).

    The classes generated from the schema write vectors of bytes unaligned, and the interpreter
    then reads wrong weights or crashes.
    """

    def __init__(self, data: np.ndarray | bytes | None) -> None:
        """Keep the bytes."""
        super().__init__()
        self.data = data

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802 - its parent's name
        """Write the buffer; return its offset."""
        if self.data is None:
            return super().Pack(builder)
        builder.StartVector(1, len(self.data), ALIGNMENT)
        builder.head -= len(self.data)
        builder.Bytes[builder.head : builder.head + len(self.data)] = bytes(self.data)
        data = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


def read(path: Path) -> Answer:
    """Load a LiteRT file with its interpreter alone."""
    from ai_edge_litert.interpreter import Interpreter

    serve = Interpreter(str(path)).get_signature_runner("serve")

    def answer(arrays: Arrays) -> Arrays:
        return dict(serve(**arrays))

    return answer
