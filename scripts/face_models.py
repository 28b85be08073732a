"""Make the face models that the package ships from those in MediaPipe's wheel (0.10.x).

    python scripts/face_models.py

The detector is copied. The landmark model has one output for each part of the face, and MediaPipe's
FaceLandmarker wants a single one: a few operations are appended that put the parts together as
MediaPipe's own graph does. Weights stay as they are. The result is the same at each run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np

FOLDER = Path(__file__).resolve().parents[1] / "emorec_tf" / "features" / "face_models"
DETECTOR, LANDMARKER = "face_detection_short_range.tflite", "face_landmarker.task"
ALIGNED_BYTES = 16  # where models begin in the bundle, so that they can be mapped into memory

# Points of the mesh that the finer outputs place, in their order; after MediaPipe's
# tensors_to_face_landmarks_with_attention graph. Left and right are those of the image.
LIPS = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409),
    *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415),
    *(76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 184, 74, 73, 72, 11, 302, 303, 304, 408),
    *(62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 183, 42, 41, 38, 12, 268, 271, 272, 407),
)
LEFT_EYE = (
    *(33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173),
    *(130, 25, 110, 24, 23, 22, 26, 112, 243, 247, 30, 29, 27, 28, 56, 190),
    *(226, 31, 228, 229, 230, 231, 232, 233, 244, 113, 225, 224, 223, 222, 221, 189),
    *(35, 124, 46, 53, 52, 65, 143, 111, 117, 118, 119, 120, 121, 128, 245),
    *(156, 70, 63, 105, 66, 107, 55, 193),
)
RIGHT_EYE = (
    *(263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398),
    *(359, 255, 339, 254, 253, 252, 256, 341, 463, 467, 260, 259, 257, 258, 286, 414),
    *(446, 261, 448, 449, 450, 451, 452, 453, 464, 342, 445, 444, 443, 442, 441, 413),
    *(265, 353, 276, 283, 282, 295, 372, 340, 346, 347, 348, 349, 350, 357, 465),
    *(383, 300, 293, 334, 296, 336, 285, 417),
)
LEFT_IRIS, RIGHT_IRIS = range(468, 473), range(473, 478)
RIM = 16  # points of an eye's outline, whose mean depth the iris gets
MESH_NUMBERS = 468 * 3


class Graph:
    """A TFLite model to which operations are appended; tensors are known by their number."""

    def __init__(self, content: bytes, schema: Any) -> None:
        """Read a model."""
        self.schema = schema
        self.model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
        (self.main,) = self.model.subgraphs

    def tensor(self, name: str, shape: tuple[int, ...], dtype: str, buffer: int = 0) -> int:
        """Add a tensor."""
        made = self.schema.TensorT()
        made.name, made.buffer, made.shape = name, buffer, np.array(shape, np.int32)
        made.type = getattr(self.schema.TensorType, dtype)
        self.main.tensors.append(made)
        return len(self.main.tensors) - 1

    def constant(self, name: str, numbers: list[int]) -> int:
        """Add a constant vector of whole numbers."""
        buffer = self.schema.BufferT()
        buffer.data = np.frombuffer(np.array(numbers, np.int32).tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        return self.tensor(name, (len(numbers),), "INT32", len(self.model.buffers) - 1)

    def apply(self, kind: str, inputs: list[int], length: int, **options: Any) -> int:
        """Append an operation with one output [1, 1, 1, length]; return that."""
        names = {"CONCATENATION": "Concatenation", "GATHER": "Gather", "MEAN": "Reducer"}
        chosen = getattr(self.schema, f"{names[kind]}OptionsT")()
        for option, value in options.items():
            setattr(chosen, option, value)
        made = self.schema.OperatorT()
        made.opcodeIndex, made.inputs = self._code(kind), np.array(inputs, np.int32)
        made.builtinOptions = chosen
        made.builtinOptionsType = getattr(self.schema.BuiltinOptions, f"{names[kind]}Options")
        output = self.tensor(
            f"{kind.lower()}_{len(self.main.tensors)}", (1, 1, 1, length), "FLOAT32"
        )
        made.outputs = np.array([output], np.int32)
        self.main.operators.append(made)
        return output

    def _code(self, kind: str) -> int:
        number = getattr(self.schema.BuiltinOperator, kind)
        for index, code in enumerate(self.model.operatorCodes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == number:
                return index
        code = self.schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = number
        code.version = 1
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1

    def packed(self) -> bytes:
        """Write the model."""
        builder = flatbuffers.Builder(1 << 22)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def single_output(content: bytes, schema: Any) -> bytes:
    """Give the landmark model the outputs points [1, 1, 1, 1434] and presence [1, 1, 1, 1].

    x and y come from the output of the finest part that has the point, z from the whole mesh; an
    iris lies as deep as the rim of its eye.
    """
    graph = Graph(content, schema)
    mesh, *parts, presence = graph.main.outputs
    placed = (LIPS, LEFT_EYE, RIGHT_EYE, LEFT_IRIS, RIGHT_IRIS)
    depths = []
    for eye in (LEFT_EYE, RIGHT_EYE):
        places = graph.constant(f"rim_{eye[0]}", [3 * point + 2 for point in eye[:RIM]])
        rim = graph.apply("GATHER", [mesh, places], RIM, axis=3)
        axis = graph.constant(f"axis_{eye[0]}", [3])
        depths.append(graph.apply("MEAN", [rim, axis], 1, keepDims=True))
    length = MESH_NUMBERS + sum(2 * len(points) for points in placed)
    numbers = graph.apply("CONCATENATION", [mesh, *parts, *depths], length + 2, axis=3)
    chosen = {(point, axis): 3 * point + axis for point in range(468) for axis in range(3)}
    chosen |= {(point, 2): length + side for side, iris in enumerate(placed[3:]) for point in iris}
    start = MESH_NUMBERS
    for points in placed:
        chosen |= {(p, axis): start + 2 * n + axis for n, p in enumerate(points) for axis in (0, 1)}
        start += 2 * len(points)
    order = [chosen[point, axis] for point in range(478) for axis in range(3)]
    points = graph.apply("GATHER", [numbers, graph.constant("order", order)], len(order), axis=3)
    graph.main.outputs = np.array([points, presence], np.int32)
    return graph.packed()


def bundle(models: dict[str, bytes]) -> bytes:
    """Put models into one file as MediaPipe's tasks read it: a zip without compression."""
    from mediapipe.tasks.python.metadata.metadata_writers.model_asset_bundle_utils import (
        AlignZipFile,
    )

    file = io.BytesIO()
    with AlignZipFile(file, mode="w", alignment=ALIGNED_BYTES) as archive:
        for name, content in models.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # dated 1980
    return file.getvalue()


def models() -> dict[str, bytes]:
    """Make both files, from the installed MediaPipe."""
    spec = importlib.util.find_spec("mediapipe")
    inside = Path(spec.submodule_search_locations[0]) if spec else Path()
    detector = inside / "modules/face_detection" / DETECTOR
    if not detector.is_file():
        sys.exit("no models in the installed MediaPipe; pip install mediapipe==0.10.21")
    from mediapipe.tasks.metadata import schema_py_generated as schema

    landmarks = inside / "modules/face_landmark/face_landmark_with_attention.tflite"
    content = {
        "face_detector.tflite": detector.read_bytes(),
        "face_landmarks_detector.tflite": single_output(landmarks.read_bytes(), schema),
    }
    return {DETECTOR: detector.read_bytes(), LANDMARKER: bundle(content)}


def main() -> None:
    """Write the models and their checksums."""
    made = models()
    for name, content in made.items():
        (FOLDER / name).write_bytes(content)
    sums = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in made.items()]
    (FOLDER / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")


if __name__ == "__main__":
    main()
