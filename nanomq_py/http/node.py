"""What ``GET /status`` says of this broker."""

from __future__ import annotations

from nanomq_py.config import Config
from nanomq_py.kernel.node import node_name


def status_text(config: Config) -> str:
    """Return what ``GET /status`` answers to anybody.

    Source   EMQX 4.4, emqx_mgmt_http; load balancers look for "is running"
    """
    return f"Node {node_name(config)} is started\nemqx is running"
