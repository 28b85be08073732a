"""Corpora: every entry parses its example; files are joined by id; errors are one line."""

from __future__ import annotations

import logging
import pickle
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from places import DATA

from emorec_tf.config.clip import EMOTIONS, Clip
from emorec_tf.datasets.corpora import DATASETS, class_names, clip_from_path, clips, merge_classes
from emorec_tf.errors import UserError

BY_NAME = [name for name, corpus in DATASETS.items() if corpus.pattern]
TRAITS_OF = {
    "ravdess": {"sex": "female", "intensity": "strong", "statement": "dogs", "repetition": "2"},
    "savee": {"sex": "male", "number": "1"},
    "crema-d": {"statement": "DFA", "intensity": "XX"},
    "msp-improv": {"sex": "female", "statement": "01", "scenario": "P", "target": "A"},
    "emodb": {"sex": "male", "statement": "a01"},
    "tess": {"sex": "female", "statement": "back"},
    "nemo": {"sex": "female", "statement": "1"},
    "jl-corpus": {"sex": "female", "statement": "10", "repetition": "1"},
}
SPEAKER_OF = {
    "ravdess": "2",
    "savee": "DC",
    "crema-d": "1001",
    "msp-improv": "F01",
    "emodb": "03",
    "tess": "OAF",
    "nemo": "EB0",
    "jl-corpus": "female1",
}
assert set(SPEAKER_OF) == set(TRAITS_OF) <= set(BY_NAME)


@pytest.mark.parametrize("name", DATASETS)
def test_every_entry_is_complete(name):
    corpus = DATASETS[name]
    for text in (corpus.title, corpus.homepage, corpus.licence, corpus.citation):
        assert text.strip()
    assert corpus.label_meaning
    assert corpus.emotions == class_names(corpus.emotions)
    assert bool(corpus.pattern) != bool(corpus.read)
    assert set(corpus.codes.values()) in (set(), set(corpus.emotions))
    hash(corpus)


@pytest.mark.parametrize("name", BY_NAME)
def test_example_parses_and_a_mangled_one_does_not(name):
    example = DATASETS[name].example
    clip, modality = clip_from_path(name, example)
    assert clip.speaker
    assert clip.emotion in (*DATASETS[name].emotions, *([] if DATASETS[name].codes else [""]))
    assert modality in ("", *DATASETS[name].modalities.values())
    assert set(DATASETS[name].bookkeeping) <= set(clip.traits)
    again, _ = clip_from_path(name, DATASETS[name].id_stem.format(clip_id=clip.clip_id) + ".wav")
    assert again == clip
    stem, suffix = example.rsplit(".", 1)
    for mangled in (f"{stem}.txt", f"{stem[:-2]}.{suffix}", f"{stem}_.{suffix}", f"x{suffix}"):
        assert clip_from_path(name, mangled) is None


@pytest.mark.parametrize("name", SPEAKER_OF)
def test_labels_read_from_example_names(name):
    clip, _ = clip_from_path(name, DATASETS[name].example)
    assert clip.speaker == SPEAKER_OF[name]
    assert TRAITS_OF[name].items() <= clip.traits.items()


@pytest.mark.parametrize("name", BY_NAME)
def test_no_two_corpora_match_the_same_name(name):
    readers = [other for other in BY_NAME if clip_from_path(other, DATASETS[name].example)]
    assert readers == [name]


@pytest.mark.parametrize(
    ("name", "path", "code"),
    [
        ("ravdess", "01-01-09-01-01-01-01.mp4", "09"),
        ("savee", "DC_x01.wav", "x"),
        ("crema-d", "1001_DFA_JOY_XX.wav", "JOY"),
        ("emodb", "03a01Xa.wav", "X"),
        ("nemo", "EB0_joy_1.wav", "joy"),
        ("jl-corpus", "male2_bored_3b_2.wav", "bored"),
    ],
)
def test_unknown_emotion_code(make, name, path, code, refused):
    message = refused(name, make(path))
    assert repr(code) in message
    assert path in message


