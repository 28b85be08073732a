"""The built-in demo corpus, drawn and voiced by code."""
