"""Pictures for people: the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import matplotlib as mpl
import numpy as np

mpl.use("agg")

from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay


def confusion_picture(
    confusion: Sequence[Sequence[int]], classes: Sequence[str], title: str
) -> bytes:
    """Draw counts on a colour scale of recall; return a PNG.

    Shapes:
        counts [K, K], rows are true classes
    """
    counts = np.asarray(confusion)
    recall = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure = Figure(figsize=(1.6 + 0.75 * len(classes), 1.4 + 0.65 * len(classes)), dpi=110)
    axes = figure.subplots()
    display = ConfusionMatrixDisplay(recall, display_labels=list(classes))
    display.plot(ax=axes, cmap="Blues", colorbar=False, include_values=False, xticks_rotation=45)
    display.im_.set_clim(0, 1)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if recall[row, column] > 0.55 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=9)
    axes.set(xlabel="answer of the model", ylabel="label", title=title)
    figure.tight_layout()
    png = BytesIO()
    figure.savefig(png, format="png", metadata={"Software": None})
    return png.getvalue()