def test_ravdess_joins_by_id_and_prefers_video_with_audio(make):
    rest = "-01-08-02-02-02-02"
    source = make(
        f"Actor_02/01{rest}.mp4", f"Actor_02/02{rest}.mp4", f"Audio/Actor_02/03{rest}.wav"
    )
    for modality, video, audio in (
        ("auto", "01", "01"),
        ("audio_visual", "01", "01"),
        ("video_only", "02", None),
        ("audio_only", None, "03"),
        ("01", "01", "01"),  # file name codes, the older form of the setting
        ("02", "02", None),
        ("03", None, "03"),
    ):
        (clip,) = clips("ravdess", source, modality=modality)
        assert clip.clip_id == rest[1:]
        assert (clip.video and Path(clip.video).name[:2]) == (video)
        assert (clip.audio and Path(clip.audio).name[:2]) == (audio)


def test_ravdess_without_video_with_audio(make, refused):
    source = make("02-01-08-02-02-02-12.mp4", "03-01-08-02-02-02-12.m4a")
    (clip,) = clips("ravdess", source)
    assert Path(clip.video).name.startswith("02")
    assert Path(clip.audio).name.startswith("03")
    assert (clip.speaker, clip.emotion) == ("12", "surprised")
    assert "modality audio_visual" in refused("ravdess", source, modality="01")


def test_ravdess_songs_only_where_nothing_else(make, caplog):
    source = make("03-02-03-01-01-01-01.wav")
    assert clips("ravdess", source)[0].traits["channel"] == "song"
    make("03-01-03-01-01-01-01.wav")
    with caplog.at_level(logging.WARNING):
        assert [c.traits["channel"] for c in clips("ravdess", source)] == ["speech"]
    assert "left out 1 songs of 2" in caplog.text


def test_ravdess_channels(make, caplog, refused):
    both = make("03-01-03-01-01-01-01.wav", "03-02-03-01-01-01-01.wav", "03-02-04-01-01-01-01.wav")

    def ids(**kwargs) -> list[str]:
        return [clip.clip_id[:5] for clip in clips("ravdess", both, **kwargs)]

    assert ids() == ids(channel="speech") == ["01-03"]
    assert ids(channel="all") == ["01-03", "02-03", "02-04"]
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert ids(channel="song") == ["02-03", "02-04"]
    assert caplog.messages == ["left out 1 speech clips of 3 clips"]
    make("speech/03-01-03-01-01-01-01.wav")
    assert "is song" in refused("ravdess", f"{both}/speech", channel="song")
    assert "'song'" in refused("ravdess", both, channel="sing")
    make("emodb/03a01Fa.wav")
    assert "one kind" in refused("emodb", f"{both}/emodb", channel="song")


def test_tess_names_with_the_marks_of_a_copy(make, caplog, refused):
    source = make("YAF_such_ps.wav", text="one recording")
    make("new/289testYAF_such_ps7.wav", text="one recording")
    make("OA_bite_neutral.wav", "test/12testOAF_such_fear7.wav", "OAF_such_fearless.wav")
    with caplog.at_level(logging.WARNING):
        found = clips("tess", source)
    assert [(c.clip_id, c.speaker, c.emotion) for c in found] == [
        ("OAF_bite_neutral", "OAF", "neutral"),
        ("OAF_such_fear", "OAF", "fearful"),
        ("YAF_such_ps", "YAF", "surprised"),
    ]
    assert found[0].traits == {"statement": "bite", "sex": "female"}
    copies = f"such as {source}/new/289testYAF_such_ps7.wav of {source}/YAF_such_ps.wav"
    assert f"left out 1 exact copies of other files, {copies}" in caplog.messages
    assert any("OAF_such_fearless.wav" in line for line in caplog.messages)
    make("new/289testYAF_such_ps7.wav", text="another recording")
    assert "occurs twice" in refused("tess", source)


