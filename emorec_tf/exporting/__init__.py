"""Runs exported to the formats of other runtimes, or packaged for the model store."""
