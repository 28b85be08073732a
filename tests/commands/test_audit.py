"""audit: each planted leak is found, a clean split passes, mistakes get one line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from places import DATA

from emorec_tf import audit, cli

HEADER = "path,speaker,fold,role\n"


@pytest.fixture(autouse=True)
def _verb(monkeypatch):
    monkeypatch.setitem(cli.VERBS, "audit", "find leaks in a split file")


def name_of(actor: int, take: int, modality: str = "01") -> str:
    return f"Actor_{actor:02d}/{modality}-01-0{3 + take}-01-01-01-{actor:02d}.mp4"


def clean() -> list[str]:
    """Three folds over six actors with three takes each, as the lines of a file."""
    lines = []
    for fold in range(3):
        for actor in range(1, 7):
            role = ("test", "validation", "train")[((actor - 1) // 2 - fold) % 3]
            lines += [f"{name_of(actor, take)},{actor},{fold + 1},{role}" for take in range(3)]
    return lines


def audited(tmp_path, capsys, lines, *flags) -> tuple[int, list[str], str]:
    file = tmp_path / "splits.csv"
    file.write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")
    code = audit.main([str(file), *flags])
    out, err = capsys.readouterr()
    return code, out.splitlines(), err


def test_a_clean_file(tmp_path, capsys):
    code, out, err = audited(tmp_path, capsys, clean())
    assert code == 0
    assert out == [
        "no leak: 3 folds, 6 speakers, 18 paths; audio not compared (--sound does)",
    ]
    assert err == ""


def planted_speaker(lines):
    return [*lines, "Actor_01/extra.mp4,1,1,train"]


def planted_path(lines):
    return [*lines, f"{name_of(1, 0)},1,1,train"]


def planted_twin(lines):
    return [*lines, f"{name_of(1, 0, '03').replace('mp4', 'wav')},1,1,train"]


def planted_selection_on_test(lines):
    kept = [line for line in lines if not line.endswith(",2,validation")]
    return kept + [line.replace(",test", ",validation") for line in kept if line.endswith("2,test")]


def planted_double_run(lines):
    return lines + [line for line in lines if line.endswith(",3,train")]


def planted_scored_twice(lines):
    return [line.replace("5,1,train", "5,1,test") for line in lines]


PLANTED = {
    planted_speaker: ["leak: fold 1: speaker 1 in train and test"],
    planted_path: [
        "leak: fold 1: speaker 1 in train and test",
        f"leak: fold 1: path {name_of(1, 0)} in train and test",
    ],
    planted_twin: [
        "leak: fold 1: speaker 1 in train and test",
        "leak: fold 1: the same recording under two names (Actor_01/03-01-03-01-01-01-01.wav = "
        "Actor_01/01-01-03-01-01-01-01.mp4) in train and test",
    ],
    planted_selection_on_test: [
        "leak: fold 2: validation and test are the same: model selection on the test set"
    ],
    planted_double_run: [
        "leak: fold 3: 6 paths (Actor_03/01-01-03-01-01-01-03.mp4, "
        "Actor_03/01-01-04-01-01-01-03.mp4, Actor_03/01-01-05-01-01-01-03.mp4, "
        "Actor_04/01-01-03-01-01-01-04.mp4, Actor_04/01-01-04-01-01-01-04.mp4, ...) "
        "listed twice in train: did two runs write here?"
    ],
    planted_scored_twice: [
        "leak: 3 recordings (ravdess 01-03-01-01-01-05, ravdess 01-04-01-01-01-05, "
        "ravdess 01-05-01-01-01-05) scored twice: in test of folds 1, 3"
    ],
}


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_planted_leaks(tmp_path, capsys, plant):
    code, out, _ = audited(tmp_path, capsys, plant(clean()))
    assert code == 1
    assert out == PLANTED[plant]


def test_other_leaks(tmp_path, capsys):
    lines = [line.replace("05.mp4,5,2", "05.mp4,five,2") for line in clean()]
    _, out, _ = audited(tmp_path, capsys, lines)
    assert out[0].startswith("leak: 3 recordings (ravdess 01-03-01-01-01-05")
    assert out[0].endswith("given to more than one speaker")
    lines = [line.replace("/", "\\") for line in clean()[:9]] + ["./" + x for x in clean()[:9]]
    _, out, _ = audited(tmp_path, capsys, lines)
    assert out[0].startswith("leak: fold 1: 3 paths (Actor_03/01-01-03-01-01-01-03.mp4")


@pytest.mark.parametrize(
    ("one", "other"),
    [("1", "01"), ("Anna", "anna"), ("J\u00fcrgen", "Ju\u0308rgen"), ("S 1", "S1")],
)
def test_a_speaker_under_two_spellings(tmp_path, capsys, one, other):
    lines = [f"a.wav,{one},1,train", f"b.wav,{other},1,test", "c.wav,9,1,validation"]
    code, out, _ = audited(tmp_path, capsys, lines)
    assert code == 1
    assert out == [
        f"leak: fold 1: same speaker under two spellings: {one!r} and {other!r} in train and test"
    ]
    lines[1] = f"b.wav,{other},1,train"
    code, out, _ = audited(tmp_path, capsys, [*lines, "d.wav,8,1,test"])
    assert (code, out[0][:24]) == (0, "no leak: 1 fold, 3 speak")
    lines[2] = f"c.wav,{one},1,validation"
    lines[0] = "a.wav,7,1,train"
    _, _, err = audited(tmp_path, capsys, [*lines, "d.wav,8,1,test"])
    assert f"two spellings: {other!r} and {one!r} in train and validation" in err


def test_a_path_under_two_spellings(tmp_path, capsys):
    lines = ["Actor_01/A.wav,1,1,train", "actor_1/a.WAV,2,1,test", "c.wav,9,1,validation"]
    code, out, _ = audited(tmp_path, capsys, lines)
    assert code == 1
    assert out == [
        "leak: fold 1: same path under two spellings: 'Actor_01/A.wav' and 'actor_1/a.WAV' in "
        "train and test"
    ]


def test_cases_short_of_a_leak_are_warnings(tmp_path, capsys):
    lines = [line for line in clean() if not line.endswith("4,1,test")]
    lines = [line.replace("3,2,validation", "3,2,train") for line in lines]
    lines = [line for line in lines if not line.endswith("2,test")] + ["x.mp4,3,2,validation"]
    code, out, err = audited(tmp_path, capsys, lines)
    assert code == 0
    assert out[0].startswith("no leak")
    assert "warning: fold 2: nothing has the role test" in err
    assert re.search(r"warning: 7 recordings \(.*\) dropped: in no fold's test", err)
    _, _, err = audited(tmp_path, capsys, [*clean(), "y.mp4,3,1,train", "y.mp4,3,2,test"])
    assert "fold 1: speaker 3 in train and validation" in err


def tone(hertz: float) -> np.ndarray:
    seconds = np.arange(16000) / 16000
    return (np.sin(2 * np.pi * hertz * seconds) * 20000).astype(np.int16)


def test_equal_audio_is_found(tmp_path, capsys):
    soundfile.write(tmp_path / "anna.wav", tone(200), 16000)
    soundfile.write(tmp_path / "renamed.flac", tone(200), 16000)
    soundfile.write(tmp_path / "other.wav", tone(300), 16000)
    soundfile.write(tmp_path / "silent1.wav", np.zeros(16000, np.int16), 16000)
    soundfile.write(tmp_path / "silent2.wav", np.zeros(16000, np.int16), 16000)
    (tmp_path / "damaged.wav").write_bytes(b"RIFF nothing")
    lines = [
        "anna.wav,anna,1,train",
        "silent1.wav,anna,1,train",
        "damaged.wav,anna,1,train",
        "other.wav,carl,1,validation",
        "renamed.flac,berta,1,test",
        "silent2.wav,berta,1,test",
        "gone.wav,berta,1,test",
    ]
    assert audited(tmp_path, capsys, lines)[0] == 0
    code, out, err = audited(tmp_path, capsys, lines, "--sound")
    assert code == 1
    assert out == [
        "leak: fold 1: the same audio under two names (anna.wav = renamed.flac) in train and test"
    ]
    assert "1 files not found, such as gone.wav" in err
    assert "damaged.wav" in err


@pytest.mark.data("ravdess/clips")
def test_real_videos_with_equal_audio(tmp_path, capsys):
    source = DATA / "ravdess" / "clips"
    lines = [
        f"{file.resolve()},{actor},1,{role}"
        for actor, role in ((1, "train"), (2, "validation"), (3, "test"))
        for file in sorted((source / f"Actor_{actor:02d}").glob("*.mp4"))[:3]
    ]
    code, out, err = audited(tmp_path, capsys, lines, "--sound")
    assert (code, err) == (0, "")
    assert out == ["no leak: 1 fold, 3 speakers, 9 paths; audio of 9 compared"]
    copy = tmp_path / "elsewhere.mp4"
    copy.write_bytes(Path(lines[0].split(",")[0]).read_bytes())
    code, out, _ = audited(tmp_path, capsys, [*lines, f"{copy.name},3,1,test"], "--sound")
    assert code == 1
    assert "the same audio under two names" in out[0]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "no column 'path'"),
        (
            "path;speaker;fold\na;b;1\n",
            "'role': it needs path,speaker,fold,role; its first",
        ),
        ("path|speaker|fold|role\na|b|1|test\n", "its first line has path|speaker|fold|role"),
        ("path,speaker,role\na,b,test\n", "no column 'fold'"),
        (HEADER, "no line below its header"),
        (HEADER + "a,b,1,tests\n", "line 2: unknown role 'tests'; did you mean 'test'?"),
        (HEADER + "a,b,1,dev\n", "known are test, train, validation"),
        (HEADER + "a,b,1,test\nb,,1,test\n", "line 3: speaker is empty"),
        (HEADER + "a,b,1\n", "line 2: role is empty"),
        (HEADER.encode() + b"\xfc,b,1,test\n", "no CSV file in UTF-8 or UTF-16 (row 2: byte 0xfc)"),
        (b"PK\x03\x04", "is no CSV file but an archive or a workbook"),
        (HEADER + '"' + "a" * 200_000 + '",b,1,test\n', "no CSV file"),
    ],
)
def test_files_that_are_not_a_split_are_refused(tmp_path, capsys, text, hint):
    file = tmp_path / "splits.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert audit.main([str(file)]) == 1
    err = capsys.readouterr().err
    assert hint in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_no_file_and_no_argument(tmp_path, capsys):
    assert audit.main([str(tmp_path / "none.csv")]) == 1
    assert audit.main([str(tmp_path)]) == 1
    assert audit.main([]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line[:7] for line in lines] == ["error: "] * 3
    assert "needs one split file" in lines[2]


def test_a_spreadsheet_with_more_columns(tmp_path, capsys):
    file = tmp_path / "splits.csv"
    lines = [f"7,{line},x" for line in clean()]
    text = "\ufeffn,path,speaker,fold,role,note\r\n" + "\r\n".join(lines)
    file.write_bytes(text.encode())
    assert audit.main([str(file)]) == 0
    assert "3 folds, 6 speakers, 18 paths" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("delimiter", "encoding", "first"),
    [(";", "utf-8", ""), ("\t", "utf-16", ""), (";", "utf-8-sig", "sep=;\r\n")],
)
def test_other_tables(tmp_path, capsys, delimiter, encoding, first):
    header = HEADER.strip().title()
    text = "\r\n".join([header, *planted_speaker(clean())]).replace(",", delimiter)
    file = tmp_path / "splits.csv"
    file.write_bytes((first + text).encode(encoding))
    assert audit.main([str(file)]) == 1
    assert capsys.readouterr().out == "leak: fold 1: speaker 1 in train and test\n"


def test_audit_starts_without_tensorflow():
    code = "import sys, emorec_tf.audit; print({'tensorflow', 'av', 'cv2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_each_merge_of_spellings_is_named(tmp_path, capsys):
    lines = ["a.wav,Anna,1,train", "b.wav,anna,1,train", "c.wav,J\u00fcrgen,1,train"]
    lines += ["d.wav,Ju\u0308rgen,1,train", "e.wav,2,1,test", "f.wav,3,1,validation"]
    code, out, err = audited(tmp_path, capsys, lines)
    assert code == 0
    assert out[0].startswith("no leak: 1 fold, 4 speakers, 6 paths")
    merged = "'Anna' = 'anna', 'Ju\u0308rgen' = 'J\u00fcrgen'"
    assert f"warning: speakers of equal names compared as one: {merged}\n" in err
