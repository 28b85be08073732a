"""People are the same through a video whose frames change their size."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from made_videos import write

from emorec_tf.features import face_tracks
from emorec_tf.features.face_detection import Face
from emorec_tf.inference import face_watcher
from emorec_tf.inference.face_watcher import Watcher
from emorec_tf.inference.long_media import person_entry
from emorec_tf.media.container import open_media
from emorec_tf.media.decode_windows import Windows

LARGE, SMALL = (480, 640), (240, 320)
FACES = (Face(60, 100, 120, 150, 0.9), Face(400, 120, 110, 140, 0.9))  # of the large frames


def detect(image: np.ndarray) -> list[Face]:
    """Two people who sit still."""
    faces = [face_tracks.resized(face, LARGE, image.shape[:2]) for face in FACES]
    return [face for face in faces if face]


def frames_of(sizes: list[tuple[int, int]]) -> list[np.ndarray]:
    return [np.full((*size, 3), 90, np.uint8) for size in sizes]


@pytest.mark.parametrize("sizes", [[LARGE, SMALL], [SMALL, LARGE], [LARGE, (640, 480), SMALL]])
def test_a_size_that_changes_splits_nobody(sizes: list[tuple[int, int]]) -> None:
    watcher = Watcher(detect)
    seen = [
        face_watcher.shot_of(image, object(), at / 6, watcher).people
        for at, image in enumerate(frames_of([size for size in sizes for _ in range(6)]))
    ]
    assert [list(people) for people in seen] == [[0, 1]] * len(seen)
    # Each is cut out of its own frame, whatever that one's size.
    last = seen[-1][0]
    first = face_tracks.resized(FACES[0], LARGE, sizes[-1])
    assert last.face.width / last.scale_x == pytest.approx(first.width, abs=0.1)
    assert last.left + last.face.x / last.scale_x == pytest.approx(first.x, abs=0.1)
    place = face_tracks.resized(FACES[0], LARGE, sizes[0])
    box = person_entry(1, watcher.crowd[0])["box"]
    assert box == [round(side) for side in (place.x, place.y, place.width, place.height)]


def two_sizes(path: Path) -> Path:
    """Write VP8 whose key frames change their size, as browsers record a video call."""
    packets = []
    for number, (height, width) in enumerate((LARGE, SMALL)):
        part = path.with_name(f"{number}.webm")
        with av.open(str(part), "w") as container:
            video = container.add_stream("libvpx", 10)
            video.width, video.height, video.pix_fmt = width, height, "yuv420p"
            for image in frames_of([(height, width)] * 20):
                container.mux(video.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
            container.mux(video.encode(None))
        with av.open(str(part)) as container:
            packets += [
                (bytes(packet), packet.pts + 2000 * number, packet.is_keyframe)
                for packet in container.demux(video=0)
                if packet.size
            ]
    with av.open(str(path.with_name("0.webm"))) as first, av.open(str(path), "w") as container:
        video = container.add_stream_from_template(first.streams.video[0])
        for data, at, is_key in packets:
            packet = av.Packet(data)
            packet.stream, packet.pts, packet.dts = video, at, at
            packet.time_base, packet.is_keyframe = first.streams.video[0].time_base, is_key
            container.mux(packet)
    return path


def test_a_recording_of_two_sizes_shows_two_people(tmp_path: Path) -> None:
    path, watcher = two_sizes(tmp_path / "call.webm"), Watcher(detect)
    shapes, tracks = set(), []
    with open_media(str(path)) as source:
        for recording in Windows(source, [(0.0, 1.5), (1.0, 3.0), (2.5, 4.0)], 6.0):
            shapes |= {frame.shape[:2] for frame in recording.frames}
            tracks.append([person for person, _ in face_watcher.tracks(recording, watcher)])
    assert shapes == {LARGE, SMALL}
    assert tracks == [[0, 1]] * 3


def test_a_video_of_one_size_is_watched_as_it_is(tmp_path: Path) -> None:
    path, watcher = write(tmp_path / "a.mp4", frames_of([LARGE] * 10)), Watcher(detect)
    with open_media(str(path)) as source:
        for recording in Windows(source, [(0.0, 1.0)], 6.0):
            list(face_watcher.tracks(recording, watcher))
    assert [person.faces[0] for person in watcher.crowd] == list(FACES)
