"""Corpora: a table of them, and the labelled clips listed from each."""
