"""A HEIC image of several tiles, as phones write it, becomes one frame (ISO/IEC 23008-12).

FFmpeg gives every tile as a stream of its own; the file's boxes say how they lie. PyAV does not
pass FFmpeg's own description on, so the few boxes that matter are read here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

MAX_META_BYTES = 4 * 2**20
MAX_TILES = 1024
BRANDS = frozenset(("heic", "heix", "heim", "heis", "mif1", "mif2", "avif"))
OTHER_TURNS = (b"imir", b"clap")  # mirrored and cut images are not put together here


@dataclass(frozen=True)
class Grid:
    """How tiles lie: ``ids`` row by row; ``quarters`` turns it upright, counter-clockwise."""

    rows: int
    columns: int
    width: int
    height: int
    quarters: int
    ids: tuple[int, ...]


class Bytes:
    """Big-endian numbers, one after the other."""

    def __init__(self, data: bytes) -> None:
        """Start at the first byte."""
        self.data, self.at = data, 0

    def number(self, size: int) -> int:
        """Read an unsigned number of ``size`` bytes.

        Raises:
            ValueError: the bytes end before it.
        """
        if self.at + size > len(self.data):
            raise ValueError("a box ends too early")
        self.at += size
        return int.from_bytes(self.data[self.at - size : self.at], "big")


def is_tile(stream: Any) -> bool:
    """Whether a video stream is only a part of an image, or a layer upon another one."""
    return bool(stream.disposition & av.stream.Disposition.dependent)


def grid_of(path: str) -> Grid:
    """Read how the tiles of a file's main image lie.

    Raises:
        ValueError: it has no such image, or one that is mirrored or cut.
    """
    meta = dict(reversed(list(_boxes(_meta(path)[4:]))))  # the first of each name
    head = Bytes(meta.get(b"pitm", b""))
    main = head.number(2 if head.number(4) >> 24 == 0 else 4)
    ids = _tiles(meta.get(b"iref", b""), main)
    form = Bytes(_content(path, meta, main))
    wide = 4 if form.number(2) & 1 else 2
    rows, columns = form.number(1) + 1, form.number(1) + 1
    width, height = form.number(wide), form.number(wide)
    if not rows * columns == len(ids) <= MAX_TILES or not width * height:
        raise ValueError("its tiles do not fill its grid")
    properties = _properties(dict(_boxes(meta.get(b"iprp", b""))), main)
    if any(name in OTHER_TURNS for name, _ in properties):
        raise ValueError("it is mirrored or cut")
    quarters = next((Bytes(box).number(1) & 3 for name, box in properties if name == b"irot"), 0)
    return Grid(rows, columns, width, height, quarters, ids)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Give the name and the content of each box."""
    at = 0
    while at + 8 <= len(data):
        size, name, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if size == 0:
            size = len(data) - at
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        if size < head:
            raise ValueError("a box is shorter than its head")
        yield name, data[at + head : at + size]
        at += size


def _meta(path: str) -> bytes:
    """Read the content of a file's meta box."""
    with Path(path).open("rb") as file:
        while len(head := file.read(8)) == 8:
            size, name = int.from_bytes(head[:4], "big"), head[4:]
            if name == b"meta":
                return file.read(min(size - 8, MAX_META_BYTES))
            if size < 8:
                break
            file.seek(size - 8, 1)
    raise ValueError("it has no meta box")


def _tiles(references: bytes, main: int) -> tuple[int, ...]:
    """Find the items that an item is put together from."""
    wide = 2 if not references or references[0] == 0 else 4
    for name, box in _boxes(references[4:]):
        item = Bytes(box)
        if name == b"dimg" and item.number(wide) == main:
            return tuple(item.number(wide) for _ in range(item.number(2)))
    raise ValueError("no item is put together")


def _content(path: str, meta: dict[bytes, bytes], wanted: int) -> bytes:
    """Read the data of an item, by iloc; a grid has a dozen bytes."""
    box = Bytes(meta.get(b"iloc", b""))
    version = box.number(4) >> 24
    sizes = box.number(2)
    offset, length, base, index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    wide = 2 if version < 2 else 4
    for _ in range(box.number(wide)):
        item = box.number(wide)
        method = box.number(2) & 15 if version else 0
        box.number(2)
        start = box.number(base)
        for _ in range(box.number(2)):
            box.number(index if version else 0)
            at, size = start + box.number(offset), min(box.number(length), 64)
            if item == wanted and method == 1:
                return meta.get(b"idat", b"")[at : at + size]
            if item == wanted and method == 0:
                with Path(path).open("rb") as file:
                    file.seek(at)
                    return file.read(size)
    raise ValueError("an item has no data")


def _properties(iprp: dict[bytes, bytes], wanted: int) -> list[tuple[bytes, bytes]]:
    """Give the properties of an item, by name and content."""
    known = list(_boxes(iprp.get(b"ipco", b"")))
    box = Bytes(iprp.get(b"ipma", b""))
    head = box.number(4)
    version, wide = head >> 24, 2 if head & 1 else 1
    for _ in range(box.number(4)):
        item = box.number(4 if version else 2)
        mask = (1 << 8 * wide - 1) - 1  # the first bit says whether it is essential
        places = [box.number(wide) & mask for _ in range(box.number(1))]
        if item == wanted:
            return [known[place - 1] for place in places if 0 < place <= len(known)]
    return []


def put_together(container: Any, grid: Grid, check: Callable[[], None]) -> Any:
    """Decode all tiles and lay them out: a frame of RGB, upright.

    Raises:
        ValueError: tiles are missing or of different sizes.
    """
    streams = [stream for stream in container.streams.video if stream.id in grid.ids]
    tiles: dict[int, np.ndarray] = {}
    for packet in container.demux(*streams):
        check()
        for frame in packet.decode():
            tiles[packet.stream.id] = frame.to_ndarray(format="rgb24")
    laid = [tiles.get(number) for number in grid.ids]
    whole = [tile for tile in laid if tile is not None]
    if len(whole) < len(laid) or len({tile.shape for tile in whole}) > 1:
        raise ValueError("tiles are missing or of different sizes")
    rows = [np.hstack(whole[i : i + grid.columns]) for i in range(0, len(whole), grid.columns)]
    image = np.vstack(rows)[: grid.height, : grid.width]
    if image.shape[:2] != (grid.height, grid.width):
        raise ValueError("the tiles do not fill the image")
    upright = np.ascontiguousarray(np.rot90(image, grid.quarters))
    made = av.VideoFrame.from_ndarray(upright, "rgb24")
    made.pts, made.time_base = 0, Fraction(1)
    return made
