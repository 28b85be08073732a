"""From records to a run directory."""
