"""Names and meanings of the metrics, for listings; nothing heavy is imported."""

from __future__ import annotations

METRICS: dict[str, dict[str, str]] = {
    "classification": {
        "uar": "unweighted average recall: mean of the classes' recalls (balanced accuracy)",
        "war": "weighted average recall: accuracy",
        "macro_f1": "mean of the classes' F1 scores",
        "per_class_recall": "recall of each class",
        "confusion": "confusion matrix, rows are true classes",
        "ece": "expected calibration error, 15 bins (Guo et al. 2017)",
        "brier": "mean squared error of the probabilities, summed over classes (Brier 1950)",
        "nll": "mean negative log-likelihood, nats",
    },
    "regression": {
        "ccc": "concordance correlation coefficient (Lin 1989)",
        "pcc": "Pearson correlation coefficient",
        "rmse": "root mean squared error",
    },
}
