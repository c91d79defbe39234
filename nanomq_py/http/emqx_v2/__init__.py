"""EMQX's REST API of version 2: ``/api/v2``."""
