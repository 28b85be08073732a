"""What a model card says of familiarity: its meaning, its threshold, risk on the corpus and off it.

Off the corpus only what was measured is written: ``compared`` takes the predictions of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from emorec_tf.tasks import calibration
from emorec_tf.tasks.familiarity import Familiarity
from emorec_tf.tasks.joint_familiarity import JointFamiliarity
from emorec_tf.training.run_dir import Run

COVERAGES = (1.0, 0.8, 0.6, 0.5, 0.4, 0.2)


def section(run: Run) -> list[str]:
    """The section of a run's card; [] of a run that cannot tell how familiar a clip is."""
    found = run.familiarity
    if isinstance(found, JointFamiliarity):
        return [joint_text(found)]
    return [text(found, run.unfamiliar_slope)] if found else []


def joint_text(found: JointFamiliarity) -> str:
    """Write the section of an ensemble of packaged models."""
    lines = [
        "## Familiarity",
        "Each answer has a `familiarity` from 0 to 1: that of the member which the clip is least "
        "familiar to, among the members whose modality it has; their cards say what it means. "
        + _flagged(found.threshold),
    ]
    if found.grows:
        lines.append(
            "The temperature of a member grows with the clip's unfamiliarity to it, so a member "
            "that does not know such clips has less of a say in the product."
        )
    return "\n\n".join(lines)


def _flagged(threshold: float) -> str:
    if not threshold:
        return "Too few clips were held out to say which are unlike anything it was trained on."
    return (
        f"Below {threshold:g} `predict` says that a clip is unlike anything the model was "
        "trained on. The emotion is `unsure` then only with `--abstain_unfamiliar`."
    )


def text(found: Familiarity, slope: float, measured: dict[str, Any] | None = None) -> str:
    """Write the section.

    Args:
        found: of the run.
        slope: how fast its temperature grows with unfamiliarity.
        measured: what ``compared`` found, if it was asked.
    """
    lines = [
        "## Familiarity",
        "Each answer has a `familiarity` from 0 to 1: the share of familiar clips, of speakers "
        "held out of training, that are less like the training clips than this one. It compares "
        f"{sum(len(part.columns) for part in found.parts)} features of the branches with the "
        f"nearest training clips. {_flagged(found.threshold)}",
    ]
    if slope:
        lines.append(
            f"Probabilities of unfamiliar clips are lowered: the temperature is multiplied by "
            f"exp({slope:.2f} u), where u is the distance to the training clips in standard "
            f"deviations of familiar clips, 0 to {calibration.MOST_UNFAMILIAR:g}. This was fitted "
            f"to corpora that were held out of training in turn."
        )
    return "\n\n".join([*lines, *([_table(measured)] if measured else [])])


def compared(on: Sequence[np.ndarray], off: Sequence[np.ndarray]) -> dict[str, Any]:
    """Compare clips of the corpora that a model was trained on with those of another.

    Args:
        on: probabilities [N, K], class ids [N] and familiarity [N] of test speakers.
        off: the same of another corpus.

    Returns:
        ``auroc`` (of familiarity, clips on the corpus against clips off it), ``ece_on``,
        ``ece_off``, and ``rows``: coverage, and the error rate of the most confident share of
        clips on the corpus, off it, and of both together.
    """
    from sklearn.metrics import roc_auc_score

    both = [np.concatenate(pair) for pair in zip(on, off, strict=True)]
    truth = np.repeat([1, 0], [len(on[2]), len(off[2])])
    curves = {
        name: calibration.risk_coverage(side[0], side[1])[:2]
        for name, side in (("on", on), ("off", off), ("together", both))
    }
    return {
        "auroc": float(roc_auc_score(truth, both[2])),
        "ece_on": calibration.ece(on[0], on[1]),
        "ece_off": calibration.ece(off[0], off[1]),
        "rows": [
            {"coverage": c, **{name: _at(*curve, c) for name, curve in curves.items()}}
            for c in COVERAGES
        ],
    }


def _at(coverage: np.ndarray, risk: np.ndarray, share: float) -> float:
    return float(risk[min(int(np.searchsorted(coverage, share - 1e-9)), len(risk) - 1)])


def _table(measured: dict[str, Any]) -> str:
    lines = [
        f"| {row['coverage']:.0%} | {row['on']:.1%} | {row['off']:.1%} | {row['together']:.1%} |"
        for row in measured["rows"]
    ]
    return (
        f"Familiarity separates clips of the corpus from clips of another with AUROC "
        f"{measured['auroc']:.3f}. Calibration error (ECE) {100 * measured['ece_on']:.1f} % on the "
        f"corpus, {100 * measured['ece_off']:.1f} % off it. Error rate of the most confident "
        "clips:\n\n"
        "| share of clips answered | on the corpus | off the corpus | both together |\n"
        "|---|---|---|---|\n" + "\n".join(lines)
    )
