"""The answer to a video over time, on disk: a figure for people, a table and JSON for programs."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from io import StringIO
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emorec_tf.errors import UserError
from emorec_tf.inference import class_colours, presence
from emorec_tf.inference.class_colours import COLOURS, UNKNOWN_COLOUR
from emorec_tf.inference.windows import UNSURE
from emorec_tf.storage.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from emorec_tf.inference.answers import MediaAnswer

Cell = Mapping[str, Any]  # of one person in one step: see windows.merged

ABSENT_COLOUR, UNSURE_COLOUR = "#e3e5e8", "#b4b9c0"
WIDTH_INCHES, BAND_INCHES, REST_INCHES = 11.0, 1.5, 1.25
MOST_BANDS = 12
STRIP = (1.06, 1.30)  # of a band's height: the most likely emotion
LETTER_INCHES = 0.075
RATINGS = (1.0, 5.0)
MARKS_SECONDS = (0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
MOST_MARKS = 13


def check_place(path: str, clips: Sequence[str]) -> None:
    """Refuse, before anything is decoded, a place that the timeline cannot be written to.

    Raises:
        UserError: another ending than png, more than one clip, no such folder, or a clip itself.
    """
    place = Path(path)
    if place.suffix.lower() != ".png":
        raise UserError(f"--timeline {path} must end in .png; .csv and .json are written beside it")
    if len(clips) != 1:
        raise UserError(f"--timeline draws one clip, there are {len(clips)}; name one")
    if not place.parent.is_dir():
        raise UserError(f"--timeline {path}: cannot write there, no folder {place.parent}")
    for beside in places(path):
        if beside.resolve() == Path(clips[0]).resolve():
            raise UserError(f"--timeline {path} would write over {clips[0]}; give another name")


def places(path: str) -> list[Path]:
    """The three files of a timeline: png, csv, json."""
    return [Path(path).with_suffix(suffix) for suffix in (Path(path).suffix, ".csv", ".json")]


def written(path: str) -> str:
    """Say in a line where the timeline is, and why it differs from the table of windows."""
    return (
        f"written: {', '.join(map(str, places(path)))}; each step is the mean of the windows that "
        "overlap there, the table shows each window alone"
    )


def write(path: str, found: MediaAnswer) -> None:
    """Write the figure to ``path``, the table and the whole answer beside it.

    Raises:
        UserError: they cannot be written.
    """
    from emorec_tf.tasks import plots

    drawing, table, whole = places(path)
    text = json.dumps({**found.answer, "timeline": found.timeline}, indent=1) + "\n"
    try:
        write_atomically(drawing, plots.png(figure(found.answer, found.timeline, found.portraits)))
        write_atomically(table, csv_of(found.timeline))
        write_atomically(whole, text)
    except OSError as error:
        raise UserError(f"{error.filename or path}: cannot write ({error.strerror})") from error


def csv_of(cells: Sequence[Cell]) -> str:
    """One line for each person and step, a column for each class; empty without an answer."""
    names = classes_of(cells)
    text = StringIO()
    columns = ["start_seconds", "end_seconds", "person"]
    columns += ["value"] if is_rated(cells) else ["emotion", *names]
    columns += ["familiarity"] if any("familiarity" in cell for cell in cells) else []
    columns += ["audio_present", "speech", "face_present", "face_coverage"]
    lines = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    lines.writeheader()
    for cell in cells:
        lines.writerow({**cell, **cell.get("probabilities", {})})
    return text.getvalue()


def is_rated(cells: Sequence[Cell]) -> bool:
    """Say whether a rating was estimated."""
    return any("value" in cell for cell in cells)


def classes_of(cells: Sequence[Cell]) -> list[str]:
    """The classes, in the run's order."""
    return next((list(c["probabilities"]) for c in cells if c.get("probabilities")), [])


