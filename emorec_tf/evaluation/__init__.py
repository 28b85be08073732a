"""Scores of runs and cross-validations, reports, model cards."""