def test_nemo_with_and_without_its_table(make):
    source = make("samples/WR0_surprised_64.wav", "samples/EB0_anger_1.wav")
    angry, surprised = clips("nemo", source)
    assert angry.traits == {"statement": "1", "sex": "female"}
    assert (surprised.emotion, surprised.traits["sex"]) == ("surprised", "male")
    header = "file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage\n"
    row = "WR0_surprised_64.wav\tsurprised\tUcho, \u017cyje.\tucho \u017cyje\t  WR0\tmale\t23\n"
    make("data.tsv", text=header + row)
    for folder in (source, f"{source}/samples"):
        angry, surprised = clips("nemo", folder)
        person = {"sex": "male", "age": "23", "text": "Ucho, \u017cyje."}
        assert surprised.traits == {"statement": "64", **person}
        assert angry.traits == {"statement": "1", "sex": "female"}


def test_jl_corpus_leaves_out_what_no_class_stands_for(make, caplog):
    source = make(
        "female1_angry_10a_1.wav",
        "male2_neutral_1b_2.wav",
        "male2_anxious_1b_2.wav",
        "male2_anxious_2b_2.wav",
        "male2_excited_1b_2.wav",
    )
    with caplog.at_level(logging.WARNING):
        found = clips("jl-corpus", source)
    assert [(c.speaker, c.emotion, c.session) for c in found] == [
        ("female1", "angry", "a"),
        ("male2", "neutral", "b"),
    ]
    assert caplog.messages == [
        "left out 3 clips of emotions that no class stands for: 2 anxious, 1 excited"
    ]


def test_savee_layouts_are_equal(tmp_path):
    codes = ("a", "d", "f", "h", "n", "sa", "su")
    for speaker in ("DC", "JE"):
        for code in codes:
            for number in (1, 12):
                for path in (
                    f"tree/AudioVisualClip/{speaker}/{code}{number}.avi",
                    f"tree/AudioData/{speaker}/{code}{number:02d}.wav",
                    f"flat/{speaker}_{code}{number:02d}.wav",
                    f"flat/{speaker}_{code}{number:02d}.avi",
                ):
                    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
                    (tmp_path / path).touch()
    tree, flat = (clips("savee", str(tmp_path / layout)) for layout in ("tree", "flat"))
    assert len(tree) == 28
    assert all(c.video.endswith(".avi") and c.audio.endswith(".wav") for c in tree + flat)
    bare = [[replace(c, video=None, audio=None) for c in some] for some in (tree, flat)]
    assert bare[0] == bare[1]
    one_speaker = clips("savee", str(tmp_path / "tree/AudioData/JE"))
    assert {c.speaker for c in one_speaker} == {"JE"}
    assert class_names(c.emotion for c in tree) == DATASETS["savee"].emotions


def test_video_alone_serves_audio_too(make):
    (clip,) = clips("crema-d", make("VideoFlash/1001_DFA_ANG_XX.flv"))
    assert clip.audio == clip.video
    source = make("AudioMP3/1001_DFA_ANG_XX.mp3", "AudioWAV/1001_DFA_ANG_XX.wav")
    (clip,) = clips("crema-d", source)
    assert clip.video.endswith(".flv")
    assert clip.audio.endswith(".wav")  # before the mp3: lossless


def test_user_mistakes(make, tmp_path, refused):
    assert "'ravdess'" in refused("ravdes", "anywhere")
    assert "does not exist" in refused("ravdess", str(tmp_path / "nowhere"))
    message = refused("ravdess", str(tmp_path))
    assert DATASETS["ravdess"].example in message
    source = make("a/03a01Fa.wav", "b/03a01Fa.wav")
    assert "twice" in refused("emodb", source)
    assert "is a file" in refused("emodb", f"{source}/a/03a01Fa.wav")
    assert "one kind" in refused("emodb", f"{source}/a", label="perceived")
    assert "one kind" in refused("emodb", f"{source}/a", modality="01")
    assert "'perceived'" in refused("crema-d", source, label="percieved")
    assert "'04'" in refused("ravdess", source, modality="04")
    assert "'video_only'" in refused("ravdess", source, modality="vide_only")


def test_ignored_files_are_counted(make, caplog):
    source = make(
        "03a01Fa.wav", "holiday.mp4", "03a01Fa.TextGrid", "03a01Na.TextGrid", "readme.txt"
    )
    make(".03a01Na.wav", "__MACOSX/x.wav", "._03a01Fa.wav", "more/.DS_Store")
    with caplog.at_level(logging.WARNING):
        assert len(clips("emodb", source)) == 1
    assert caplog.messages == [
        f"skipped 3 leftovers of macOS below {source}, such as ._03a01Fa.wav",
        "left out 3 files not named like emodb's: 2 .textgrid (such as 03a01Fa.TextGrid), 1 .mp4 "
        "(such as holiday.mp4)",
    ]


