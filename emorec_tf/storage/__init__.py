"""Files on this machine or at a URL, written whole or not at all."""
