"""What a media file promises before anything of it is decoded: streams, times and bounds.

PyAV is the only decoder used: the FFmpeg that other packages bundle is older and has known holes.
Files are taken as hostile: containers, protocols and codecs come from short lists, and sizes are
bounded before anything is decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import av

from emorec_tf.errors import UserError
from emorec_tf.media import audio_tracks, durations, memory, tile_grids
from emorec_tf.media.tile_grids import Grid, is_tile

Item = TypeVar("Item")

MAX_PIXELS = 8192 * 4608  # of one frame
MAX_SIDE_PIXELS = 16384
MAX_SECONDS = 24 * 3600.0  # of a file
SAMPLE_RATES_HZ = (1_000, 768_000)
MAX_CHANNELS = 32

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,wav,w64,aiff,au,caf,flac,mp3,aac,ac3,ogg,asf,flv,"
    "mpeg,mpegts,amr,png_pipe,jpeg_pipe,bmp_pipe,webp_pipe,tiff_pipe"
)
JPEG_MAGIC = b"\xff\xd8\xff"
# fmt: off
CODECS = frozenset((
    "h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "mpeg1video", "mpeg2video", "mpeg4",
    "msmpeg4v2", "msmpeg4", "h263", "flv", "mjpeg", "png", "bmp", "webp", "theora", "wmv1",
    "wmv2", "wmv3", "vc1", "prores", "dvvideo", "rawvideo", "aac", "ac3", "eac3", "mp2",
    "mp2float", "mp3", "mp3float", "opus", "libopus", "vorbis", "flac", "alac", "wmav1",
    "wmav2", "wmapro", "adpcm_ms", "adpcm_ima_wav", "pcm_u8", "pcm_s8", "pcm_alaw", "pcm_mulaw",
    "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_f32le",
    "pcm_f32be", "pcm_f64le", "pcm_f64be", "amrnb", "amrwb", "tiff",
))
# fmt: on
# What PyAV is known to raise on damaged input; FFmpegError covers FFmpeg's own codes.
FOREIGN_ERRORS = (
    av.FFmpegError,
    ArithmeticError,
    EOFError,
    IndexError,  # a stream that appears in mid-file
    MemoryError,
    OSError,
    RuntimeError,
    ValueError,
)


@contextmanager
def open_media(
    path: str, name: str | None = None, check: Callable[[], None] = lambda: None
) -> Iterator[Source]:
    """Open a media file, choose and check its streams; it is closed after the ``with``.

    Args:
        path: where the file lies.
        name: what errors call it; none: its path.
        check: called for each packet that is read and each frame that is used; what it raises,
            such as that a time limit has passed, stops the work. No ``OSError``, ``RuntimeError``
            or ``ValueError``, which stand for a damaged file.

    Raises:
        UserError: the file is missing, empty, damaged, not media, or beyond the bounds here.
    """
    av.logging.set_level(None)  # FFmpeg's own lines would stand between ours on stderr
    name = path if name is None else name
    with ExitStack() as stack:
        with media_errors(name):
            source = source_of(name, path, stack.enter_context(_container(name, path)), check)
        yield source


@contextmanager
def media_errors(name: str) -> Iterator[None]:
    """Turn what PyAV raises on a damaged file into a line that names the file."""
    try:
        yield
    except FOREIGN_ERRORS as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UserError(
            f"{name}: cannot be read as audio or video ({' '.join(str(reason).split())}): it is "
            "damaged, cut short or no media file; fetch it again or leave it out"
        ) from error


def _container(name: str, path: str) -> Any:
    """Open a file as a PyAV container, which is a context manager."""
    file = Path(path)
    if not file.is_file():
        raise UserError(f"{name}: no such file; check the path")
    if file.stat().st_size == 0:
        raise UserError(f"{name}: is empty (0 bytes); fetch it again or leave it out")
    codecs = ",".join(sorted(CODECS))
    with file.open("rb") as data:  # FFmpeg's own choice for these reads numbers in the file's name
        form = "jpeg_pipe" if data.read(len(JPEG_MAGIC)) == JPEG_MAGIC else None
    return av.open(
        f"file:{file.absolute()}",  # the prefix keeps names such as 'concat:a' plain files
        format=form,
        options={"max_pixels": str(MAX_PIXELS), "threads": "1"},
        container_options={
            "format_whitelist": FORMATS,
            "protocol_whitelist": "file",
            "codec_whitelist": codecs,  # holds only while FFmpeg probes; see _accept
        },
        metadata_errors="replace",
    )


@dataclass(frozen=True)
class Source:
    """An open container, the streams read from it, and what its headers promise.

    ``name`` is what errors call the file. ``origin_seconds`` is when its first stream starts, in
    the container's own time; all other times count from there. ``ends`` are seconds by stream
    index, where the header gives them. ``check`` is what may stop the work; see ``open_media``.
    ``notes`` say which audio track is used where there are several. ``grid`` says how the tiles of
    an image lie, where ``video`` is only the first of them.
    """

    name: str
    container: Any
    audio: Any
    video: Any
    origin_seconds: float
    seconds: float
    ends: dict[int, float]
    check: Callable[[], None] = lambda: None
    notes: tuple[str, ...] = ()
    grid: Grid | None = None

    @property
    def streams(self) -> list[Any]:
        """The streams that are read, audio first."""
        return [stream for stream in (self.audio, self.video) if stream is not None]


def source_of(
    name: str, path: str, container: Any, check: Callable[[], None] = lambda: None
) -> Source:
    """Choose the streams of an open container, check them, and read what they promise."""
    grid = _grid_of(name, path, container)
    if grid is not None:  # any of its tiles stands for it
        videos = [s for s in container.streams.video if s.id == grid.ids[0]]
    else:
        videos = [s for s in container.streams.video if not (_is_cover(s) or is_tile(s))]
    audio, notes = _audio_of(name, path, container, check)
    video = next(iter(videos), None)
    streams = [stream for stream in (audio, video) if stream is not None]
    if not streams:
        raise UserError(f"{name}: holds neither audio nor video; leave it out")
    for stream in streams:
        _accept(name, stream)
    origin = (container.start_time or 0) / av.time_base
    seconds, ends = durations.promised(
        container, streams, origin, lambda: _measured(name, path, check) - origin
    )
    if container.format.name == "wav":
        durations.check_wav(name, path)
    if not 0 < seconds <= MAX_SECONDS:
        raise UserError(
            f"{name}: claims to last {seconds:.6g} s (between 0 and {MAX_SECONDS:.0f} are read); "
            "it is damaged or must be split"
        )
    return Source(name, container, audio, video, origin, seconds, ends, check, notes, grid)


def _grid_of(name: str, path: str, container: Any) -> Grid | None:
    """How the tiles of an image lie, ``None`` where it has none; refuse what cannot be read."""
    tiles = [stream for stream in container.streams.video if is_tile(stream)]
    brand = container.metadata.get("major_brand", "").strip()
    if not tiles or brand not in tile_grids.BRANDS:
        return None
    try:
        grid = tile_grids.grid_of(path)
    except ValueError as error:
        raise UserError(
            f"{name}: is an image of {len(tiles)} tiles ({brand}) that cannot be put together "
            f"({error}); convert it to JPEG"
        ) from error
    check_size(name, grid.width, grid.height)
    used = [stream for stream in tiles if stream.id in grid.ids]
    for stream in used:
        _accept(name, stream)
    if sum(s.codec_context.width * s.codec_context.height for s in used) > 2 * MAX_PIXELS:
        raise UserError(f"{name}: its tiles are larger than its image; convert it to JPEG")
    return grid


def _audio_of(
    name: str, path: str, container: Any, check: Callable[[], None]
) -> tuple[Any, tuple[str, ...]]:
    """Choose the audio track, of those whose codec is read if there is one."""
    tracks = list(container.streams.audio)
    readable = [s for s in tracks if s.codec_context and s.codec_context.name in CODECS]
    if not tracks:
        return None, ()
    return audio_tracks.choose(
        readable or tracks[:1], lambda: _container(name, path), check, FOREIGN_ERRORS
    )


def _is_cover(stream: Any) -> bool:
    """Whether a video stream is the cover image of an audio file."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _measured(name: str, path: str, check: Callable[[], None]) -> float:
    """When the last packet ends, seconds in the container's own time."""
    with _container(name, path) as container:
        streams = [*container.streams.audio, *container.streams.video]
        packets = container.demux(*[s for s in streams if not _is_cover(s)])
        return durations.last_end(checked(packets, check))


