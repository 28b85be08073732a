"""A packaged ensemble that refers to its members: the product of their answers, everywhere."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import packaged_members
import pytest
from packaged_members import SLOPE, changed, member, of_faces, pair
from untrained_runs import on_disk

from emorec_tf import ship
from emorec_tf.api import load
from emorec_tf.config.config import FeaturesConfig
from emorec_tf.errors import UserError
from emorec_tf.exporting import parity
from emorec_tf.exporting.export_graph import serving
from emorec_tf.exporting.export_run import export
from emorec_tf.exporting.formats import FORMATS
from emorec_tf.inference import predictor, zoo_contents
from emorec_tf.inference.predictor import Predictor
from emorec_tf.tasks import familiarity
from emorec_tf.tasks.joint_familiarity import JointFamiliarity
from emorec_tf.training import ensemble, model_store, run_dir

Draw = Callable[..., dict[str, np.ndarray]]


def shipped(folder: Path, names: str, out: str, *more: str) -> Path:
    assert ship.main(["--members", names, "--out", str(folder / out), *more]) == 0
    return folder / out


@pytest.fixture(scope="module")
def both(features: FeaturesConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    pair(folder, features)
    return shipped(folder, "heard,seen", "both", "--note=Two of them.")


@pytest.fixture(scope="module")
def loaded(both: Path) -> dict[str, Predictor]:
    return {name: predictor.load(str(both.parent / name)) for name in ("heard", "seen", "both")}


def own_inputs(model: Predictor, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Inputs of the ensemble as one member has them; zeros for what it does not use."""
    found = {}
    for name, wanted in model.model.input.items():
        uses = ("audio" if name.startswith("audio") else "face") in model.modalities
        count = len(inputs["audio"])
        found[name] = inputs[name] if uses else np.zeros((count, *wanted.shape[1:]), wanted.dtype)
    return found


def drawn(draw: Draw, features: FeaturesConfig, loudness: float = 1.0) -> dict[str, np.ndarray]:
    found = draw(features, count=6)
    found["audio"] = found["audio"] * np.float32(loudness)
    found["face_mask"][1] = found["audio_mask"][2] = 0
    found["faces"][1] = 0
    found["audio"][2] = 0
    return found


def probabilities(answers: list[dict]) -> np.ndarray:
    return np.array([list(answer["probabilities"].values()) for answer in answers])


@pytest.mark.parametrize("loudness", [1.0, 300.0])
def test_the_answer_is_the_product_of_the_members(
    loaded: dict[str, Predictor], features: FeaturesConfig, inputs: Draw, loudness: float
) -> None:
    given = drawn(inputs, features, loudness)
    answers = {name: m.answer(own_inputs(m, given)) for name, m in loaded.items()}
    shares = {name: probabilities(found) for name, found in answers.items()}
    wanted = shares["heard"] * shares["seen"]
    wanted[1], wanted[2] = shares["heard"][1], shares["seen"][2]  # what the clip has decides alone
    np.testing.assert_allclose(
        shares["both"], wanted / wanted.sum(1, keepdims=True), atol=1e-5, rtol=1e-4
    )
    near = {name: np.array([a["familiarity"] for a in found]) for name, found in answers.items()}
    least = np.minimum(near["heard"], near["seen"])
    least[1], least[2] = near["heard"][1], near["seen"][2]
    np.testing.assert_allclose(near["both"], least, atol=1e-4)


def test_the_temperature_of_a_member_grows_with_unfamiliarity(
    loaded: dict[str, Predictor], features: FeaturesConfig, inputs: Draw
) -> None:
    heard, whole = loaded["heard"], loaded["both"]
    assert heard.answering is not None
    assert whole.answering is not None
    given = drawn(inputs, features, 300.0)
    growth = np.asarray(heard.answering(own_inputs(heard, given))[1])
    assert growth[0] > 1.5, "the test is void without it"
    plain = np.asarray(whole.model.predict_on_batch(given))
    raw = whole.answering(given)[0]
    assert np.abs(raw[0] - plain[0]).max() > 1e-3
    np.testing.assert_allclose(raw[2], plain[2], atol=1e-5)  # without audio


