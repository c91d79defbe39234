"""Web hooks."""
