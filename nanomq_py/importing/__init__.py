"""Makes a ``nanomq.conf`` of the configuration files of other brokers."""