def test_a_threshold_of_a_member_is_brought_to_that_of_the_ensemble(both: Path) -> None:
    found = run_dir.load(both).familiarity
    assert isinstance(found, JointFamiliarity)
    never = [
        dataclasses.replace(m, familiarity=dataclasses.replace(m.familiarity, threshold=t))
        for m, t in zip(found.members, (0.0, familiarity.UNFAMILIAR_BELOW), strict=True)
    ]
    moved = dataclasses.replace(found, members=tuple(never))
    rows = np.full((1, found.width), 1e4)
    rows[:, found.members[0].familiarity.width :] = 0  # unlike anything the first was trained on
    assert found.of(rows)[1] < found.threshold
    assert moved.of(rows)[1] == moved.threshold
    with pytest.raises(ValueError, match="an embedding of"):
        found.of(rows[:, 1:])


def test_features_are_those_of_the_member_that_uses_them(
    both: Path, features: FeaturesConfig
) -> None:
    run = run_dir.load(both)
    assert run.config.features == features
    assert run.modalities == ("audio", "face")
    assert run.temperature == 1.0
    assert not list(both.glob("*.keras"))
    assert [m["folder"] for m in run.members] == ["../heard", "../seen"]


def test_source_licence_card_and_listing(both: Path) -> None:
    subprocess.run(["sha256sum", "--strict", "-c", model_store.SUMS], cwd=both, check=True)
    run, text = run_dir.load(both), (both / "LICENSE.txt").read_text()
    assert run.source["dataset"] == "ravdess+tess+emodb"
    assert run.source["licence"] == "CC BY-NC-SA 4.0 + CC BY-NC-ND 4.0 + free, listed as CC BY 4.0"
    assert run.split.train == ("1", "emodb/1")
    assert "refers to, those of heard and seen, were trained on" in text
    assert "for non-commercial research only: ravdess and tess allow no more." in text
    card = (both / "MODEL_CARD.md").read_text()
    assert card.startswith("# both\n\nTwo of them.\n\nPredicts one of a, b, c")
    for said in ("[heard](../heard/MODEL_CARD.md)", "## Familiarity", "## Limits of use"):
        assert card.count(said) == 1
    assert "Temperature of the product: 1.000, fitted to no clips: " in card
    row = zoo_contents.model("both", both)
    assert row[1:3] == ("audio, face", "ravdess+tess+emodb, 2 speakers")


def test_the_network_can_be_copied(
    both: Path, features: FeaturesConfig, inputs: Draw, tmp_path: Path
) -> None:
    model, given = load(both), drawn(inputs, features)
    wanted = model.predictor.model.predict_on_batch(given)
    np.testing.assert_allclose(model.network.predict_on_batch(given), wanted, atol=1e-6)
    run_dir.save_model(model.network, tmp_path / "whole.keras")
    again = run_dir.load_model(tmp_path / "whole.keras")
    np.testing.assert_allclose(again.predict_on_batch(given), wanted, atol=1e-6)
    assert model.modalities == ("audio", "face")


def test_the_exported_graph_gives_the_answers_of_the_run(
    both: Path, loaded: dict[str, Predictor]
) -> None:
    served = serving(run_dir.load(both), loaded["both"].model)
    assert set(served.inputs) == {"waveform", "samples", "faces", "face_mask"}
    for case in parity.random_cases(served):
        found = {n: v.numpy() for n, v in served.function(case.raw).items()}
        answer = loaded["both"].answer(case.example)
        np.testing.assert_allclose(found["probabilities"], probabilities(answer), atol=1e-5)
        near = answer[0]["familiarity"]
        assert abs(found["familiarity"].item() - near) <= 2 / familiarity.MOST_QUANTILES


