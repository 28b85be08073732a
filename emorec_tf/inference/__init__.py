"""A trained run answers: clips, long videos, live streams."""
