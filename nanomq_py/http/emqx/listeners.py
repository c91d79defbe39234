"""Listeners of MQTT clients, as EMQX's dialects tell of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from nanomq_py.broker import Broker
from nanomq_py.http.emqx.node import open_descriptors_max
from nanomq_py.listen.listener import Listening

PROTOCOLS = {
    "nmq-tcp": "mqtt:tcp",
    "tls+nmq-tcp": "mqtt:ssl",
    "nmq-ws": "mqtt:ws",
    "nmq-wss": "mqtt:wss",
    "nmq-ipc": "mqtt:ipc",
}
ACCEPTORS = 1  # a listener accepts one connection after the other


@dataclass(frozen=True)
class ListenerFacts:
    """One listener.

    name             of the configuration: tcp, tls, ws, wss, or NAME of ``listener.NAME``
    listen_on        ``ADDRESS:PORT``; of mqtt:ipc the path of its socket
    max_connections  the lowest bound that counts for it
    shutdown_count   how many connections ended for a reason that is counted by listener: those
                     that were not let in. Without any it is an empty list, as EMQX has it
    """

    name: str
    protocol: str
    listen_on: str
    acceptors: int
    max_connections: int
    current_connections: int
    shutdown_count: dict[str, int] | list[str]


def listener_facts(broker: Broker) -> Iterator[ListenerFacts]:
    """Yield each listener that is open, in the order of the configuration."""
    in_all = [broker.config.max_connections, open_descriptors_max()]
    for name, listening in broker.listening().items():
        stats = listening.stats
        yield ListenerFacts(
            name=name,
            protocol=PROTOCOLS[urlsplit(listening.url).scheme],
            listen_on=_listen_on(listening),
            acceptors=ACCEPTORS,
            max_connections=min(
                bound for bound in (listening.connections_max, *in_all) if bound
            ),
            current_connections=stats.open,
            shutdown_count={"refused": stats.refused} if stats.refused else [],
        )


def _listen_on(listening: Listening) -> str:
    parts = urlsplit(listening.url)
    if not listening.port:
        return parts.path
    host = parts.netloc.rpartition(":")[0] or parts.netloc
    return f"{host}:{listening.port}"