@pytest.mark.slow
@pytest.mark.parametrize("name", ["saved_model", "litert", "onnx"])
def test_every_format_is_written_and_compared(both: Path, name: str, tmp_path: Path) -> None:
    for package in FORMATS[name].packages:
        pytest.importorskip(package)
    row = export(run_dir.load(both), [name], tmp_path)["formats"][name]
    assert row["differences"]["probabilities"] < parity.TOLERANCE
    assert row["differences"]["familiarity"] <= 2 / familiarity.MOST_QUANTILES


def test_members_are_multiplied_as_a_trained_ensemble_does_it(
    both: Path, features: FeaturesConfig, inputs: Draw, tmp_path: Path
) -> None:
    """Members of equal features, in a trained ensemble and by reference."""
    runs = [
        run_dir.load(member(tmp_path / name, features, source, **model))
        for name, source, model in (
            ("heard", packaged_members.HEARD, packaged_members.AUDIO),
            ("seen", packaged_members.SEEN, packaged_members.FACE),
        )
    ]
    trained = ensemble.product(features, runs)
    composed = ensemble.model_of(run_dir.load(shipped(tmp_path, "heard,seen", "both")))
    given = drawn(inputs, features)
    np.testing.assert_allclose(
        composed.predict_on_batch(given), trained.predict_on_batch(given), atol=1e-6
    )


@pytest.fixture
def copied(both: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(both.parent, tmp_path / "models")) / "both"


def test_a_missing_changed_or_damaged_member_is_named(
    copied: Path, features: FeaturesConfig, tmp_path: Path
) -> None:
    seen = copied.parent / "seen"
    shutil.move(seen, tmp_path / "away")
    with pytest.raises(UserError, match="both is made of seen, which is not at"):
        predictor.load(str(copied))
    other = {**packaged_members.FACE, "face": "alexnet(width=0.1, dense=9)"}
    member(seen, of_faces(features), packaged_members.SEEN, **other)
    with pytest.raises(UserError, match=r"seen/best\.keras, of which .*both is made, is missing"):
        predictor.load(str(copied))
    shutil.rmtree(seen)
    shutil.move(tmp_path / "away", seen)
    data = bytearray((seen / "temperature.json").read_bytes())
    data[20] ^= 1
    (seen / "temperature.json").write_bytes(data)
    with pytest.raises(UserError, match=r"seen/temperature\.json is missing or damaged"):
        predictor.load(str(copied))


