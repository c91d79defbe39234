"""What the endpoints of the platform work on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nanomq_py.http.node import node_name

if TYPE_CHECKING:
    from nanomq_py.broker import Broker
    from nanomq_py.http.guard import Gate
    from nanomq_py.plugins.devices.tokens import Tokens


@dataclass(frozen=True)
class Api:
    """The broker, and what the plugin keeps.

    gate  judges the passwords of logins
    """

    broker: Broker
    gate: Gate
    tokens: Tokens

    @property
    def node(self) -> str:
        """The name of this node: a broker alone is a cluster of one."""
        return node_name(self.broker.config)
