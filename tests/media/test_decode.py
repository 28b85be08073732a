"""Decoding against videos of known content, reference resampling, and damaged files."""

from __future__ import annotations

import struct
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr
from places import DATA

from emorec_tf.errors import UserError
from emorec_tf.media import decode
from emorec_tf.media.samplers import resampled

RAVDESS = DATA / "ravdess"
TICKS = 12_800  # of the videos' time base, per second


def brightness(seconds: float) -> int:
    return round(30 + 60 * seconds)


def image(level: int) -> np.ndarray:
    """Grey, with a white top left corner that shows rotation."""
    array = np.full((48, 64, 3), level, np.uint8)
    array[:16, :16] = 255
    return array


def write_video(path: Path, times: list[float], seconds: float, rate_hz: int = 48_000) -> Path:
    """Frames shown at ``times`` whose level encodes the time, with a 440 Hz tone from 0 on."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=Fraction(TICKS), options={"qp": "0"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv444p"
        video.time_base = video.codec_context.time_base = Fraction(1, TICKS)
        track = container.add_stream("aac", rate=rate_hz, layout="mono")
        packets = []
        for time, following in zip(times, [*times[1:], seconds], strict=True):
            frame = av.VideoFrame.from_ndarray(image(brightness(time)), "rgb24")
            frame.pts, frame.time_base = round(time * TICKS), Fraction(1, TICKS)
            frame.duration = round((following - time) * TICKS)
            packets += video.encode(frame)
        packets += video.encode(None)
        tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate_hz)) / rate_hz)
        audio = av.AudioFrame.from_ndarray(tone[None].astype(np.float32), "fltp", "mono")
        audio.sample_rate, audio.pts, audio.time_base = rate_hz, 0, Fraction(1, rate_hz)
        packets += track.encode(audio) + track.encode(None)
        container.mux(sorted(packets, key=lambda packet: packet.dts * packet.time_base))
    return path


def steady(rate: float, seconds: float, start: float = 0.0) -> list[float]:
    return list(np.arange(start, seconds - 0.5 / rate, 1 / rate))


def levels(recording: decode.Recording) -> list[int]:
    return [int(np.median(frame[20:, 20:])) for frame in recording.frames]


def read(path: Path, **changes) -> decode.Recording:
    settings = {"sample_rate_hz": 16_000, "clip_seconds": None, "frame_count": 0} | changes
    return decode.decode(str(path), **settings)


def write_wav(path: Path, samples: np.ndarray, rate_hz: int, subtype: str = "FLOAT") -> Path:
    soundfile.write(path, samples, rate_hz, subtype=subtype)
    return path


def tone(rate_hz: int, hertz: float = 440.0, seconds: float = 1.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate_hz * seconds)) / rate_hz)


def pitch(waveform: np.ndarray, rate_hz: int) -> float:
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform)), 2**18))
    return float(spectrum.argmax() * rate_hz / 2**18)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("video")
    return write_video(folder / "video.mp4", steady(25, 3.0), 3.0)


def test_nearest_frames_are_exact(video: Path) -> None:
    recording = read(video, frame_count=8)
    targets = (np.arange(8) + 0.5) * 3 / 8
    nearest = np.round(targets * 25) / 25
    np.testing.assert_allclose(recording.frame_seconds, nearest, atol=1e-6)
    assert np.abs(np.subtract(levels(recording), [brightness(t) for t in nearest])).max() <= 1
    assert recording.seconds == pytest.approx(3.0, abs=0.001)


def test_sparse_frames_are_at_most_two_off_and_keep_their_times(video: Path) -> None:
    exact, sparse = read(video, frame_count=8), read(video, frame_count=8, sparse=True)
    assert np.abs(exact.frame_seconds - sparse.frame_seconds).max() <= 2 / 25 + 1e-6
    shown = [brightness(time) for time in sparse.frame_seconds]
    assert np.abs(np.subtract(levels(sparse), shown)).max() <= 1


def test_audio_keeps_pitch_length_and_level(video: Path) -> None:
    waveform = read(video).waveform
    assert waveform is not None
    assert waveform.dtype == np.float32
    assert len(waveform) == 48_000
    assert pitch(waveform, 16_000) == pytest.approx(440, abs=0.2)
    assert np.sqrt(np.mean(waveform[8000:-8000] ** 2)) == pytest.approx(0.5 / 2**0.5, rel=0.02)
    # The encoder's priming samples are gone: the phase is the written one.
    assert np.corrcoef(waveform, tone(16_000, 440, 3))[0, 1] > 0.99


def test_window_is_the_middle(video: Path) -> None:
    recording = read(video, clip_seconds=1.0, frame_count=5, start_seconds=0.4, end_seconds=2.4)
    assert recording.start_seconds == pytest.approx(0.9)
    assert len(recording.waveform) == 16_000
    shown = recording.frame_seconds + 0.9
    assert np.abs(shown - (0.9 + 0.1 + 0.2 * np.arange(5))).max() <= 0.0201
    assert np.abs(np.subtract(levels(recording), [brightness(t) for t in shown])).max() <= 1
    whole = read(video).waveform
    np.testing.assert_allclose(recording.waveform[200:], whole[14_600:30_400], atol=2e-3)


def test_unwanted_streams_are_absent_and_the_window_is_the_same(video: Path) -> None:
    audio = read(video, frame_count=4, want_video=False)
    assert audio.frames == []
    assert audio.waveform is not None
    frames = read(video, frame_count=4, want_audio=False)
    assert frames.waveform is None
    assert len(frames.frames) == 4
    assert audio.seconds == frames.seconds


def test_frame_rate_does_not_matter(tmp_path: Path) -> None:
    slow = read(write_video(tmp_path / "slow.mp4", steady(3, 3.0, 1 / 6), 3.0), frame_count=6)
    fast = read(write_video(tmp_path / "fast.mp4", steady(30, 3.0), 3.0), frame_count=6)
    assert np.abs(slow.frame_seconds - fast.frame_seconds).max() <= 1 / 6 + 1 / 60 + 1e-6
    assert np.abs(np.subtract(levels(slow), levels(fast))).max() <= 60 * (1 / 6 + 1 / 60) + 2
    assert slow.seconds == pytest.approx(fast.seconds, abs=0.001)


def test_few_frames_are_shared(tmp_path: Path) -> None:
    recording = read(write_video(tmp_path / "few.mp4", [0.0, 1.0], 2.0), frame_count=8)
    assert len(recording.frames) == 8
    assert len({id(frame) for frame in recording.frames}) == 2


def test_variable_frame_rate(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.15, 1.2, 1.3, 2.6]
    recording = read(write_video(tmp_path / "vfr.mp4", times, 3.0), frame_count=9)
    targets = (np.arange(9) + 0.5) / 3
    nearest = [min(times, key=lambda time, at=target: abs(time - at)) for target in targets]  # type: ignore[misc]
    np.testing.assert_allclose(recording.frame_seconds, nearest, atol=1e-4)
    assert np.abs(np.subtract(levels(recording), [brightness(t) for t in nearest])).max() <= 1


@pytest.mark.parametrize("suffix", ["mkv", "ts", "mov"])
def test_other_containers_give_the_same_times(tmp_path: Path, suffix: str) -> None:
    recording = read(write_video(tmp_path / f"a.{suffix}", steady(25, 2.0), 2.0), frame_count=4)
    np.testing.assert_allclose(recording.frame_seconds, [0.25, 0.75, 1.25, 1.75], atol=0.035)
    shown = [brightness(time) for time in (0.25, 0.75, 1.25, 1.75)]
    assert np.abs(np.subtract(levels(recording), shown)).max() <= 60 * 0.04 + 1
    assert recording.seconds == pytest.approx(2.0, abs=0.05)


def test_seeking_in_a_long_video_gives_the_same_frames(tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=10, options={"g": "25"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        track = container.add_stream("aac", rate=16_000, layout="mono")
        ramp = np.linspace(0, 1, 50 * 16_000) * tone(16_000, 440, 50)
        audio = av.AudioFrame.from_ndarray(ramp[None].astype(np.float32), "fltp", "mono")
        audio.sample_rate, audio.pts = 16_000, 0
        packets = track.encode(audio) + track.encode(None)
        for index in range(500):
            packets += video.encode(av.VideoFrame.from_ndarray(image(30 + index // 3), "rgb24"))
        packets += video.encode(None)
        container.mux(sorted(packets, key=lambda packet: packet.dts * packet.time_base))
    part = read(path, frame_count=4, start_seconds=41.3, end_seconds=43.3)
    np.testing.assert_allclose(part.frame_seconds, [0.25, 0.75, 1.25, 1.75], atol=0.051)
    expected = [30 + round((41.3 + time) * 10) // 3 for time in part.frame_seconds]
    assert np.abs(np.subtract(levels(part), expected)).max() <= 2
    whole = read(path).waveform[round(41.3 * 16_000) : round(43.3 * 16_000)]
    assert np.corrcoef(part.waveform, whole)[0, 1] > 0.999


@pytest.mark.parametrize(
    ("suffix", "video_codec", "audio_codec", "rate_hz"),
    [
        ("avi", "mpeg4", "libmp3lame", 44_100),
        ("webm", "libvpx", "libopus", 48_000),
        ("mp3", None, "libmp3lame", 44_100),
        ("ogg", None, "libopus", 48_000),
        ("aac", None, "aac", 44_100),
        ("mpg", "mpeg2video", "mp2", 48_000),
    ],
)
def test_common_formats(
    tmp_path: Path, suffix: str, video_codec: str | None, audio_codec: str, rate_hz: int
) -> None:
    path = tmp_path / f"a.{suffix}"
    with av.open(str(path), "w") as container:
        packets: list[av.Packet] = []
        if video_codec:
            video = container.add_stream(video_codec, rate=25, options={"b": "2000000"})
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        track = container.add_stream(audio_codec, rate=rate_hz, layout="mono")
        wanted = track.codec_context.format.name
        samples = tone(rate_hz, 440, 2)[None].astype(np.float32)
        resampler = av.AudioResampler(wanted, "mono", rate_hz, track.codec_context.frame_size)
        audio = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
        audio.sample_rate, audio.pts = rate_hz, 0
        for frame in resampler.resample(audio) + resampler.resample(None):
            packets += track.encode(frame)
        packets += track.encode(None)
        for index in range(50 if video_codec else 0):
            level = brightness(index / 25)
            packets += video.encode(av.VideoFrame.from_ndarray(image(level), "rgb24"))
        packets += video.encode(None) if video_codec else []
        container.mux(sorted(packets, key=lambda packet: packet.dts * packet.time_base))
    recording = read(path, frame_count=3)
    assert recording.seconds == pytest.approx(2.0, abs=0.1)
    assert len(recording.waveform) == pytest.approx(32_000, abs=1600)
    assert pitch(recording.waveform, 16_000) == pytest.approx(440, abs=0.3)
    expected = [brightness(time) for time in (1 / 3, 1.0, 5 / 3)] if video_codec else []
    assert np.abs(np.subtract(levels(recording), expected)).max(initial=0) <= 6
    assert recording.notes == ()


def turn(path: Path, matrix: tuple[int, ...]) -> Path:
    """Write a 2x2 display matrix into the video's track header (ISO 14496-12, tkhd)."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: the matrix follows 40 bytes of fields
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("matrix", "corner", "shape"),
    [
        ((1, 0, 0, 1), (0, 0), (48, 64)),
        ((0, 1, -1, 0), (0, -1), (64, 48)),  # a quarter clockwise: top left goes top right
        ((-1, 0, 0, -1), (-1, -1), (48, 64)),
        ((0, -1, 1, 0), (-1, 0), (64, 48)),
    ],
)
def test_rotation_is_undone(
    tmp_path: Path, matrix: tuple[int, ...], corner: tuple[int, int], shape: tuple[int, int]
) -> None:
    path = turn(write_video(tmp_path / "turned.mp4", steady(10, 1.0), 1.0), matrix)
    frame = read(path, frame_count=1).frames[0]
    assert frame.shape == (*shape, 3)
    found = {at: int(frame[at].min()) for at in ((0, 0), (0, -1), (-1, 0), (-1, -1))}
    assert max(found, key=found.__getitem__) == corner
    assert found[corner] > 250


