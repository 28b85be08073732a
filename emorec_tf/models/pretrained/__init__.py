"""Readers of pretrained weights in the file formats of others."""
