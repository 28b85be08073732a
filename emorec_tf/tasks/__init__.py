"""Classification or regression: loss, metrics, calibration, plots."""