def checked(items: Iterable[Item], check: Callable[[], None]) -> Iterator[Item]:
    """Pass items on, and ``check`` before each."""
    for item in items:
        check()
        yield item


def _accept(name: str, stream: Any) -> None:
    """Refuse codecs and sizes outside the bounds; PyAV itself ignores codec_whitelist."""
    context = stream.codec_context
    codec = context.name if context else "unknown"
    if codec not in CODECS:
        raise UserError(
            f"{name}: its {stream.type} codec '{codec}' is not read here; convert the file to "
            "mp4 (H.264, AAC) or wav"
        )
    if stream.type == "audio":
        low, high = SAMPLE_RATES_HZ
        if not (low <= context.sample_rate <= high and 1 <= context.channels <= MAX_CHANNELS):
            raise UserError(
                f"{name}: claims {context.sample_rate} Hz and {context.channels} channels ({low} "
                f"to {high} Hz and up to {MAX_CHANNELS} channels are read); its header is damaged"
            )
    else:
        check_size(name, context.width, context.height)
        memory.check_frame(name, context, context.format, context.width, context.height)
        context.options = {"max_pixels": str(MAX_PIXELS)}
    context.thread_type = "NONE"
    context.thread_count = 1


def check_size(name: str, width: int, height: int) -> None:
    """Refuse frames without area or beyond the bounds; sizes in pixels."""
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE_PIXELS or not width * height:
        raise UserError(
            f"{name}: claims frames of {width}x{height} (up to {MAX_PIXELS} pixels and "
            f"{MAX_SIDE_PIXELS} a side are read); its header is damaged, or scale it down"
        )
