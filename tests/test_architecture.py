"""The shape of the package: imports go one way, files stay short, help stays light."""

from __future__ import annotations

import ast
import dataclasses
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import emorec_tf
from emorec_tf.config import SECTIONS

PACKAGE = Path(emorec_tf.__file__).parent
TESTS = Path(__file__).parent
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))

# A module imports only from the lines above its own; a new one is added to the lowest that fits.
LAYERS = (
    "__init__ clip",
    "sections",
    "cache_folder config quiet",
    # words and parts: each stands on the settings alone
    "buckets calibration losses ratings",
    "places",
    "catalog classes command_line container decode_cache drawn_faces keras_files layers"
    " litert_int8 locks machines media_files metrics model_files picture_sampling plots"
    " schema speaker_offsets spectra splits synthetic_voices torch_files windows",
    "meeting parsing",
    # where audio branches begin and end, and those that see a picture
    "pooling",
    "audio_images modulations",
    "functionals",
    # faces as points, foreign weights, and branches in files of their own
    "alexnet_weights expression_nets mesh_points spatial_transformer",
    "frames_as_channels lrcn mesh_geometry",
    "face_hog face_mesh landmark_distances",
    "face_statistics",
    "audio_branches audio_features corpus dealt_folds demo_takes face_branches faces"
    " classical_heads head_layers heads label_files leaks records shelf targets takers",
    # what is done to sound and pictures
    "robustness",
    "voice_copies",
    "augmentation",
    # networks are put together
    "cross_attention feature_fusions",
    "fusions",
    # what training reads
    "shard_copies",
    "example_order",
    # corpora, media and networks
    "comparison datasets demo_corpus face_tracks head_search input_pipeline media model protocols"
    " runs search_oracles search_pictures search_space",
    "decoded film inner_folds people timeline voice_activity",
    "enrolment examples experts finished_runs slices watching",
    "answers model_card predictor run_figures workers",
    "film_answers report_pictures report_tables serving shards stream",
    "agreement beam_runner export_facts frozen_graph live local_runner report_peers run_card"
    " serve_answers serve_jobs",
    "serve_uploads zoo_api",
    "serve_api",
    # a run in formats of others
    "litert_file onnx_file saved_model_file",
    # epochs, and what train does beside them
    "replicated",
    "teamwork",
    "keeper steps",
    "assembly",
    "fitting",
    # commands: those that use another stand below it
    "audit evaluate predict prepare report zoo",
    "fold_files serve train",
    "crossval export ship",
    # a search: trials are runs
    "search_trials",
    "search_files",
    "trial_table",
    "tune",
)
LAYER_OF = {name: number for number, line in enumerate(LAYERS) for name in line.split()}
# parts of one reader, tried through its whole on real and damaged files
TESTED_IN = {"container": "media", "takers": "media", "model_files": "faces"}
TESTED_IN |= {"agreement": "export", "saved_model_file": "export", "serving": "export"}
TESTED_IN |= {"export_facts": "export"}
TESTED_IN |= {"sections": "config", "answers": "evaluate", "fold_files": "crossval"}
TESTED_IN |= {"predictor": "predict", "watching": "film_answers"}
TESTED_IN |= {"keeper": "train", "assembly": "steps", "classical_heads": "head_search"}
TESTED_IN |= {"live": "stream", "local_runner": "prepare"}
TESTED_IN |= {"parsing": "input_pipeline"}
TESTED_IN |= {"teamwork": "fitting"}
TESTED_IN |= dict.fromkeys(("serve_answers", "serve_api", "serve_jobs", "serve_uploads"), "serve")
TESTED_IN |= dict.fromkeys(("search_files", "search_trials", "trial_table"), "tune")
REPORT = ("finished_runs", "report_peers", "report_pictures", "report_tables", "run_figures")
TESTED_IN |= dict.fromkeys(REPORT, "report")
HEAVY = ("tensorflow", "keras", "pandas", "cv2", "av", "mediapipe", "dlib", "sklearn", "matplotlib")


def imported(module: str) -> set[str]:
    """Modules of the package that a file imports anywhere, inside functions too."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: relative import in line {node.lineno}"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    parts = [name.split(".") for name in names if name.split(".")[0] == "emorec_tf"]
    inside = {part[1] for part in parts if part[1:]}
    return {name for name in inside if (PACKAGE / f"{name}.py").exists()}


def test_every_module_stands_in_one_layer():
    assert sorted(LAYER_OF) == MODULES
    assert sum(len(line.split()) for line in LAYERS) == len(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module):
    for other in sorted(imported(module)):
        message = f"{module} imports {other}, which does not stand in a layer above it"
        assert LAYER_OF[other] < LAYER_OF[module], message


@pytest.mark.parametrize("module", [m for m in MODULES if m != "__init__"])
def test_every_module_has_a_test_file(module):
    assert (TESTS / f"test_{TESTED_IN.get(module, module)}.py").is_file()


@pytest.mark.parametrize("module", MODULES)
def test_files_are_short_and_documented(module):
    text = (PACKAGE / f"{module}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    assert ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("module", MODULES)
def test_functions_are_short(module):
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert own_lines(node) <= 40, f"{module}.{node.name} has {own_lines(node)} lines"


def own_lines(function: ast.FunctionDef) -> int:
    """Lines below the docstring, without those of functions and classes inside."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    inside = [n for n in body if isinstance(n, (ast.FunctionDef, ast.ClassDef))]
    return sum(map(span, body)) - sum(map(span, inside))


def span(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_field_names_are_unique_over_all_sections():
    names = Counter(f.name for cls in SECTIONS.values() for f in dataclasses.fields(cls))
    assert [name for name, count in names.items() if count > 1] == []


def test_commands_answer_without_loading_anything_heavy():
    commands = ("train", "crossval", "prepare", "evaluate", "predict", "zoo", "audit", "datasets")
    commands += ("report", "catalog", "export", "tune", "serve", "ship", "shelf")
    code = (
        f"import importlib, sys\n"
        f"for name in {commands}: importlib.import_module('emorec_tf.' + name)\n"
        f"print(sorted(set({HEAVY}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "verb",
    [
        "train",
        "crossval",
        "prepare",
        "evaluate",
        "predict",
        "report",
        "export",
        "ship",
        "zoo",
        "tune",
        "serve",
    ],
)
def test_help_loads_nothing_heavy(verb):
    code = (
        f"import sys; from emorec_tf.{verb} import main\n"
        f"try: main(['--help'])\nexcept SystemExit as left: assert not left.code\n"
        f"print(sorted(set({HEAVY}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda p: p.stem)
def test_no_pickles(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}
    names |= {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert not {"pickle", "joblib", "dill", "marshal"} & names
    assert "allow_pickle=True" not in path.read_text(encoding="utf-8")
