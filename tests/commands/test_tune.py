"""tune: trials are runs scored on validation speakers; killed, distributed, resumed."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from emorec_tf import tune
from emorec_tf.config import config
from emorec_tf.errors import UserError
from emorec_tf.records import records_dir
from emorec_tf.storage import locks
from emorec_tf.storage.files import read_csv, rows_to_csv
from emorec_tf.train import main as train_main
from emorec_tf.training import experiment, run_dir
from emorec_tf.tuning import search, search_files, search_run
from emorec_tf.tuning import trials as search_trials

pytestmark = pytest.mark.slow

SEARCH = """
audio: conv1d(filters=4, blocks=1)
fusion: audio_only
test_speakers: actor04
validation_speakers: actor03
batch_size: 4
augment: false  # audio masks are drawn again each time
epochs: 2
search:
  learning_rate: [0.003, 1.0e+30, 0.01, 0.03]  # the second leaves no number
  audio: ["conv1d(filters=4, blocks=1)", "conv1d(filters=8, blocks=1)"]
  audio.dropout: {min: 0.0, max: 0.5}
"""
TRIALS = 3


def command(records: Path, out: Path, *more: str) -> list[str]:
    file = out.parent / "search.yaml"
    if not file.exists():
        file.write_text(SEARCH)
    where = ["--config", str(file), "--records", str(records), "--out", str(out)]
    return [*where, f"--trials={TRIALS}", *more]


def start(arguments: list[str], **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "emorec_tf.tune", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | environment,
    )


def kill_when(process: subprocess.Popen, there: Path) -> None:
    """SIGKILL as soon as a file appears."""
    while not there.exists() and process.poll() is None:
        time.sleep(0.01)
    assert process.poll() is None, process.communicate()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def table(out: Path) -> list[dict[str, str]]:
    """Rows of trials.csv without times."""
    with (out / "trials.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def last_line(capsys) -> str:
    lines = capsys.readouterr().err.strip().splitlines()
    return lines[-1] if lines else ""


@pytest.fixture(scope="module")
def finished(demo_records: Path, tmp_path_factory) -> Path:
    """Three trials; one of them fails."""
    out = tmp_path_factory.mktemp("tune") / "out"
    assert tune.main(command(demo_records, out)) == 0
    return out


def test_every_trial_is_a_run(finished: Path):
    rows = table(finished)
    assert [row["trial"] for row in rows] == ["0", "1", "2"]
    assert sorted(row["status"] for row in rows) == ["COMPLETED", "COMPLETED", "FAILED"]
    for row in rows:
        loaded = run_dir.load(finished / "trials" / row["trial"])
        assert loaded.config.train.learning_rate == float(row["learning_rate"])
        assert loaded.config.model.audio.startswith(row["audio"].rstrip(")"))
        assert f"dropout={row['audio.dropout']}" in loaded.config.model.audio
        assert loaded.split.test == ("actor04",)
        if row["status"] == "FAILED":
            assert "the loss is nan after epoch 1; lower learning_rate" in row["message"]
            assert row["learning_rate"] == "1e+30"
        else:
            reached = max(loaded.scores(loaded.history))
            assert float(row["val_uar"]) == pytest.approx(reached)


def test_training_on_best_yaml_repeats_the_trial(finished: Path, tmp_path: Path):
    text = (finished / "best.yaml").read_text()
    best = max(table(finished), key=lambda row: float(row["val_uar"] or -1))
    header = [line for line in text.splitlines() if line.startswith("#")]
    assert header[0].startswith(f"# Trial {best['trial']}, the best of 3 (1 failed): val_uar ")
    assert header[1].startswith("# python -m emorec_tf.tune --config ")
    assert "Nothing was chosen on the test speakers actor04" in text
    assert train_main(["--config", str(finished / "best.yaml"), "--run", str(tmp_path / "r")]) == 0
    again, trial = run_dir.load(tmp_path / "r"), run_dir.load(finished / "trials" / best["trial"])
    assert again.config == trial.config
    assert again.split == trial.split
    assert again.scores(again.history) == trial.scores(trial.history)


def test_the_plot_is_written(finished: Path):
    with Image.open(finished / "search.png") as image:
        assert image.width > 600


def test_tensorboard_reads_curves_plots_and_the_table(finished: Path):
    from tensorboard import context
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

    events = plugin_event_multiplexer.EventMultiplexer()
    events.AddRunsFromDirectory(str(finished)).Reload()
    provider = data_provider.MultiplexerDataProvider(events, str(finished))
    board = base_plugin.TBContext(data_provider=provider, logdir=str(finished))
    asked = api_pb2.ListSessionGroupsRequest(slice_size=9, allowed_statuses=[0, 1, 2, 3])
    shown = list_session_groups.Handler(
        context.RequestContext(), backend_context.Context(board), "", asked
    ).run()
    rows = {row["trial"]: row for row in table(finished)}
    assert {group.name for group in shown.session_groups} == set(rows)
    for group in shown.session_groups:
        row = rows[group.name]
        assert group.hparams["audio"].string_value == row["audio"]
        assert group.hparams["learning_rate"].number_value == float(row["learning_rate"])
        status = group.sessions[0].status
        if row["status"] == "FAILED":
            assert status == api_pb2.STATUS_FAILURE
            continue
        assert status == api_pb2.STATUS_SUCCESS
        scalars = {(m.name.group, m.name.tag): m.value for m in group.metric_values}
        assert scalars["", "val_uar"] == pytest.approx(float(row["val_uar"]))
        assert ("train", "epoch_loss") in scalars
        assert ("validation", "epoch_uar") in scalars
        images = events.Tensors(f"trials/{group.name}/logs/validation", "validation confusion")
        assert [image.step for image in images] == [0, 1]
        assert images[0].tensor_proto.string_val[2].startswith(b"\x89PNG")


def scrambled(folder: Path, target: Path, speaker: str) -> Path:
    """Copy records, with other labels and other bytes for one speaker."""
    import tensorflow as tf

    shutil.copytree(folder, target)
    manifest = json.loads((target / records_dir.MANIFEST).read_text())
    other = {"neutral": "happy", "happy": "sad", "sad": "neutral"}
    changed = 0
    for shard in manifest["shards"]:
        examples = []
        for raw in tf.data.TFRecordDataset(str(target / shard["name"])).as_numpy_iterator():
            example = tf.train.Example.FromString(raw)
            feature = example.features.feature
            if feature["speaker"].bytes_list.value[0].decode() == speaker:
                changed += 1
                label = feature["emotion"].bytes_list.value
                label[0] = other[label[0].decode()].encode()
                for name in ("audio", "faces"):
                    data = feature[name].bytes_list.value
                    data[0] = data[0][1000:] + data[0][:1000]
            examples.append(records_dir.framed(example.SerializeToString(deterministic=True)))
        shard |= records_dir.write_shard(target / shard["name"], examples)
    (target / records_dir.MANIFEST).write_text(json.dumps(manifest))
    rows = read_csv(target / records_dir.REPORT)
    for row in rows:
        if row["speaker"] == speaker:
            row["emotion"] = other[row["emotion"]]
    (target / records_dir.REPORT).write_text(rows_to_csv(rows))
    assert changed == sum(row["speaker"] == speaker for row in rows) == 6
    return target


def test_nothing_is_learned_or_chosen_on_test_speakers(
    finished: Path, demo_records: Path, tmp_path: Path
):
    for speaker, same in (("actor04", True), ("actor03", False)):
        place = tmp_path / speaker
        place.mkdir()
        other = scrambled(demo_records, place / "records", speaker)
        trials = TRIALS if same else 1
        assert tune.main(command(other, place / "out", f"--trials={trials}")) == 0
        assert (table(place / "out") == table(finished)[:trials]) is same
        for row in table(place / "out") if same else ():
            if row["status"] == "FAILED":
                continue
            name = Path("trials", row["trial"], "history.csv")
            here, there = ((f / name).read_text().splitlines() for f in (place / "out", finished))
            scalars = [[line.rpartition(",")[0] for line in lines] for lines in (here, there)]
            assert scalars[0] == scalars[1], "to the last digit"


def test_killed_searches_resume(finished: Path, demo_records: Path, tmp_path: Path):
    """SIGKILL in the middle of a trial, and after one: no trial is lost or done twice."""
    out = tmp_path / "out"
    arguments = command(demo_records, out)
    kill_when(start(arguments), out / "trials" / "0" / "last.keras")
    kill_when(start(arguments), out / "trials" / "0.json")
    (out / "oracle.json").write_text((out / "oracle.json").read_text()[:99])  # and a bad disk
    before = (out / "trials" / "0.json").stat().st_mtime_ns
    assert tune.main(arguments) == 0
    assert (out / "trials" / "0.json").stat().st_mtime_ns == before
    assert table(out) == table(finished)
    best = [(f / "best.yaml").read_text().splitlines() for f in (out, finished)]
    assert best[0][0] == best[1][0]
    log = (out / "trials" / "0.log").read_text()
    assert log.count("epoch 1/2") + log.count("epoch 2/2") <= 3
    again = {p: p.stat().st_mtime_ns for p in out.rglob("*.keras")}
    assert tune.main(arguments) == 0
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.keras")} == again


def test_a_chief_and_two_workers(
    finished: Path, demo_records: Path, tmp_path: Path, monkeypatch, capsys
):
    """One worker is killed in its trial; the other does it, and all end by themselves."""
    out = tmp_path / "out"
    arguments = command(demo_records, out)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(port)}
    first, second, chief = (
        start(arguments, KERASTUNER_TUNER_ID=name, **place) for name in ("one", "two", "chief")
    )
    while not [*(out / "trials").glob("?.log")] and chief.poll() is None:
        time.sleep(0.01)
    busy = json.loads((out / "oracle.json").read_text())["oracle"]["ongoing_trials"]
    victim, other = (first, second) if "one" in busy else (second, first)
    os.killpg(victim.pid, signal.SIGKILL)
    victim.communicate()
    output, errors = chief.communicate(timeout=240)
    assert chief.returncode == 0, errors
    assert "3 trials succeeded" in output
    said, errors = other.communicate(timeout=60)
    assert other.returncode == 0, errors
    assert "no trial is left" in said
    assert table(out) == table(finished)
    for name, value in (place | {"KERASTUNER_TUNER_ID": "late"}).items():
        monkeypatch.setenv(name, value)
    assert tune.main(arguments) == 0
    assert "is over" in capsys.readouterr().out


def test_hyperband_resumes_from_the_checkpoint(demo_records: Path, tmp_path: Path, capsys):
    out = tmp_path / "out"
    more = ["--tuner=hyperband", "--factor=2", "--learning_rate=0.01"]
    arguments = command(demo_records, out, *more)
    text = SEARCH.replace(" 1.0e+30,", "")
    (tmp_path / "search.yaml").write_text(text)
    assert tune.main(arguments) == 0
    assert "one in 2 goes on; 2 of 1 epoch -> 1 of 2 epochs" in capsys.readouterr().out
    rows = table(out)
    assert [row["epochs"] for row in rows] == ["1", "1", "2"]
    past = rows[2]["goes_on_from"]
    better = max(rows[:2], key=lambda row: float(row["val_uar"]))
    assert past == better["trial"]
    before, after = (run_dir.load(out / "trials" / name) for name in (past, "2"))
    assert after.history[:1] == before.history
    assert after.config == before.config
    assert "going on after epoch 1" in (out / "trials" / "2.log").read_text()


def test_a_trial_that_crashes_repeatedly_fails(finished: Path, demo_records: Path, tmp_path: Path):
    records = records_dir.open_records(demo_records)
    loaded = run_dir.load(finished / "trials" / "0")
    own = experiment.make(loaded.config, records, loaded.split)
    planned = search.Search(tmp_path, own, ())
    (tmp_path / "trials").mkdir()
    for _ in range(search_trials.MOST_DEATHS):
        search_trials.count_attempt(planned, "0")
    went = search_trials.carry_out(planned, "0", {})
    assert (went["status"], went["score"]) == ("FAILED", None)
    assert went["message"] == "its process died 10 times in epoch 1; out of memory?"
    assert not search_trials.deaths_file(planned, "0").exists()


def test_why_a_trial_failed():
    import tensorflow as tf

    full = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor\nwith shape")
    assert search_trials.reason(full) == "out of memory"
    assert search_trials.reason(MemoryError()) == "out of memory"
    assert search_trials.reason(UserError("lower it")) == "lower it"
    assert search_trials.reason(ValueError("a\nb")) == "ValueError: a b"


def test_failures_in_a_row_end_the_search_in_one_line(demo_records: Path, tmp_path: Path, capsys):
    text = SEARCH.replace("[0.003, 1.0e+30, 0.01, 0.03]", "[1.0e+30, 1.0e+31, 1.0e+32]")
    (tmp_path / "search.yaml").write_text(text)
    assert tune.main(command(demo_records, tmp_path / "out", "--failures=1")) == 1
    assert "no trial succeeded, lastly: the loss is nan" in last_line(capsys)
    assert len(table(tmp_path / "out")) == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--epochs=3"], "epochs was 2, is 3"),
        (["--tuner=bayesian"], "tuner was 'random', is 'bayesian'"),
        (["--seed=1"], "seed was 0, is 1"),
        (["--trials=0"], "trials is 0"),
        (["--failures=0"], "failures is 0"),
        (["--factor=1"], "factor is 1"),
        (["--fold=1"], "fold is 1; it must be with --protocol"),
        (["--protocol=leaky_kfold:2"], "knows every speaker"),
        (["--protocol=group_kfold:2", "--fold=2"], "'2' is none; there are 0 (named 1)"),
        (["--protocol=group_kfold:2", "--fold=1"], "test_speakers was"),
        (["--test_speakers=actor99"], "actor99"),
        (["--validation_speakers=actor04"], "both validation and test"),
        (["--config=nowhere.yaml"], "there is no config nowhere.yaml"),
    ],
)
def test_mistakes_are_refused_in_one_line(more, said, finished: Path, demo_records: Path, capsys):
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*.json")}
    assert tune.main([*command(demo_records, finished), *more]) == 1
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1
    assert {p: p.stat().st_mtime_ns for p in finished.rglob("*.json")} == before


def test_a_foreign_folder_is_left_unchanged(demo_records, tmp_path: Path, capsys):
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    assert tune.main(command(demo_records, out, "--overwrite")) == 1
    assert "exists and is no search" in last_line(capsys)
    assert [p.name for p in out.iterdir()] == ["thesis.txt"]


def test_two_processes_do_not_share_a_search(finished: Path, demo_records: Path, capsys):
    with locks.alone(finished / ".lock"):
        assert tune.main(command(demo_records, finished)) == 1
    assert "another process searches in" in last_line(capsys)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"KERASTUNER_ORACLE_IP": "127.0.0.1"}, "set KERASTUNER_ORACLE_PORT and KERASTUNER_TUNER"),
        ({"KERASTUNER_ORACLE_PORT": "1"}, "set KERASTUNER_ORACLE_IP and KERASTUNER_TUNER_ID too"),
    ],
)
def test_incomplete_cluster_variables_are_named(variables, said):
    with pytest.raises(UserError, match=said):
        search_run.role(variables)
    whole = {"KERASTUNER_ORACLE_IP": "h", "KERASTUNER_ORACLE_PORT": "1"}
    assert search_run.role({**whole, "KERASTUNER_TUNER_ID": "chief"}) == ("h:1", "")
    assert search_run.role({**whole, "KERASTUNER_TUNER_ID": "w1"}) == ("h:1", "w1")
    assert search_run.role({"KERASTUNER_TUNER_ID": "w1"}) == ("", "")


def test_two_workers_of_one_name_are_refused(finished, demo_records, monkeypatch, capsys):
    for name, value in (("ORACLE_IP", "127.0.0.1"), ("ORACLE_PORT", "9"), ("TUNER_ID", "w")):
        monkeypatch.setenv(f"KERASTUNER_{name}", value)
    with locks.alone(search_files.lock_of(finished / "workers", "w")):
        assert search_files.alive(finished / "workers") == {"w"}
        assert tune.main(command(demo_records, finished)) == 1
    assert "another worker is called w" in last_line(capsys)
    assert search_files.alive(finished / "workers") == set()


def test_stage_paths_are_relative_to_best_yaml(tmp_path: Path):
    (tmp_path / "first.yaml").write_text("fusion: audio_only\n")
    built = config.build({"pretrain": str(tmp_path / "first.yaml")})
    found = search_files.with_paths(built, tmp_path / "out")
    assert found.train.pretrain == "../first.yaml"
    built = config.build({"ensemble": str(tmp_path / "first.yaml")})
    assert search_files.with_paths(built, tmp_path).model.ensemble == "first.yaml"


def test_a_search_under_former_names_of_hyperparameters_resumes(
    demo_records: Path, tmp_path: Path, capsys
):
    text = "face: face_statistics(mesh=False, cells=2)\nfusion: face_only\nbatch_size: 4\n"
    text += "classifier: lda(shrinkage=0.5, pca=4)\ntest_speakers: actor04\n"
    text += "validation_speakers: actor03\nsearch:\n  classifier.offsets: [0.2, 0.6, 0.8]\n"
    (tmp_path / "old.yaml").write_text(text)
    (tmp_path / "new.yaml").write_text(text.replace("offsets", "speaker_shrinkage"))
    out, now = tmp_path / "out", "classifier.speaker_shrinkage"
    where = ["--records", str(demo_records), "--out", str(out)]
    assert tune.main(["--config", str(tmp_path / "old.yaml"), *where, "--trials=1"]) == 0
    assert now in json.loads((out / "plan.json").read_text())["search"]
    for file in (out / "plan.json", out / "oracle.json", out / "trials" / "0.json"):
        made = file.read_text()
        assert now in made
        file.write_text(made.replace(now, "classifier.offsets"))  # as an older version wrote it
    first = (out / "trials" / "0" / "best.keras").stat().st_mtime_ns
    for name, trials in (("old", 2), ("new", 3)):
        arguments = ["--config", str(tmp_path / f"{name}.yaml"), *where, f"--trials={trials}"]
        assert tune.main(arguments) == 0, capsys.readouterr().err
        rows = table(out)
        assert [row["status"] for row in rows] == ["COMPLETED"] * trials
        assert {row["classifier.offsets"] for row in rows} <= {"0.2", "0.6", "0.8"}
    assert (out / "trials" / "0" / "best.keras").stat().st_mtime_ns == first
    best = config.read_yaml(out / "best.yaml")["classifier"]
    assert best.startswith("lda(shrinkage=0.5, pca=4, speaker_shrinkage=0.")
