"""Decoded media becomes the arrays of an example; no networks here."""
