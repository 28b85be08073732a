"""Fusions: the tokens of both branches in, logits out."""
