"""Settings and their flags, choices, and what a clip and an example are."""
