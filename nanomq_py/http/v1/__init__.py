"""NanoMQ's API: requests at /api/v1."""
