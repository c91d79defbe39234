"""Kinds of configuration values: what a text may be, read and written."""
