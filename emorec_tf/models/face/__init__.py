"""Face branches: face crops or mesh points in, tokens out."""
