"""The dialects that are served, and the application that they make."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Mount
from starlette.types import ASGIApp

from nanomq_py.http.app import Dialect, make_app
from nanomq_py.http.documentation import Documentation
from nanomq_py.http.emqx.api import Api as EmqxApi
from nanomq_py.http.emqx.node import node_name
from nanomq_py.http.emqx_v2.dialect import EmqxV2
from nanomq_py.http.emqx_v4.dialect import CLOUD, EmqxV4
from nanomq_py.http.guard import Gate
from nanomq_py.http.rest.dialect import RestDialect
from nanomq_py.http.v1.api import V1, Api, Process

if TYPE_CHECKING:
    from nanomq_py.broker import Broker
    from nanomq_py.kernel.reload import Reloader
    from nanomq_py.plugins.part import Plugins


def app_of(
    broker: Broker, configurator: Reloader, plugins: Plugins, process: Process, gate: Gate
) -> ASGIApp:
    """Return the HTTP API of a process: all dialects, their document, plugins' pages."""
    emqx = EmqxApi(broker, configurator, plugins, node_name())
    dialects: list[Dialect] = [
        V1(Api(broker, configurator, process), gate),
        EmqxV2(emqx, gate),
        EmqxV4(emqx, gate),
        EmqxV4(emqx, gate, CLOUD),
    ]
    rest = [each for each in dialects if isinstance(each, RestDialect)]
    described = Documentation(rest, gate)
    pages = Mount("/plugins", plugins.pages(gate))
    return make_app(dialects, [pages, *described.routes()])
