"""Every export says where there is nothing that its network looks at."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from untrained_runs import untrained

from emorec_tf.config.config import FeaturesConfig
from emorec_tf.errors import UserError
from emorec_tf.storage.quiet import quiet
from emorec_tf.training import ensemble, model_store, run_dir

pytest.importorskip("ai_edge_litert", reason="needs the extra [export]")
pytest.importorskip("tf2onnx", reason="needs the extra [export]")

from emorec_tf.exporting import parity
from emorec_tf.exporting.export_graph import Serving, serving
from emorec_tf.exporting.formats import FORMATS
from emorec_tf.exporting.metadata import facts
from emorec_tf.exporting.parity import Case

BOTH = {"both": 1, "audio alone": 1, "face alone": 1, "nothing": 0}
AUDIO = {"both": 1, "audio alone": 1, "face alone": 0, "nothing": 0}
FACE = {"both": 1, "audio alone": 0, "face alone": 1, "nothing": 0}


def cases_of(served: Serving) -> dict[str, Case]:
    """Random clips with both parts, one, and neither."""
    full, made = parity.random_cases(served)[0], {}
    wave = full.raw.get("waveform", np.zeros((1, 0)))[0]
    for name in BOTH:
        example = {key: array.copy() for key, array in full.example.items()}
        heard, seen = name in ("both", "audio alone"), name in ("both", "face alone")
        for key, array in example.items():
            if not (heard if key.startswith("audio") else seen):
                array[:] = 0
        made[name] = parity.case(served, name, wave if heard else np.zeros(0), example)
    return made


@pytest.fixture(scope="module")
def served(
    features: FeaturesConfig, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Serving]:
    names = ("concat", "audio_only", "face_only")
    places = {name: tmp_path_factory.mktemp(name) for name in names}
    return {n: serving(*untrained(place, features, fusion=n)) for n, place in places.items()}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("fusion", "wanted"), [("concat", BOTH), ("audio_only", AUDIO), ("face_only", FACE)]
)
def test_each_format_says_what_can_be_answered(
    served: dict[str, Serving], tmp_path: Path, form: str, fusion: str, wanted: dict[str, int]
) -> None:
    made = served[fusion]
    cases, place = cases_of(made), tmp_path / FORMATS[form].place
    with quiet():
        FORMATS[form].write(made, place)
        answer = FORMATS[form].read(place)
    for name, case in cases.items():
        found = answer(case.raw)
        assert found["answerable"].tolist() == [[wanted[name]]], name
        assert np.isfinite(found["probabilities"]).all()
    together = {n: np.concatenate([c.raw[n] for c in cases.values()]) for n in made.inputs}
    assert answer(together)["answerable"].ravel().tolist() == [*wanted.values()]


@pytest.mark.parametrize("fusion", ["concat", "audio_only", "face_only"])
def test_the_run_agrees_and_the_metadata_explains(served: dict[str, Serving], fusion: str) -> None:
    made = served[fusion]
    cases = [*cases_of(made).values()]
    wanted, _ = parity.predictions_of(parity.reference(made), cases, lambda case: case.example)

    def answer(raw: parity.Arrays) -> parity.Arrays:
        return {name: array.numpy() for name, array in made.function(raw).items()}

    row = parity.compare("saved_model", answer, cases, wanted)
    assert row["differences"]["answerable"] == 0

    def wrong(raw: parity.Arrays) -> parity.Arrays:
        found = answer(raw)
        return {**found, "answerable": 1 - found["answerable"]}

    with pytest.raises(UserError, match="differs from the run by 1 in answerable"):
        parity.compare("saved_model", wrong, cases, wanted, parity.INT8_TOLERANCE)
    outputs = facts(made)["outputs"]
    assert outputs["answerable"]["shape"] == [None, 1]
    assert "there is no answer" in outputs["answerable"]["meaning"]
    assert "answerable" in outputs["probabilities"]["meaning"]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("ravdess-face", FACE),
        pytest.param("ravdess-audio", AUDIO, marks=pytest.mark.slow),
        pytest.param("ravdess-av", BOTH, marks=pytest.mark.slow),
    ],
)
def test_packaged_models(name: str, wanted: dict[str, int]) -> None:
    run = run_dir.load(model_store.folder_of(name))
    made = serving(run, ensemble.model_of(run))
    for kind, case in cases_of(made).items():
        found = made.function(case.raw)
        assert found["answerable"].numpy().tolist() == [[wanted[kind]]], kind
        run_answer = parity.reference(made)(case.example)
        np.testing.assert_array_equal(run_answer["answerable"], found["answerable"])


def test_meshes_that_are_not_found_are_nothing(tmp_path: Path, features: FeaturesConfig) -> None:
    """A branch of mesh points has nothing to go by where only the face was detected."""
    meshed = dataclasses.replace(features, face_mesh=True)
    choices = {"fusion": "face_only", "face": "landmark_distances(units=8)"}
    made = serving(*untrained(tmp_path, meshed, **choices))
    case = cases_of(made)["both"]
    assert made.function(case.raw)["answerable"].numpy().tolist() == [[1]]
    hidden = {**case.raw, "mesh_mask": np.zeros_like(case.raw["mesh_mask"])}
    assert made.function(hidden)["answerable"].numpy().tolist() == [[0]]
    example = {**case.example, "mesh_mask": np.zeros_like(case.example["mesh_mask"])}
    assert parity.reference(made)(example)["answerable"].tolist() == [[0]]
