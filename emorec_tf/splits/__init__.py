"""Who trains, validates and tests: splits, protocols, and the search for leaks."""
