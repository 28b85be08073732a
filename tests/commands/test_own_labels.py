"""Own labels of any script through the commands: prepare, train, predict, score, card, page."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from conftest import FEATURE_FLAGS, TRAIN_FLAGS

from emorec_tf.config.class_names import listing
from emorec_tf.config.given import settings_of
from emorec_tf.predict import main as predict_main
from emorec_tf.prepare import main as prepare_main
from emorec_tf.train import main as train_main

NAMES = {"neutral": "\u56f0\u60d1", "happy": "very, engaged", "sad": "[dim]pain[/dim] <b>|$x$"}
CLASSES = ("[dim]pain[/dim] <b>|$x$", "very, engaged", "\u56f0\u60d1")


@pytest.fixture(scope="module")
def own(demo_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch on the demo clips, labelled by a table as a spreadsheet saves it."""
    folder = tmp_path_factory.mktemp("own")
    with (demo_clips / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with (folder / "labels.csv").open("w", encoding="utf-16", newline="") as file:
        table = csv.writer(file, delimiter=";")
        table.writerow(["Path", "Mood", "Subject"])
        for at, row in enumerate(rows):
            label = NAMES[row["emotion"]] if at % 2 else f" {NAMES[row['emotion']].upper()}"
            table.writerow([demo_clips / row["path"], label, row["speaker"]])
    source = ["--source", str(folder), "--records", str(folder / "records"), "--workers=1"]
    columns = "--columns=emotion=mood,speaker=subject"
    spelt = f"--label_map={listing([f'{name}={name}' for name in CLASSES])}"
    audio = [flag for flag in FEATURE_FLAGS if not flag.startswith("--face")]
    given = [*source, columns, spelt, *audio, "--face_frames=0"]
    assert prepare_main(["--dataset=folder", *given]) == 0
    where = ["--records", str(folder / "records"), "--run", str(folder / "run")]
    assert train_main([*where, "--fusion=audio_only", "--epochs=1", *TRAIN_FLAGS]) == 0
    return folder


def test_predictions_name_own_classes(
    own: Path, demo_clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = str(min((demo_clips / "clips").glob("actor04_*.mp4")))
    capsys.readouterr()
    assert predict_main([clip, "--run", str(own / "run"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert tuple(answer["probabilities"]) == CLASSES
    assert answer["emotion"] == max(answer["probabilities"], key=answer["probabilities"].get)
    assert predict_main([clip, "--run", str(own / "run"), "--top=3"]) == 0
    shown = capsys.readouterr().out
    assert all(name.split()[0] in shown for name in CLASSES)
    figure = str(own / "time.png")
    assert (
        predict_main([clip, "--run", str(own / "run"), "--windows=on", "--timeline", figure]) == 0
    )
    with (own / "time.csv").open(encoding="utf-8", newline="") as file:
        assert set(CLASSES) <= set(next(csv.reader(file)))


def test_scores_and_card_name_own_classes(own: Path) -> None:
    import emorec_tf
    from emorec_tf.evaluate import main as evaluate_main
    from emorec_tf.evaluation import run_card

    where = ["--run", str(own / "run"), "--records", str(own / "records")]
    assert evaluate_main(where) == 0
    metrics = json.loads((own / "run" / "metrics.json").read_text(encoding="utf-8"))
    assert tuple(metrics["classes"]) == tuple(metrics["per_class_recall"]) == CLASSES
    run = emorec_tf.load(own / "run").run
    page = run_card.as_html(run_card.card_of(run))
    assert "<b>" not in page
    assert "\u56f0\u60d1" in page
    made = emorec_tf.build_model(["\u56f0\u60d1", "very, sad", "a b[/]"], weights=own / "run")
    assert made.output_shape == (None, 3)


def test_classes_with_commas_are_chosen_by_quotes(own: Path) -> None:
    from emorec_tf.training import experiment

    for classes in (["\u56f0\u60d1", "very, engaged"], '"Very, Engaged",\u56f0\u60d1'):
        given = settings_of(None, {"classes": classes, "records": str(own / "records")})
        settings, records = experiment.resolve(given)
        assert experiment.make(settings, records).classes == ("very, engaged", "\u56f0\u60d1")