def test_a_corpus_of_links(make, tmp_path):
    source = make(
        "real/Actor_01/03-01-03-01-01-01-01.wav", "real/Actor_02/03-01-03-01-01-01-02.wav"
    )
    (tmp_path / "links").mkdir()
    for actor in ("Actor_01", "Actor_02"):
        (tmp_path / "links" / actor).symlink_to(tmp_path / "real" / actor)
    assert [c.speaker for c in clips("ravdess", f"{source}/links")] == ["1", "2"]


def test_a_corpus_read_as_own_clips(make, refused):
    source = make("r/Actor_01/03-01-03-01-01-01-01.wav")
    message = refused("folder", f"{source}/r")
    assert "the speaker is unknown" in message
    assert "is named like a file of ravdess: is it --dataset ravdess?" in message
    message = refused("folder", source)  # "r" would be a speaker, "Actor_01" a class
    assert "is Actor_01 an emotion? the file is named like one of ravdess; is it --dat" in message
    make("emo/ann/angry/03a01Wa.wav")
    assert [c.emotion for c in clips("folder", f"{source}/emo")] == ["angry"]


def test_what_a_folder_holds_instead(make, refused):
    source = make("Actor_01.zip", "Actor_02.zip")
    expected = "it holds 2 archives, such as Actor_01.zip, not unpacked: unpack it"
    assert expected in refused("ravdess", source)
    assert expected in refused("folder", source)
    assert "is an archive that was not unpacked" in refused("ravdess", f"{source}/Actor_01.zip")


def test_pointers_and_links_to_nothing(make, tmp_path, refused):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    source = make("lfs/03a01Fa.wav", "lfs/03a01Na.wav", text=pointer)
    expected = "2 of 2 files are git-lfs pointers, not recordings, such as"
    assert expected in (message := refused("emodb", f"{source}/lfs"))
    assert "git lfs pull" in message
    make("annex/03a01Na.wav")
    (tmp_path / "annex/03a01Fa.wav").symlink_to(tmp_path / "gone")
    assert "1 of 2 files are links to nothing, such as" in refused("emodb", f"{source}/annex")


def test_join_corpora(make, caplog, refused):
    source = make(
        "r/03-01-02-01-01-01-01.wav",  # calm
        "r/03-01-03-01-01-01-01.wav",  # happy
        "s/DC_h01.wav",
        "s/DC_n01.wav",
    )
    both = f"{source}/r, {source}/s"
    with caplog.at_level(logging.WARNING):
        joined = clips("ravdess+savee", both)
    assert [c.clip_id for c in joined] == ["ravdess/01-03-01-01-01-01", "savee/DC_h01"]
    assert [c.speaker for c in joined] == ["ravdess/1", "savee/DC"]
    assert "calm" in caplog.text
    assert "one folder for each" in refused("ravdess+savee", source)
    assert "each corpus once" in refused("savee+savee", both)
    (tmp := Path(source) / "s/DC_h01.wav").unlink()
    assert not tmp.exists()
    assert "no emotion in common" in refused("ravdess+savee", both)
    # With 7 classes calm counts as neutral before the common emotions are chosen.
    assert "have 1 (neutral)" in refused("ravdess+savee", both, classes="7")


def test_classes_of_several_corpora(make, caplog, refused):
    source = make("e/03a01Fa.wav", "e/03a01Na.wav", "e/03a01La.wav", "t/OAF_a_happy.wav")
    make("t/OAF_a_ps.wav", "t/OAF_a_neutral.wav")
    folders = f"{source}/e,{source}/t"

    def found(**kwargs) -> tuple[str, ...]:
        return class_names(c.emotion for c in clips("emodb+tess", folders, **kwargs))

    assert found() == found(classes="shared") == ("neutral", "happy")
    with caplog.at_level(logging.INFO):
        assert found(classes="union") == ("neutral", "happy", "surprised", "boredom")
    line = "classes that not every corpus has: emodb has no surprised; tess has no boredom"
    assert line in caplog.messages
    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert found(classes="happy,surprised") == ("happy", "surprised")
    assert "classes that not every corpus has: emodb has no surprised" in caplog.messages
    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert found(label_map="boredom=,surprised=happy", classes="union") == ("neutral", "happy")
    assert "emodb: boredom left out (1 clips)" in caplog.messages
    assert "tess: surprised as happy (1 clips)" in caplog.messages
    assert "no clip is sad" in refused("emodb+tess", folders, classes="happy,sad")


