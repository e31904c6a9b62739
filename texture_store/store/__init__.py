"""Vectors <-> Parquet: where everything lies, how it gets there once and whole, and how it is read."""
