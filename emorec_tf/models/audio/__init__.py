"""Audio branches: log-mel and its relatives in, tokens out."""