def clips_of(*emotions: str) -> list[Clip]:
    return [Clip(clip_id=e, speaker="1", emotion=e, traits={}) for e in emotions]


def test_merge_classes():
    eight = clips_of(*EMOTIONS[:8])
    assert merge_classes(eight, None) == eight
    assert merge_classes(eight, "8") == eight
    seven = merge_classes(eight, "7")
    assert Counter(c.emotion for c in seven)["neutral"] == 2
    assert class_names(c.emotion for c in seven) == EMOTIONS[:1] + EMOTIONS[2:8]
    assert merge_classes(seven, "7") == seven
    assert [c.emotion for c in merge_classes(eight, "sad, happy")] == ["happy", "sad"]
    for classes, message in (
        ("8", "have 3"),
        ("7", "have 3"),
        ("angy", "no clip is 'angy'; did you mean 'angry'? (or 7, 8, shared, union)"),
        ("boredom", "no clip is boredom; there are neutral,happy,sad (or 7, 8, shared, union)"),
        ("", "no clip is ''; there are neutral,happy,sad"),
        ('"sad', "quotes that do not fit"),
    ):
        with pytest.raises(UserError, match=re.escape(message)):
            merge_classes(eight[:1] + eight[2:4], classes)


def test_clips_can_be_sent_to_other_processes(make):
    found = clips("emodb", make("03a01Fa.wav"))
    assert pickle.loads(pickle.dumps(found)) == found


def test_import_is_light():
    heavy = "{'tensorflow', 'keras', 'pandas', 'cv2', 'av', 'mediapipe', 'numpy'}"
    code = f"import sys, emorec_tf.datasets.corpora; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.data("ravdess/clips")
def test_real_ravdess():
    found = clips("ravdess", str(DATA / "ravdess/clips"))
    per_class = Counter(c.emotion for c in found)
    assert per_class == {e: 80 if e == "neutral" else 160 for e in EMOTIONS[:8]}
    assert Counter(c.speaker for c in found) == {str(n): 60 for n in range(1, 21)}
    assert [c.clip_id for c in found] == sorted({c.clip_id for c in found})
    assert all(c.video == c.audio and Path(c.video).is_file() for c in found)
    assert Counter(c.traits["sex"] for c in found) == {"male": 600, "female": 600}
    assert Counter(c.emotion for c in merge_classes(found, "7"))["neutral"] == 240


@pytest.mark.data("ravdess/native")
def test_real_native_videos_are_mixed():
    found = {c.clip_id: c for c in clips("ravdess", str(DATA / "ravdess/native"))}
    assert len(found) == 4
    assert [i for i, c in found.items() if c.audio is None] == ["01-04-01-02-01-01"]


@pytest.mark.data("emodb/flac")
def test_real_emodb():
    found = clips("emodb", str(DATA / "emodb/flac"))
    assert len(found) == DATASETS["emodb"].clip_count
    assert Counter(c.emotion for c in found) == {  # Burkhardt et al. 2005, released set
        "angry": 127,
        "boredom": 81,
        "disgust": 46,
        "fearful": 69,
        "happy": 71,
        "sad": 62,
        "neutral": 79,
    }
    assert len({c.speaker for c in found}) == DATASETS["emodb"].speaker_count
    assert Counter(c.traits["sex"] for c in found) == {"female": 302, "male": 233}
    assert all(c.video is None for c in found)


@pytest.mark.data("ravdess")
def test_two_copies_of_one_corpus(refused):
    assert "twice" in refused("ravdess", str(DATA / "ravdess"))
