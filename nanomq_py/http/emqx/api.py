"""What the endpoints of EMQX's dialects work on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nanomq_py.http.emqx.pace import Pace, Processors
from nanomq_py.http.errors import NotFound
from nanomq_py.kernel.node import node_name

if TYPE_CHECKING:
    from nanomq_py.broker import Broker
    from nanomq_py.http.guard import Gate
    from nanomq_py.http.process import Process
    from nanomq_py.kernel.reload import Reloader
    from nanomq_py.plugins.part import Plugins


class UnknownNode(NotFound):
    """A broker alone is a cluster of one: there is no other node."""


@dataclass(frozen=True)
class Api:
    """The broker, its configuration, its plugins and its process.

    gate  judges passwords that are in the body of a request
    messages    pace of the messages from clients, and to them
    processors  what the process takes of them
    """

    broker: Broker
    configurator: Reloader
    plugins: Plugins
    gate: Gate
    process: Process
    messages: Pace = field(default_factory=Pace)
    processors: Processors = field(default_factory=Processors)

    @property
    def node(self) -> str:
        """The name of this node: a broker alone is a cluster of one."""
        return node_name(self.configurator.config)

    def check_node(self, name: str) -> None:
        """Raise UnknownNode for the name of another node."""
        if name != self.node:
            raise UnknownNode(f"node {name[:64]!r}: this one is {self.node!r}")
