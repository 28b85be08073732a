"""Calibration: temperature scaling, calibration error, likelihood, risk and coverage."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax, softmax

BINS = 15
# Bounds of the search; outside, the softmax saturates or is uniform and the fit has no minimum.
TEMPERATURE_RANGE = (0.05, 1000.0)
# Logits of networks are fitted in this part, which is searched first and decides alone where it
# holds the minimum. Beyond it are those of discriminant analysis of many features.
FIRST_RANGE = (0.05, 20.0)
PAST_BOUND = 0.01  # of the logarithm of a temperature
NEAR_CHANCE = 0.95  # share of the likelihood of chance from which on a model knows nothing
FEW = 2  # speakers from which on a temperature is taken as it is fitted
SMALLEST_GAIN = 1e-9  # of likelihood, over all clips, for which the logits are scaled at all
# Of growth with unfamiliarity, and the unfamiliarity beyond which it stops.
MOST_SLOPE, MOST_UNFAMILIAR = 5.0, 3.0


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Fit the temperature, the divisor of the logits, by maximum likelihood.

    Guo et al. 2017, On Calibration of Modern Neural Networks. Fit it on validation speakers.
    They are few, and a model that is right about all of them would come out as certain; so the
    fit is regularised with one pseudo-observation of uniform label.

    Args:
        logits: [N, K].
        labels: [N], class ids.

    Raises:
        ValueError: no clips, wrong shapes, labels that are no class ids, or logits not finite.
    """
    from scipy.optimize import minimize_scalar  # takes half a second, predict does not need it

    logits, labels = _checked(logits, labels)
    low, high = np.log(FIRST_RANGE)
    every = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        found = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(found[every, labels].sum() + found.mean())

    found = minimize_scalar(loss, bounds=(low, high), method="bounded")
    if loss(high + PAST_BOUND) < found.fun:  # the loss has one minimum, which lies beyond
        bounds = (high, np.log(TEMPERATURE_RANGE[1]))
        found = minimize_scalar(loss, bounds=bounds, method="bounded")
    if loss(0.0) - found.fun < SMALLEST_GAIN:
        return 1.0  # every temperature is as good, as where all is right and certain
    return float(np.exp(found.x))


def shrunk(temperature: float, speakers: int, clips: int, classes: int) -> float:
    """Draw a temperature towards 1 that was fitted to too little.

    One speaker says little about others: their own temperatures scatter about as widely as those of
    speakers scatter around 1. Of ``n`` speakers, the logarithm is multiplied by n / (n + 1), its
    mean under a normal prior of that width. Of fewer clips than classes it is multiplied by
    clips / (clips + classes), too. Of ``FEW`` speakers and a clip per class, it stays as it is.

    Args:
        temperature: as fitted.
        speakers: whose clips it was fitted to, at least one.
        clips: how many it was fitted to.
        classes: how many there are.
    """
    kept = speakers / (speakers + 1) if speakers < FEW else 1.0
    kept *= clips / (clips + classes) if clips < classes else 1.0
    return temperature if kept == 1 else float(np.exp(np.log(temperature) * kept))


def bound_warning(temperature: float, nll_after: float, classes: int) -> str:
    """Say in a line what a temperature at or near a bound means; "" where it means nothing bad.

    Args:
        temperature: as fitted.
        nll_after: mean negative log-likelihood at this temperature, in nats.
        classes: how many there are.
    """
    low, high = TEMPERATURE_RANGE[0] * np.exp(PAST_BOUND), FIRST_RANGE[1] / np.exp(PAST_BOUND)
    if temperature > high and nll_after >= NEAR_CHANCE * np.log(classes):
        # otherwise the logits are large, as those of discriminant analysis
        return (
            f"temperature {temperature:.3g} is very high: the validation clips are predicted no "
            "better than by chance, and all probabilities are nearly equal; train longer, or on "
            "more clips"
        )
    if temperature >= low:
        return ""
    return (
        f"temperature {temperature:.3g} is the lowest that is tried: nearly all probabilities are "
        "0 or 1; validate on more clips"
    )