def test_an_image_is_a_video_of_one_frame(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    cv2.imwrite(str(tmp_path / "still.png"), image(100)[..., ::-1])
    recording = read(tmp_path / "still.png", frame_count=3)
    assert recording.waveform is None
    np.testing.assert_array_equal(recording.frames[2], image(100))


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "PCM_U8"])
def test_resampling_agrees_with_soxr(tmp_path: Path, rate_hz: int, subtype: str) -> None:
    band = np.random.default_rng(0).normal(size=rate_hz) * 0.1
    spectrum = np.fft.rfft(band)
    spectrum[int(0.4 * min(rate_hz, 16_000)) :] = 0  # below either filter's edge
    samples = np.fft.irfft(spectrum, rate_hz)
    path = write_wav(tmp_path / "a.wav", samples, rate_hz, subtype)
    ours = read(path).waveform
    reference = soxr.resample(soundfile.read(path)[0], rate_hz, 16_000)
    assert abs(len(ours) - len(reference)) <= 1
    inner = slice(400, 15_600)  # the two treat the ends differently
    error = np.abs(ours[inner] - reference[inner]).max() / np.abs(reference).max()
    assert error < 0.01


def test_opposite_phase_does_not_vanish(tmp_path: Path) -> None:
    left = tone(16_000)
    recording = read(write_wav(tmp_path / "a.wav", np.stack([left, -left], 1), 16_000))
    np.testing.assert_allclose(np.abs(recording.waveform), np.abs(left), atol=1e-6)
    assert any("cancel" in note for note in recording.notes)


