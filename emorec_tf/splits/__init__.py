"""Who trains, validates and tests: splits, protocols and leak detection."""
