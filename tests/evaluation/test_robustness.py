"""The robustness table takes no pass for what the network cannot see, and can be left out."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import TRAIN_FLAGS
from invented_runs import invent

from emorec_tf import report
from emorec_tf.crossval import main as crossval_main
from emorec_tf.errors import UserError
from emorec_tf.evaluate import main as evaluate_main
from emorec_tf.evaluation import crossval_files, score_run
from emorec_tf.records import corruptions, records_dir
from emorec_tf.records.waveform_corruptions import CONDITIONS
from emorec_tf.storage.files import read_csv
from emorec_tf.train import main as train_main
from emorec_tf.training import clip_familiarity, logits, run_dir

FUSIONS = {"audio_only": "audio", "face_only": "face"}


@pytest.fixture(scope="module", params=FUSIONS)
def run(request, demo_records: Path, tmp_path_factory: pytest.TempPathFactory) -> run_dir.Run:
    """A run that looks at one modality."""
    folder = tmp_path_factory.mktemp("robustness") / request.param
    where = [f"--records={demo_records}", f"--run={folder}", f"--fusion={request.param}"]
    assert train_main([*where, *TRAIN_FLAGS, "--epochs=1"]) == 0
    return run_dir.load(folder)


def test_what_a_corruption_changes(features, inputs):
    found = {
        name: corruptions.modalities_changed(corruption, inputs(features))
        for name, corruption in corruptions.conditions(features).items()
    }
    assert found.pop("clean") == set()
    faces = ("no face", "half the frames", "dark")
    assert [found.pop(name) for name in faces] == [{"face"}] * 3
    assert len(found) == 8
    assert set(map(frozenset, found.values())) == {frozenset({"audio"})}


def test_passes_are_saved_and_scores_stay(run: run_dir.Run, demo_clips: Path, monkeypatch):
    passes, once = [], clip_familiarity.Answering.logits_of

    def counted(self, *arguments):
        passes.append(arguments)
        return once(self, *arguments)

    monkeypatch.setattr(clip_familiarity.Answering, "logits_of", counted)
    scores = score_run.evaluate(run, source=str(demo_clips))
    rows = {row["condition"]: row for row in read_csv(run.folder / "robustness.csv")}
    assert list(rows) == [*corruptions.conditions(run.config.features), *CONDITIONS]
    audio = FUSIONS[run.config.model.fusion] == "audio"
    assert len(passes) == 1 + (8 + len(CONDITIONS) if audio else 3), "and the clean clips"
    assert float(rows["clean"]["uar"]) == pytest.approx(scores["uar"])
    records = records_dir.open_records(str(run.config.data.records))
    tested = [clip for clip in records.clips if clip.speaker in run.split.test]
    model, batches = run_dir.load_model(run.model_file), logits.ClipBatches(records, tested)
    for name, corruption in corruptions.conditions(run.config.features).items():
        raw, clips = logits.logits_of(model, batches, corruption=corruption)
        found = run.task.metrics(run.task.truth(clips), run.task.predictions(raw, run.temperature))
        assert rows[name] == {"condition": name, "n": str(len(clips))} | {
            key: str(value) for key, value in found.items()
        }
    if not audio:
        assert {rows[name]["uar"] for name in CONDITIONS} == {rows["clean"]["uar"]}


def test_the_table_is_left_out_on_demand(demo_run: Path, tmp_path: Path, capsys):
    assert evaluate_main([f"--run={demo_run}"]) == 0
    table, metrics = demo_run / "robustness.csv", (demo_run / "metrics.json").read_text()
    assert table.exists()
    assert evaluate_main([f"--run={demo_run}", "--no_robustness"]) == 0
    assert not table.exists(), "it would be that of an earlier call"
    assert "robustness" not in capsys.readouterr().out.rpartition("written:")[2]
    assert (demo_run / "metrics.json").read_text() == metrics
    with pytest.raises(UserError, match="drop one of them"):
        score_run.evaluate(demo_run, source=str(tmp_path), robustness=False)
    assert evaluate_main([f"--run={demo_run}"]) == 0
    assert table.exists()


def test_a_cross_validation_is_complete_without_it(demo_records: Path, tmp_path: Path, capsys):
    folder = tmp_path / "cv"
    flags = [f"--records={demo_records}", f"--run={folder}", "--protocol=group_kfold:2"]
    flags += ["--seeds=1", "--fusion=audio_only", "--audio=conv1d(filters=8, blocks=2)"]
    flags += ["--batch_size=4", "--epochs=1"]
    assert crossval_main([*flags, "--folds=0", "--no_robustness"]) == 0
    assert "not measured" in " ".join(capsys.readouterr().out.split())
    assert not list(tmp_path.rglob("robustness.csv"))
    first = crossval_files.fold_folder(folder, 0, "1")
    assert crossval_files.is_done(first)
    before = (first / "metrics.json").stat().st_mtime_ns
    assert crossval_main(flags) == 0
    assert (first / "metrics.json").stat().st_mtime_ns == before, "what is done stays as it is"
    assert {row["fold"] for row in read_csv(folder / "robustness.csv")} == {"2"}


def test_report_and_card_say_that_it_was_not_measured(tmp_path: Path):
    folder, page = invent(tmp_path / "cv"), tmp_path / "report.html"
    shown = "Robustness: not measured"
    words = ["--run", str(folder), "--out", str(page)]
    assert report.main(words) == 0
    assert shown not in page.read_text() + (folder / "MODEL_CARD.md").read_text()
    (folder / "robustness.csv").unlink()
    assert report.main(words) == 0
    assert shown in page.read_text()
    assert f"{shown}.\n" in (folder / "MODEL_CARD.md").read_text()


def test_stored_conditions_are_shown_by_the_names_of_today(tmp_path: Path):
    folder, page = invent(tmp_path / "cv"), tmp_path / "report.html"
    table = folder / "robustness.csv"
    stored = table.read_text().replace("voice gone", "no voice").replace("face gone", "dark")
    table.write_text(stored)
    assert report.main(["--run", str(folder), "--out", str(page)]) == 0
    for text in (page.read_text(), (folder / "MODEL_CARD.md").read_text()):
        assert text.count("no audio") >= 1
        assert text.count("low light") >= 1
        assert "no voice" not in text
        assert ">dark<" not in text
        assert "| dark |" not in text
    assert table.read_text() == stored
    shown = page.read_text().partition("expected calibration error (ECE)</td>")[2]
    assert "%" in shown.partition("</tr>")[0], "as everywhere on the page"
    kept = read_csv(tmp_path / "report_files" / "cv" / "robustness.csv")
    assert [row["condition"] for row in kept] == ["clean", "dark", "no voice", "noise 0 dB"]