def test_plain_stereo_is_the_mean(tmp_path: Path) -> None:
    channels = np.stack([tone(16_000, 300), tone(16_000, 500)], 1)
    recording = read(write_wav(tmp_path / "a.wav", channels, 16_000))
    np.testing.assert_allclose(recording.waveform, channels.mean(1), atol=1e-6)
    assert recording.notes == ()


@pytest.mark.parametrize("count", [3, 6, 8, 12])
def test_many_channels_do_not_clip(tmp_path: Path, count: int) -> None:
    full = np.tile(tone(48_000)[:, None] * 1.999, (1, count))
    recording = read(write_wav(tmp_path / "a.wav", full, 48_000, "PCM_16"))
    assert np.abs(recording.waveform).max() <= 1
    assert np.abs(recording.waveform).max() == pytest.approx(1, abs=0.02)


def test_surround_weighs_the_centre_channel_most(tmp_path: Path) -> None:
    channels = np.zeros((48_000, 6), np.float32)
    channels[:, 2] = tone(48_000)  # FL FR FC LFE SL SR
    with av.open(str(tmp_path / "a.flac"), "w") as container:
        track = container.add_stream("flac", rate=48_000, layout="5.1")
        frame = av.AudioFrame.from_ndarray(
            np.round(channels * 32767).astype(np.int16).reshape(1, -1), "s16", "5.1"
        )
        frame.sample_rate = 48_000
        container.mux(track.encode(frame) + track.encode(None))
    waveform = read(tmp_path / "a.flac", sample_rate_hz=48_000).waveform
    share = 1 / (1 + 2 * 0.7071 + 2 * 0.5)
    np.testing.assert_allclose(waveform, channels[:, 2] * share, atol=1e-4)