def figure(
    answer: Mapping[str, Any], cells: Sequence[Cell], portraits: Mapping[int, np.ndarray]
) -> Figure:
    """Draw a band for each person: the most likely emotion above, all probabilities below it.

    Grey is where there is no answer for a person. At most twelve bands: those seen longest.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from emorec_tf.tasks.plots import INK, STYLE

    people = shown(cells)
    with mpl.rc_context(STYLE):
        size = (WIDTH_INCHES, REST_INCHES + BAND_INCHES * len(people))
        drawn = Figure(figsize=size, dpi=110, layout="constrained")
        grid = drawn.subplots(
            len(people), 2, squeeze=False, width_ratios=(1, 11), sharex="col", sharey="col"
        )
        for (left, right), person in zip(grid, people, strict=True):
            head(left, person, portraits)
            band(right, [c for c in cells if c["person"] == person], answer["film_seconds"])
        time_axis(grid[-1][1], answer["film_seconds"])
        drawn.suptitle(title(answer), x=0.01, ha="left", fontsize=11, color=INK)
        drawn.legend(
            handles=keys(cells), loc="outside lower center", ncols=6, frameon=False,
            labelcolor=INK, fontsize=8,
        )  # fmt: skip
    return drawn


def shown(cells: Sequence[Cell]) -> list[int | None]:
    """The people that are drawn, in order; audio without a person (``None``) last."""
    people = [cell["person"] for cell in cells]
    longest = sorted(set(people), key=lambda person: -people.count(person))[:MOST_BANDS]
    return sorted(longest, key=lambda person: (person is None, person or 0))


def title(answer: Mapping[str, Any]) -> str:
    """Name the video, and the answer to it as a whole."""
    name = Path(answer["clip"]).name
    over_all = answer.get("emotion") or answer.get("value") or presence.said(answer)
    people = len(answer["people"])
    who = {0: "no person in view", 1: "1 person"}.get(people, f"{people} people")
    share = max(answer.get("probabilities", {}).values(), default=None)
    sure = "" if share is None else f" {share:.0%}"
    shared = ", one audio track shared by all in view" if answer["voice_shared"] else ""
    return f"{name}   {clock(answer['film_seconds'])}   {who}{shared}   over all: {over_all}{sure}"


def head(axes: Axes, person: int | None, portraits: Mapping[int, np.ndarray]) -> None:
    """Show which person a band is about."""
    from emorec_tf.tasks.plots import INK

    axes.set_axis_off()
    if person is not None and person in portraits:
        axes.imshow(portraits[person], extent=(0, 1, 0, 1), aspect="equal", zorder=2)
    name = "no face:\naudio alone" if person is None else f"person {person}"
    height, size = (0.5, 8) if person is None else (1.06, 9)
    axes.text(0.5, height, name, ha="center", va="bottom" if person else "center",
              fontsize=size, color=INK)  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(0, STRIP[1]))


def band(axes: Axes, cells: Sequence[Cell], seconds: float) -> None:
    """Draw one person over time."""
    axes.axvspan(0, seconds, facecolor=ABSENT_COLOUR, linewidth=0, zorder=0)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set(xlim=(0, seconds))
    if is_rated(cells):
        steps = [(c, c["value"]) for c in cells if c["value"] is not None]
        for cell, value in steps:
            span = (cell["start_seconds"], cell["end_seconds"])
            axes.fill_between(span, RATINGS[0], value, color=COLOURS["neutral"], linewidth=0)
        axes.set(ylim=RATINGS, yticks=range(1, 6))
        return
    colours = class_colours.of(classes_of(cells))
    for name, runs in groupby(cells, key=lambda cell: cell["emotion"]):
        colour = UNSURE_COLOUR if name == UNSURE else colours.get(name, UNKNOWN_COLOUR)
        for stretch in stretches(list(runs)):
            start, end = stretch[0]["start_seconds"], stretch[-1]["end_seconds"]
            strip(axes, name, start, end, seconds, colour)
    for stretch in stretches([cell for cell in cells if cell["probabilities"]]):
        stack(axes, stretch)
    axes.set(ylim=(0, STRIP[1]))
    axes.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    axes.tick_params(axis="x", length=0)


def stretches(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells that follow each other without a gap."""
    found: list[list[Cell]] = []
    for cell in cells:
        if found and cell["start_seconds"] <= found[-1][-1]["end_seconds"] + 1e-3:
            found[-1].append(cell)
        else:
            found.append([cell])
    return found


def stack(axes: Axes, cells: Sequence[Cell]) -> None:
    """Draw the probabilities of a stretch on top of each other."""
    edges = [*(cell["start_seconds"] for cell in cells), cells[-1]["end_seconds"]]
    low = np.zeros(len(edges))
    colours = class_colours.of(list(cells[0]["probabilities"]))
    for name in cells[0]["probabilities"]:
        shares = [cell["probabilities"][name] for cell in cells]
        high = low + np.array([*shares, shares[-1]])
        colour = colours[name]
        axes.fill_between(edges, low, high, step="post", color=colour, alpha=0.75, linewidth=0)
        low = high


def strip(
    axes: Axes, name: str | None, start: float, end: float, seconds: float, colour: str
) -> None:
    """Draw a stretch of one most likely emotion, with its name where there is room."""
    from emorec_tf.tasks.plots import INK

    if name is None:
        return
    axes.fill_between((start, end), *STRIP, color=colour, linewidth=0)
    room = (end - start) / seconds * WIDTH_INCHES * 0.85
    if room > LETTER_INCHES * (len(name) + 1):
        ink = "white" if colour in class_colours.DARK else INK
        middle = (start + end) / 2
        axes.text(middle, sum(STRIP) / 2, name, ha="center", va="center_baseline", fontsize=8,
                  color=ink)  # fmt: skip


def keys(cells: Sequence[Cell]) -> list[Any]:
    """What the colours stand for."""
    from matplotlib.patches import Patch

    colours = class_colours.of([] if is_rated(cells) else classes_of(cells))
    made = [Patch(color=colour, alpha=0.85, label=name) for name, colour in colours.items()]
    if any(cell.get("emotion") == UNSURE for cell in cells):
        made.append(Patch(color=UNSURE_COLOUR, label=UNSURE))
    return [*made, Patch(color=ABSENT_COLOUR, label=f"not in view, or {presence.NO_ANSWER}")]


def time_axis(axes: Axes, seconds: float) -> None:
    """Mark minutes and seconds."""
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    step = next((s for s in MARKS_SECONDS if seconds / s <= MOST_MARKS), MARKS_SECONDS[-1])
    axes.xaxis.set_major_locator(MultipleLocator(step))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: clock(at)))
    axes.set_xlabel("time")


def clock(seconds: float) -> str:
    """Write seconds as mm:ss, from an hour on as h:mm:ss; parts of a second where there are any."""
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    tail = f"{rest:04.1f}" if rest % 1 else f"{rest:02.0f}"
    return f"{hours}:{minutes:02d}:{tail}" if hours else f"{minutes:02d}:{tail}"
