"""The built-in demo corpus: drawn faces and synthetic voices."""