def test_too_loud_float_audio_is_scaled_with_a_note(tmp_path: Path) -> None:
    recording = read(write_wav(tmp_path / "a.wav", tone(16_000) * 4, 16_000))
    assert np.abs(recording.waveform).max() == pytest.approx(1, abs=1e-6)
    assert any("scaled" in note for note in recording.notes)


def test_late_audio_is_padded(tmp_path: Path) -> None:
    path = tmp_path / "late.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        track = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        packets = []
        for index in range(20):
            frame = av.VideoFrame.from_ndarray(image(100), "rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            packets += video.encode(frame)
        samples = np.full((1, 16_000), 16_384, np.int16)
        audio = av.AudioFrame.from_ndarray(samples, "s16", "mono")
        audio.sample_rate, audio.pts, audio.time_base = 16_000, 8_000, Fraction(1, 16_000)
        packets += video.encode(None) + track.encode(audio) + track.encode(None)
        container.mux(packets)
    waveform = read(path).waveform
    assert np.abs(waveform[:7_900]).max() == 0
    np.testing.assert_allclose(waveform[8_100:23_900], 0.5, atol=1e-3)


def complaint(path: Path, **changes) -> str:
    with pytest.raises(UserError) as caught:
        read(path, **({"frame_count": 3} | changes))
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_missing_empty_and_foreign_files(tmp_path: Path) -> None:
    assert "no such file" in complaint(tmp_path / "nowhere.mp4")
    assert "no such file" in complaint(tmp_path)
    (tmp_path / "empty.mp4").touch()
    assert "0 bytes" in complaint(tmp_path / "empty.mp4")
    (tmp_path / "text.mp4").write_text("This is not a video.\n" * 50)
    assert "no media file" in complaint(tmp_path / "text.mp4")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\n/etc/hostname\n")
    complaint(tmp_path / "list.m3u8")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_a_number(tmp_path: Path, value: float) -> None:
    samples = tone(48_000)
    samples[24_000] = value
    assert "not numbers" in complaint(write_wav(tmp_path / "a.wav", samples, 48_000))


def test_hostile_sample_rate(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", tone(16_000), 16_000, "PCM_16")
    data = bytearray(path.read_bytes())
    data[24:28] = struct.pack("<I", 2**31 - 1)
    path.write_bytes(data)
    assert "2147483647" in complaint(path)


def test_hostile_frame_size(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "a.bmp"
    cv2.imwrite(str(path), image(0))
    data = bytearray(path.read_bytes())
    data[18:26] = struct.pack("<ii", 60_000, 60_000)
    path.write_bytes(data)
    complaint(path)


def test_wav_cut_short_and_wav_from_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(np.zeros(32_000, np.int16).tobytes())
    data = path.read_bytes()
    path.write_bytes(data[:20_000])
    assert "cut short" in complaint(path)
    path.write_bytes(data[:40] + b"\xff\xff\xff\xff" + data[44:20_000])
    assert len(read(path).waveform) == (20_000 - 44) // 2
    path.write_bytes(data[:-100])  # a few missing samples are accepted
    assert len(read(path).waveform) == 32_000 - 50


def test_codecs_outside_the_list_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        video = container.add_stream("magicyuv", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv444p"
        frame = av.VideoFrame.from_ndarray(image(9), "rgb24")
        container.mux(video.encode(frame) + video.encode(None))
    assert "magicyuv" in complaint(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"start_seconds": 9.0}, "lasts 3.0"),
        ({"start_seconds": 2.0, "end_seconds": 1.0}, "correct"),
        ({"start_seconds": -1.0}, "correct"),
    ],
)
def test_impossible_windows(video: Path, changes: dict[str, float], words: str) -> None:
    assert words in complaint(video, **changes)


def outcome(path: Path) -> str:
    """One word for the outcome of a damaged file; anything but UserError fails the test."""
    try:
        recording = read(path, frame_count=4)
    except UserError as error:
        return "two lines" if "\n" in str(error) else "refused"
    return "read" if recording.seconds < 2.6 else "whole"


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_cut_anywhere(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"a.{suffix}", steady(25, 3.0), 3.0)
    data = path.read_bytes()
    cuts = np.linspace(1, len(data) - 1, 24, dtype=int)
    outcomes = []
    for cut in cuts:
        path.write_bytes(data[:cut])
        outcomes.append(outcome(path))
    if suffix == "mp4":
        assert set(outcomes[:-1]) == {"refused"}  # the index is at the end
    if suffix == "mkv":
        assert set(outcomes[: int(0.8 * len(cuts))]) == {"refused"}


def test_data_cut_behind_a_leading_index(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", steady(25, 3.0), 3.0)
    path = tmp_path / "fast.mp4"
    with (
        av.open(str(source)) as reader,
        av.open(str(path), "w", options={"movflags": "faststart"}) as writer,
    ):
        streams = {s.index: writer.add_stream_from_template(s) for s in reader.streams}
        for packet in reader.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                writer.mux(packet)
    data = path.read_bytes()
    body = data.index(b"mdat")
    for share in (0.1, 0.3, 0.5, 0.7, 0.85):
        path.write_bytes(data[: body + int(share * (len(data) - body))])
        assert outcome(path) == "refused"


def test_flipped_bytes(video: Path, tmp_path: Path) -> None:
    data = video.read_bytes()
    random = np.random.default_rng(1)
    for _ in range(60):
        damaged = bytearray(data)
        for at in random.integers(0, len(data), 40):
            damaged[at] = random.integers(256)
        (tmp_path / "a.mp4").write_bytes(damaged)
        assert outcome(tmp_path / "a.mp4") != "two lines"


def test_nothing_reaches_stderr(video: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    (tmp_path / "a.mp4").write_bytes(video.read_bytes()[:-2000])
    outcome(tmp_path / "a.mp4")
    assert capfd.readouterr() == ("", "")


@pytest.mark.data("ravdess/clips", "ravdess/native")
def test_real_clip_and_its_full_video_agree() -> None:
    name = "Actor_01/01-01-08-02-02-02-01.mp4"
    small = read(RAVDESS / "clips" / name, frame_count=8)
    full = read(RAVDESS / "native" / name, frame_count=8)
    assert small.seconds == pytest.approx(full.seconds, abs=0.15)
    assert np.abs(small.frame_seconds - full.frame_seconds).max() < 0.35
    spectra = [np.fft.rfft(part.waveform, 2**17) for part in (full, small)]
    match = np.fft.irfft(spectra[0] * spectra[1].conj())
    energy = np.sqrt(np.sum(full.waveform**2) * np.sum(small.waveform**2))
    assert match.max() / energy > 0.98
    assert (match.argmax() + 1600) % 2**17 < 3200  # within 0.1 s of each other
    assert full.frames[0].shape == (720, 1280, 3)


@pytest.mark.parametrize(("rate_hz", "wanted_hz"), [(48000, 16000), (44100, 16000), (16000, 48000)])
def test_resampled_audio_is_that_of_a_reference(rate_hz: int, wanted_hz: int) -> None:
    seconds = np.arange(2 * rate_hz) / rate_hz
    audio = 0.3 * np.sin(2 * np.pi * 440 * seconds) + 0.2 * np.sin(2 * np.pi * 3000 * seconds)
    ours = resampled(audio.astype(np.float32), rate_hz, wanted_hz)
    reference = soxr.resample(audio, rate_hz, wanted_hz)
    assert abs(len(ours) - len(reference)) <= 1
    inside = slice(wanted_hz // 50, -wanted_hz // 50)  # filters ring differently at the ends
    assert np.abs(ours - reference[: len(ours)])[inside].max() < 2e-4
    assert resampled(ours, wanted_hz, wanted_hz) is ours


def test_audio_can_keep_its_own_rate(tmp_path: Path) -> None:
    path = tmp_path / "own.wav"
    audio = np.sin(np.arange(22050) / 20).astype(np.float32) / 2
    soundfile.write(path, audio, 22050, subtype="FLOAT")
    read = decode.decode(str(path), sample_rate_hz=None, clip_seconds=None)
    assert read.audio_rate_hz == 22050
    np.testing.assert_allclose(read.waveform, audio, atol=1e-6)
