"""The dialects that are served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nanomq_py.http.app import Dialect
from nanomq_py.http.emqx.api import Api as EmqxApi
from nanomq_py.http.emqx.node import node_name
from nanomq_py.http.emqx_v2.dialect import EmqxV2
from nanomq_py.http.emqx_v4.dialect import CLOUD, EmqxV4
from nanomq_py.http.guard import Gate
from nanomq_py.http.v1.api import V1, Api, Process

if TYPE_CHECKING:
    from nanomq_py.broker import Broker
    from nanomq_py.kernel.reload import Reloader
    from nanomq_py.plugins.part import Plugins


def dialects_of(
    broker: Broker, configurator: Reloader, plugins: Plugins, process: Process, gate: Gate
) -> list[Dialect]:
    """Return the dialects; the first one answers for paths of no dialect."""
    emqx = EmqxApi(broker, configurator, plugins, node_name())
    return [
        V1(Api(broker, configurator, process), gate),
        EmqxV2(emqx, gate),
        EmqxV4(emqx, gate),
        EmqxV4(emqx, gate, CLOUD),
    ]
