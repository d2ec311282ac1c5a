"""Clips on disk, splits, ingest and sampling. Moves bytes; knows no model and no loss."""
