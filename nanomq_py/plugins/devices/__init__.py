"""The device platform: ``/iot/api/v1``."""
