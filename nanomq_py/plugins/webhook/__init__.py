"""NanoMQ's web hooks."""
