"""HEIC: an image of one piece or of many tiles is read whole and upright, or refused."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from emorec_tf.errors import UserError
from emorec_tf.media import decode

SIDE = 128
GREYS = (40, 200, 90, 160)


def encoded(folder: Path, level: int) -> tuple[bytes, bytes]:
    """Decoder settings and data of a grey HEVC image."""
    path = folder / "tile.mp4"
    with av.open(str(path), "w") as container:
        options = {"x265-params": "log-level=none:info=0:bframes=0:pools=1:frame-threads=1"}
        video = container.add_stream("libx265", 1, options=options)
        video.width, video.height, video.pix_fmt = SIDE, SIDE, "yuv420p"
        video.codec_context.codec_tag = "hvc1"
        image = np.full((SIDE, SIDE, 3), level, np.uint8)
        frame = av.VideoFrame.from_ndarray(image, "rgb24")
        frame.pts, frame.time_base = 0, Fraction(1)
        container.mux(video.encode(frame))
        container.mux(video.encode(None))
    with av.open(str(path)) as container:
        settings = bytes(container.streams.video[0].codec_context.extradata)
        return settings, b"".join(bytes(p) for p in container.demux(video=0) if p.size)


def box(name: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), name) + content


def full(name: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return box(name, struct.pack(">I", version << 24 | flags), *parts)


def write_heic(
    path: Path, columns: int, rows: int, brand: bytes = b"heic", turn: bytes = b"", spare: int = 0
) -> Path:
    """Write an image (ISO 23008-12) of columns x rows tiles; one tile is an image by itself.

    ``turn`` is a property of the whole image; its right and lower ``spare`` pixels are not shown.
    """
    count, width, height = columns * rows, columns * SIDE - spare, rows * SIDE - spare
    pieces = [encoded(path.parent, level) for level in GREYS[:count]]
    grid = count + 1 if count > 1 else 0
    items = [full(b"infe", 2, int(count > 1), struct.pack(">HH4s", i + 1, 0, b"hvc1"), b"\0")
             for i in range(count)]  # fmt: skip
    belongs = [struct.pack(">HBBB", i + 1, 2, 0x81, 2) for i in range(count)]
    references = b""
    if grid:
        items.append(full(b"infe", 2, 0, struct.pack(">HH4s", grid, 0, b"grid"), b"\0"))
        shown = b"\3\4" if turn else b"\3"
        belongs.append(struct.pack(">HB", grid, len(shown)) + shown)
        order = struct.pack(f">HH{count}H", grid, count, *range(1, count + 1))
        references = full(b"iref", 0, 0, box(b"dimg", order))
    properties = [box(b"hvcC", pieces[0][0]), full(b"ispe", 0, 0, struct.pack(">II", SIDE, SIDE)),
                  full(b"ispe", 0, 0, struct.pack(">II", width, height)), turn]  # fmt: skip
    form = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)
    head = box(b"ftyp", brand, b"\0\0\0\0", b"mif1", brand)

    def meta(at: int) -> bytes:
        places = []
        for number, (_, data) in enumerate(pieces, 1):
            places.append(struct.pack(">HHHHII", number, 0, 0, 1, at, len(data)))
            at += len(data)
        if grid:
            places.append(struct.pack(">HHHHII", grid, 1, 0, 1, 0, len(form)))
        return full(
            b"meta", 0, 0,
            full(b"hdlr", 0, 0, struct.pack(">I4s12x", 0, b"pict"), b"\0"),
            full(b"pitm", 0, 0, struct.pack(">H", grid or 1)),
            full(b"iinf", 0, 0, struct.pack(">H", len(items)), *items),
            references,
            box(b"iprp", box(b"ipco", *properties),
                full(b"ipma", 0, 0, struct.pack(">I", len(belongs)), *belongs)),
            box(b"idat", form),
            full(b"iloc", 1, 0, struct.pack(">BBH", 0x44, 0, len(places)), *places),
        )  # fmt: skip

    start = len(head) + len(meta(0)) + 8
    path.write_bytes(head + meta(start) + box(b"mdat", *(data for _, data in pieces)))
    return path


def test_an_image_of_one_piece_is_read(tmp_path: Path) -> None:
    (image,) = decode.decode(str(write_heic(tmp_path / "a.heic", 1, 1)), frame_count=1).frames
    assert image.shape == (SIDE, SIDE, 3)
    assert np.abs(image.astype(int) - GREYS[0]).max() <= 3


@pytest.mark.parametrize(("columns", "rows"), [(2, 2), (2, 1), (1, 3)])
@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_an_image_of_tiles_is_read_whole(
    tmp_path: Path, columns: int, rows: int, brand: bytes
) -> None:
    path = write_heic(tmp_path / "a.HEIC", columns, rows, brand, spare=20)
    with av.open(str(path)) as container:
        assert len(container.streams.video) == columns * rows
    recording = decode.decode(str(path), frame_count=2)
    image = recording.frames[0]
    assert image.shape == (rows * SIDE - 20, columns * SIDE - 20, 3)
    for number in range(columns * rows):
        row, column = divmod(number, columns)
        tile = image[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE]
        assert np.abs(tile.astype(int) - GREYS[number]).max() <= 3
    np.testing.assert_array_equal(recording.frames[1], image)


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_it_is_turned_upright(tmp_path: Path, quarters: int) -> None:
    path = write_heic(tmp_path / "a.heic", 2, 1, turn=box(b"irot", bytes([quarters])))
    (image,) = decode.decode(str(path), frame_count=1).frames
    lying = np.repeat(np.repeat(np.array([GREYS[:2]]), SIDE, 0), SIDE, 1)
    upright = np.rot90(lying, quarters)  # ISO 23008-12: counter-clockwise
    assert image.shape[:2] == upright.shape
    assert np.abs(image.astype(int) - upright[..., None]).max() <= 3


def complaint(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        decode.decode(str(path), frame_count=1)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_grid_that_cannot_be_put_together_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = write_heic(tmp_path / "a.heic", 2, 2, turn=box(b"imir", b"\1"))
    assert complaint(path).endswith(
        "a.heic: is an image of 4 tiles (heic) that cannot be put together (it is mirrored or "
        "cut); convert it to JPEG"
    )
    path = write_heic(tmp_path / "b.heic", 2, 2, spare=-SIDE)  # claims more than its tiles show
    assert "the tiles do not fill the image" in complaint(path)
    data = write_heic(tmp_path / "c.heic", 2, 2).read_bytes()
    (tmp_path / "c.heic").write_bytes(data.replace(b"iprp", b"free"))
    complaint(tmp_path / "c.heic")


def outcome(path: Path) -> str:
    """One word for a damaged file; anything but UserError fails the test."""
    try:
        frames = decode.decode(str(path), frame_count=1).frames
    except UserError as error:
        return "two lines" if "\n" in str(error) else "refused"
    return "read" if len(frames) == 1 else "more"


def test_damaged_boxes_are_one_line(tmp_path: Path) -> None:
    whole = write_heic(tmp_path / "a.heic", 2, 2).read_bytes()
    random, length = np.random.default_rng(0), whole.index(b"mdat")
    path = tmp_path / "damaged.heic"
    for _ in range(150):
        data = bytearray(whole)
        for at in random.integers(24, length, 3):
            data[at] = random.integers(256)
        path.write_bytes(data)
        assert outcome(path) in ("read", "refused")
