"""What the endpoints of the platform work on."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nanomq_py.config.values.texts import shown
from nanomq_py.kernel.node import node_name

if TYPE_CHECKING:
    from nanomq_py.broker import Broker
    from nanomq_py.http.guard import Gate
    from nanomq_py.plugins.devices.callbacks import Callbacks
    from nanomq_py.plugins.devices.commands.commands import Commands
    from nanomq_py.plugins.devices.inventory import Inventory
    from nanomq_py.plugins.devices.routes import MessageRoutes
    from nanomq_py.plugins.devices.targets import Targets
    from nanomq_py.plugins.devices.tokens import Tokens

log = logging.getLogger("nanomq.audit")


@dataclass(frozen=True)
class Api:
    """The broker, and what the plugin keeps.

    gate  judges the passwords of logins
    """

    broker: Broker
    gate: Gate
    tokens: Tokens
    targets: Targets
    callbacks: Callbacks
    routes: MessageRoutes
    commands: Commands
    inventory: Inventory

    @property
    def node(self) -> str:
        """The name of this node: a broker alone is a cluster of one."""
        return node_name(self.broker.config)

    def audit(self, who: str, what: str) -> None:
        """Tell the audit log what somebody has changed."""
        log.info("%s: %s", who, shown(what))
