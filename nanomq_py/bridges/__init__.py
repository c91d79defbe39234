"""Bridges to other brokers: what they carry, and when they dial. Loaded where there is one."""