@pytest.mark.parametrize("folder", ["/heard", "heard", "../../heard", "../..", "../"])
def test_a_member_elsewhere_is_refused(copied: Path, folder: str) -> None:
    facts = json.loads((copied / "run.json").read_text())
    facts["members"][0]["folder"] = folder
    (copied / "run.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match="is damaged"):
        run_dir.load(copied)


def test_models_that_cannot_be_multiplied_are_refused_in_one_line(
    copied: Path, features: FeaturesConfig, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = copied.parent
    plain = on_disk(folder / "plain", features)
    assert plain.exists()
    same = {**packaged_members.AUDIO}
    heard = packaged_members.HEARD
    member(folder / "slow", dataclasses.replace(features, mel_bands=12), heard, **same)
    member(folder / "long", dataclasses.replace(features, clip_seconds=1.0), heard, **same)
    turned = member(folder / "turned", features, heard, **same)
    changed(turned, "run.json", classes=["b", "a", "c"])
    fresh = member(folder / "fresh", features, heard, **same)
    changed(fresh, "temperature.json", epochs=5)
    mixed = member(folder / "mixed", features, heard, **same)
    leaky = json.loads((mixed / "run.json").read_text())["split"] | {"leaky": True}
    changed(mixed, "run.json", split=leaky)
    for names, said in (
        ("heard", "must name two packaged models or more"),
        ("heard,heard", "names heard twice"),
        ("heard,sene", "did you mean 'seen'"),
        ("heard,plain", "is not packaged; package it with ship first"),
        ("heard,both", "refers to members itself; name heard,seen instead"),
        ("turned,seen", "same classes in the same order: turned has b, a, c, seen has a, b, c"),
        ("fresh,seen", "fresh is not calibrated"),
        ("mixed,seen", "mixed is LEAKY"),
        ("heard,slow", "heard has mel_bands=16 and slow mel_bands=12, but both use the audio"),
        ("long,seen", "clip_seconds"),
        (f"heard,{tmp_path / 'models' / 'seen'}", ""),
    ):
        status = ship.main(["--members", names, "--out", str(folder / "new")])
        error = capsys.readouterr().err.strip()
        assert (status, len(error.splitlines())) == ((1, 1) if said else (0, 0)), names
        assert said in error
    elsewhere = ["--members", "heard,seen", "--out", str(tmp_path / "new")]
    for arguments, said in (
        (elsewhere, "no model 'heard'"),
        (["--members", f"{folder}/heard,{folder}/seen", *elsewhere[2:]], "must lie beside"),
        (["--run", str(plain), "--calibrate", "x", *elsewhere[2:]], "--calibrate needs --members"),
        (["--run", str(copied), *elsewhere[2:]], "name them with --members"),
    ):
        assert ship.main(arguments) == 1
        assert said in capsys.readouterr().err
    assert list(folder.glob(".*")) == []


def test_an_ensemble_says_nothing_of_familiarity_where_a_member_cannot(
    copied: Path, features: FeaturesConfig, inputs: Draw
) -> None:
    seen = copied.parent / "seen"
    (seen / run_dir.FAMILIARITY).unlink()
    (seen / model_store.SUMS).unlink()
    packaged_members.write_sums(seen)
    shipped(copied.parent, "heard,seen", "both", "--overwrite")
    model = predictor.load(str(copied))
    assert model.answering is None
    assert "familiarity" not in model.answer(drawn(inputs, features))[0]
    with pytest.raises(UserError, match="cannot tell how familiar a clip is"):
        predictor.load(str(copied), abstain_unfamiliar=True)


def test_a_member_may_be_an_ensemble_that_holds_its_weights(
    features: FeaturesConfig, inputs: Draw, tmp_path: Path
) -> None:
    """Two audio models in one file, and a model of faces beside it."""
    own = packaged_members.of_audio(features)
    audio = [{**packaged_members.AUDIO, "audio": f"conv1d(filters={n}, blocks=2)"} for n in (4, 8)]
    parts = [run_dir.load(on_disk(tmp_path / f"part{n}", own, **m)) for n, m in enumerate(audio)]
    network = ensemble.product(own, parts)
    model = {**packaged_members.AUDIO, "ensemble": "part0,part1"}
    heard = member(tmp_path / "heard", own, packaged_members.HEARD, SLOPE, network, **model)
    changed(heard, "run.json", unused=["face"])
    member(tmp_path / "seen", of_faces(features), packaged_members.SEEN, **packaged_members.FACE)
    both = shipped(tmp_path, "heard,seen", "both")
    run = run_dir.load(both)
    assert run.config.features == features
    assert isinstance(run.familiarity, JointFamiliarity)
    assert [len(m.familiarity.parts) for m in run.familiarity.members] == [2, 1]
    assert zoo_contents.model("heard", heard)[1] == "audio"
    models = {name: predictor.load(str(tmp_path / name)) for name in ("heard", "seen", "both")}
    given = drawn(inputs, features, 300.0)
    shares = {n: probabilities(m.answer(own_inputs(m, given))) for n, m in models.items()}
    wanted = shares["heard"] * shares["seen"]
    wanted[1], wanted[2] = shares["heard"][1], shares["seen"][2]
    np.testing.assert_allclose(shares["both"], wanted / wanted.sum(1, keepdims=True), atol=1e-5)
    row = export(run, ["saved_model"], tmp_path / "exported")["formats"]["saved_model"]
    assert row["differences"]["probabilities"] < parity.TOLERANCE
