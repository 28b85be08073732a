"""Training on several machines and devices."""
