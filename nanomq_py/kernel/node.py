"""What this broker is called where there could be several."""

from __future__ import annotations

import socket

from nanomq_py.config import Config


def node_name(config: Config) -> str:
    """Return the name of the one node that there is.

    Source   EMQX 4: NAME@HOST
    """
    return config.node.name or f"nanomq@{socket.gethostname() or 'localhost'}"