def temperature_and_slope(
    logits: np.ndarray, labels: np.ndarray, unfamiliarity: np.ndarray
) -> tuple[float, float]:
    """Fit a temperature, and how fast it grows with unfamiliarity, by maximum likelihood.

    Args:
        logits: [N, K], of clips of held-out corpora and of held-out speakers.
        labels: [N], class ids.
        unfamiliarity: [N], of these clips.

    Returns:
        The temperature of familiar clips, and the slope for ``growth``, 0 to ``MOST_SLOPE``.
    """
    from scipy.optimize import minimize

    logits, labels = _checked(logits, labels)

    def loss(values: np.ndarray) -> float:
        return nll(scaled(logits, np.exp(values[0]) * growth(values[1], unfamiliarity)), labels)

    start = [np.log(temperature(logits, labels)), 0.0]
    for low, high in (FIRST_RANGE, TEMPERATURE_RANGE):
        if start[0] > np.log(high):
            continue
        bounds = [(np.log(low), np.log(high)), (0, MOST_SLOPE)]
        found = minimize(loss, start, bounds=bounds, method="L-BFGS-B").x
        if found[0] < np.log(high) - PAST_BOUND:
            break
    return float(np.exp(found[0])), float(found[1])


def growth(slope: float, unfamiliarity: np.ndarray) -> np.ndarray:
    """How many times a clip's temperature is that of familiar clips: [N] -> [N, 1], at least 1."""
    return np.asarray(np.exp(slope * np.clip(unfamiliarity, 0, MOST_UNFAMILIAR)))[:, None]


def scaled(logits: np.ndarray, temperature: float | np.ndarray) -> np.ndarray:
    """Turn logits [N, K] into probabilities at this temperature, or those of each clip [N, 1]."""
    return softmax(np.asarray(logits, np.float64) / temperature, axis=-1)


def nll(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood in nats; a probability of 0 counts as the smallest float64."""
    probabilities, labels = _checked(probabilities, labels)
    of_label = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(of_label, np.finfo(np.float64).tiny)).mean())


def brier(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean over clips of the squared errors summed over classes: 0 is perfect, 2 the worst.

    Brier 1950. With two classes this is twice the common definition for one probability.
    """
    probabilities, labels = _checked(probabilities, labels)
    truth = np.eye(probabilities.shape[1])[labels]
    return float(((probabilities - truth) ** 2).sum(1).mean())


def reliability(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS
) -> list[dict[str, float]]:
    """Accuracy by confidence: one row per non-empty bin.

    Args:
        probabilities: [N, K].
        labels: [N], class ids.
        bins: equally wide bins (low, high] of the prediction's probability.

    Returns:
        Rows with ``low``, ``high``, ``count``, ``confidence`` and ``accuracy`` (means in the bin).
    """
    probabilities, labels = _checked(probabilities, labels)
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == labels
    edges = np.linspace(0, 1, bins + 1)
    bin_of = np.clip(np.digitize(confidence, edges, right=True), 1, bins) - 1
    return [
        {
            "low": float(edges[b]),
            "high": float(edges[b + 1]),
            "count": int((bin_of == b).sum()),
            "confidence": float(confidence[bin_of == b].mean()),
            "accuracy": float(correct[bin_of == b].mean()),
        }
        for b in np.unique(bin_of)
    ]


def ece(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error: mean gap of confidence and accuracy, bins weighted by clips."""
    rows = reliability(probabilities, labels, bins)
    gaps = [r["count"] * abs(r["confidence"] - r["accuracy"]) for r in rows]
    return float(sum(gaps) / sum(r["count"] for r in rows))


def risk_coverage(
    probabilities: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Error rate of the most confident predictions, at every coverage (selective prediction).

    Geifman & El-Yaniv 2017. Clips of equal confidence have no order: each counts as the mean error
    of all of them.

    Returns:
        coverage [N] from 1/N to 1, risk [N], and the area under the curve (AURC), the mean risk.
    """
    probabilities, labels = _checked(probabilities, labels)
    wrong = (probabilities.argmax(1) != labels).astype(np.float64)
    _, group = np.unique(-probabilities.max(1), return_inverse=True)  # most confident first
    means = np.bincount(group, wrong) / np.bincount(group)
    count = np.arange(1, len(labels) + 1)
    risk = np.cumsum(means[np.sort(group)]) / count
    return count / len(labels), risk, float(risk.mean())


def _checked(values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, labels = np.asarray(values, np.float64), np.asarray(labels)
    if values.ndim != 2 or labels.shape != values.shape[:1] or not len(labels):
        raise ValueError(f"need [N, K] and [N] with N > 0, not {values.shape} and {labels.shape}")
    if not np.isfinite(values).all():
        raise ValueError("values must be finite")
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= values.shape[1]:
        raise ValueError(f"labels must be class ids from 0 to {values.shape[1] - 1}")
    return values, labels
