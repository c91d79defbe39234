"""The HTTP API: dialect modules translate requests into calls on Broker, nothing more."""
