"""Worlds with known state, one a file, each a Gymnasium environment. No models, no files on disk."""
