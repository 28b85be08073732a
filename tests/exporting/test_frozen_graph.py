"""Every branch, fusion, audio feature and classical head equals Keras in every format."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import whisper_made
from untrained_runs import SMALL, untrained

from emorec_tf.config import choices
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.exporting import frozen_graph, parity
from emorec_tf.exporting.export_graph import Serving, serving
from emorec_tf.exporting.formats import FORMATS
from emorec_tf.exporting.frozen_graph import frozen, without_lists
from emorec_tf.models.classical import head_layers
from emorec_tf.storage.quiet import quiet, quietly
from emorec_tf.training import ensemble, run_dir

pytest.importorskip("ai_edge_litert", reason="needs the extra [export]")
pytest.importorskip("tf2onnx", reason="needs the extra [export]")

EXACT = ("saved_model", "litert", "onnx")
RGB = {"face_channels": 3}
MESH = {"face_mesh": True}
MFCC = {"audio_features": "mfcc", "mfcc_count": 16}
WHISPER = {**choices.facts("audio", "whisper").features}
RATING = {"target": "valence", "target_scale": "continuous"}
# audio, face, fusion; then features and other settings that change the graph
Network = tuple[str, str, str, dict[str, Any], dict[str, Any]]
NETWORKS: list[Network] = [
    ("conv1d(filters=8, blocks=2)", "alexnet(width=0.1, dense=8)", "concat", MFCC, {}),
    ("lstm(units=8, pool='none')", "face_hog(units=8)", "cross_attention(units=8)", MESH, {}),
    ("fbank_conv(filters=8)", "face_mesh(units=8)", "concat_deep(hidden=(8, 8))", MESH, RATING),
    (
        "stacked_lstm(units=8)",
        "frames_as_channels(filters=4, blocks=2)",
        "gated(units=8)",
        {"audio_features": "fbank"},
        {"adapt": "self"},
    ),
    (
        "mfcc_cnn(width=0.1, dense=8)",
        "landmark_distances(units=8)",
        "weighted_average",
        {**MESH, **MFCC},
        {"adapt": "self"},
    ),
    (
        "logmel_image(width=0.1, dense=8, features=8)",
        "lrcn(width=0.1, units=8)",
        "multi_frame_average",
        {"audio_features": "mel_db"},
        {"train_frames": 2},
    ),
    ("resnet_se(width=4)", "mini_xception", "shared_weights(pictures=1)", RGB, {}),
    (
        "lstm(units=8)",
        "alexnet(width=0.1, dense=8)",
        "added_logits",
        {},
        {"precision": "mixed_bfloat16"},
    ),
    (
        "functionals(coefficients=8, modulations=True)",
        "alexnet(width=0.1, dense=8)",
        "audio_only",
        {},
        RATING,
    ),
    ("conv1d(filters=8, blocks=2)", "face_statistics", "face_only", {**MESH, **RGB}, {}),
    ("whisper(size='test', weights='none', layers='all')", "mini_xception", "concat", WHISPER, {}),
]


def with_all_entries(written: list[Network]) -> list[Network]:
    """Add a network for every entry of the tables that is not covered yet."""
    made = list(written)
    for place, kind in enumerate(("audio", "face", "fusion")):
        covered = {network[:3][place].partition("(")[0] for network in written}
        for name, entry in choices.entries(kind).items():
            if name not in covered and not entry.facts.required:  # of a file: exports refuse it
                model = [SMALL["audio"], SMALL["face"], SMALL["fusion"]]
                model[place] = f"{name}({entry.facts.small})"
                made.append((*model, MESH if kind == "face" else {}, {}))
    covered = {network[3].get("audio_features", "log_mel") for network in written}
    for name in set(choices.entries("audio_features")) - covered:
        made.append((*SMALL.values(), {"audio_features": name}, {}))
    return made


@pytest.mark.parametrize(
    "network",
    [
        pytest.param(n, marks=() if n is NETWORKS[0] else pytest.mark.slow)
        for n in with_all_entries(NETWORKS)
    ],
    ids=lambda n: "-".join(c.split("(")[0] for c in n[:3]),
)
def test_every_network_in_every_format(
    tmp_path: Path, features: FeaturesConfig, network: tuple[Any, ...]
) -> None:
    audio, face, fusion, changes, settings = network
    features = dataclasses.replace(features, **changes)
    model = {"audio": audio, "face": face, "fusion": fusion}
    served = serving(*untrained(tmp_path, features, settings, **model))
    assert_equal_everywhere(served, tmp_path)


def assert_equal_everywhere(served: Serving, folder: Path) -> None:
    cases = parity.random_cases(served)
    wanted, _ = parity.predictions_of(parity.reference(served), cases, lambda case: case.example)
    output = "value" if served.run.task.rating else "probabilities"
    for name in EXACT:
        made = FORMATS[name]
        with quietly(name):
            made.write(served, folder / made.place)
            answer = made.read(folder / made.place)
        row = parity.compare(name, answer, cases, wanted)
        assert row["differences"][output] <= 1e-5, name
        assert row["differences"]["embedding"] <= 1e-4, name
        assert row["tolerance"] == parity.TOLERANCE


@pytest.mark.slow
def test_frozen_whisper_in_every_format(tmp_path: Path, features: FeaturesConfig) -> None:
    weights = whisper_made.safetensors(whisper_made.encoder(), tmp_path / "weights")
    audio = f"whisper(size='test', layers='concat', weights='{weights}')"
    features = dataclasses.replace(features, **WHISPER)
    served = serving(*untrained(tmp_path, features, audio=audio, fusion="audio_only"))
    assert not served.model.get_layer("audio_branch").trainable_weights
    assert_equal_everywhere(served, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["poly", "rbf"])
def test_support_vector_machines_in_every_format(
    tmp_path: Path, features: FeaturesConfig, kernel: str
) -> None:
    from sklearn.decomposition import PCA
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    run, model = untrained(tmp_path, features, classifier="svm", fusion="audio_only")
    random = np.random.default_rng(0)
    drawn, labels = random.normal(size=(40, model.output.shape[-1])), np.arange(40) % 3
    scaler = StandardScaler().fit(drawn)
    found = head_layers.Found(scaler.mean_, scaler.scale_, None, None, None)
    if kernel == "rbf":
        pca = PCA(6).fit(found.projected(drawn))
        offset = pca.mean_ @ pca.components_.T
        found = dataclasses.replace(found, components=pca.components_, offset=offset)
    estimator = OneVsRestClassifier(SVC(kernel=kernel, gamma=0.1))
    estimator.fit(found.projected(drawn), labels)
    model = head_layers.with_head(model, dataclasses.replace(found, estimator=estimator))
    assert type(model.layers[-1]).__name__ == "KernelMachine"
    assert_equal_everywhere(serving(run, model), tmp_path)


@pytest.mark.slow
def test_ensembles_in_every_format(tmp_path: Path, features: FeaturesConfig) -> None:
    members = []
    for name, model in (
        ("voice", {"fusion": "audio_only"}),
        ("both", {"audio": "lstm(units=4)"}),
    ):
        (tmp_path / name).mkdir()
        run, network = untrained(tmp_path / name, features, **model)
        run_dir.save_model(network, run.model_file)
        members.append(run)
    served = serving(members[1], ensemble.product(features, members))
    assert_equal_everywhere(served, tmp_path)
    width = sum(served.function(parity.random_cases(served)[0].raw)["embedding"].shape[1:])
    assert width == 16 + (16 + 8)  # each has audio, the second a face too


@pytest.mark.slow
def test_large_weights_bypass_the_converters(
    tmp_path: Path, features: FeaturesConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen_graph, "LARGE", 512)
    model = {"face": "alexnet(width=0.1, dense=32)", "fusion": "cross_attention(units=16)"}
    served = serving(*untrained(tmp_path, features, **model))
    large = frozen_graph.large_weights(served.model)
    assert len(large) > 4
    assert all(np.prod(kernel.shape) >= 512 for kernel in large.values())
    graph = frozen(served, litert=False)
    assert set(graph.input_signature[0]) == {*served.inputs, *large}
    assert_equal_everywhere(served, tmp_path)
    with quiet():
        FORMATS["litert_int8"].write(served, tmp_path / "small")
    before, after = ((tmp_path / n).stat().st_size for n in ("model.tflite", "small"))
    assert before - after > 2 * sum(np.prod(kernel.shape) for kernel in large.values())


def test_weights_are_constants_and_the_model_stays_as_it_was(
    tmp_path: Path, features: FeaturesConfig
) -> None:
    model = {"audio": "lstm(units=8)", "fusion": "audio_only"}
    served = serving(*untrained(tmp_path, features, **model))
    recurrent = [x for x in served.model._flatten_layers() if isinstance(x, keras.layers.LSTM)]
    assert len(recurrent) == 2
    for litert in (True, False):
        traced = frozen(served, litert=litert).get_concrete_function()
        assert not traced.variables
        inside = traced.graph.as_graph_def()
        kinds = {n.op for function in inside.library.function for n in function.node_def}
        assert not any("Variable" in kind for kind in kinds)
        assert any("TensorList" in kind for kind in kinds) == (not litert)
        assert not any("inner_loop" in vars(layer) for layer in recurrent)


@pytest.mark.parametrize("sequences", [True, False])
@pytest.mark.parametrize("backwards", [True, False])
@pytest.mark.parametrize("zeros", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_our_recurrent_loop_equals_keras(
    sequences: bool, backwards: bool, zeros: bool, masked: bool
) -> None:
    layer = keras.layers.LSTM(
        4, return_sequences=sequences, go_backwards=backwards, return_state=True, seed=0
    )
    layer.zero_output_for_mask = zeros
    random = np.random.default_rng(0)
    values = random.normal(size=(5, 7, 3)).astype(np.float32)
    mask = random.random((5, 7)) < 0.6
    wanted = layer(values, mask=mask if masked else None)
    model = keras.Sequential([layer])
    with without_lists(model):
        found = layer(values, mask=mask if masked else None)
    for mine, keras_own in zip(found, wanted, strict=True):
        np.testing.assert_allclose(mine, keras_own, atol=1e-6)
