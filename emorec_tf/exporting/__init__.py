"""A run in the formats of other runtimes, compared with the run."""
