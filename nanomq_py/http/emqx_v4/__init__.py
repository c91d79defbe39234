"""EMQX's REST API of version 4 and EMQX Cloud's, with NanoMQ's own: ``/api/v4``, ``/api``."""
