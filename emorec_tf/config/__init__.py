"""What was decided: settings, choices, and what a clip and an example are."""
