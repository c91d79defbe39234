"""What this broker is called where an API speaks of nodes, and whether it runs."""

from __future__ import annotations

import socket

from nanomq_py.config import Config


def node_name(config: Config) -> str:
    """Return the name of the one node that there is.

    Source   EMQX 4: NAME@HOST
    """
    return config.node.name or f"nanomq@{socket.gethostname() or 'localhost'}"


def status_text(config: Config) -> str:
    """Return what ``GET /status`` answers to anybody.

    Source   EMQX 4.4, emqx_mgmt_http; load balancers look for "is running"
    """
    return f"Node {node_name(config)} is started\nemqx is running"
