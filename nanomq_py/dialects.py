"""The dialects of the HTTP API: each is imported when it is first switched on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Match, Mount, Route
from starlette.types import Receive, Scope, Send

from nanomq_py.http.app import Dialect, Own, make_app
from nanomq_py.http.documentation import Documentation
from nanomq_py.http.errors import HttpError, NotFound, error_of
from nanomq_py.http.guard import Gate
from nanomq_py.http.node import status_text

if TYPE_CHECKING:
    from nanomq_py.broker import Broker
    from nanomq_py.http.emqx.api import Api as EmqxApi
    from nanomq_py.http.process import Process
    from nanomq_py.kernel.reload import Reloader
    from nanomq_py.plugins.part import Plugins


@dataclass(frozen=True)
class House:
    """What dialects work on."""

    broker: Broker
    configurator: Reloader
    process: Process
    plugins: Plugins


def _v1(house: House, gate: Gate) -> list[Dialect]:
    from nanomq_py.http.v1.api import V1, Api

    return [V1(Api(house.broker, house.configurator, house.process), gate)]


def _emqx(house: House, gate: Gate) -> EmqxApi:
    from nanomq_py.http.emqx.api import Api

    return Api(house.broker, house.configurator, house.plugins, gate, house.process)


def _v2(house: House, gate: Gate) -> list[Dialect]:
    from nanomq_py.http.emqx_v2.dialect import EmqxV2

    return [EmqxV2(_emqx(house, gate), gate)]


def _v4(house: House, gate: Gate) -> list[Dialect]:
    from nanomq_py.http.emqx_v4.dialect import CLOUD, EmqxV4

    api = _emqx(house, gate)
    return [EmqxV4(api, gate), EmqxV4(api, gate, CLOUD)]


# By the name in http_server.dialects. The keys have the same names: config/keys/http_server.py.
MAKERS: Mapping[str, Callable[[House, Gate], list[Dialect]]] = {
    "v1": _v1,
    "v2": _v2,
    "v4": _v4,
}


@dataclass(frozen=True)
class Dialects:
    """Applications of some of the dialects; one that was made once is used again."""

    house: House
    _made: dict[str, list[Dialect]] = field(default_factory=dict)

    def app(self, gate: Gate, names: Sequence[str]) -> Starlette:
        """Return what serves these, in the order of MAKERS; it is the same gate each time."""
        for name in names:
            if name not in self._made:
                self._made[name] = MAKERS[name](self.house, gate)
        spoken = [each for name in MAKERS if name in names for each in self._made[name]]
        pages = Mount("/plugins", self.house.plugins.pages(gate))
        plugged = _Plugged(self.house.plugins, gate)
        described = Documentation(lambda: [*spoken, *plugged.dialects()], gate).routes()
        return make_app(spoken, [*self._open(spoken), pages, *described, plugged])

    def _open(self, spoken: Sequence[Dialect]) -> list[BaseRoute]:
        """Return the routes that need no login."""

        async def status(request: Request) -> Response:
            return PlainTextResponse(status_text(self.house.configurator.config))

        below = ("", *_prefixes(spoken))
        paths = [f"{each}/status{slash}" for each in below for slash in ("", "/")]
        routes: list[BaseRoute] = [Own(path, status) for path in paths]
        if "/api/v2" in below:
            from nanomq_py.http.emqx_v2.dialect import paths_at_root

            routes.append(Route("/", paths_at_root))
        return routes


class _Plugged(BaseRoute):
    """All paths of dialects that plugins bring, as long as these are loaded."""

    def __init__(self, plugins: Plugins, gate: Gate) -> None:
        self._plugins = plugins
        self._gate = gate

    def dialects(self) -> list[Dialect]:
        return [below.dialect for _, below in self._plugins.below(self._gate)]

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        for held, below in self._plugins.below(self._gate):
            if below.matches(scope)[0] is Match.FULL:
                return Match.FULL, {"plugged": (held, below)}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on. Errors are told in the words of the dialect."""
        held, below = scope["plugged"]
        has_begun = False

        async def tell(message: MutableMapping[str, Any]) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        its = {k: v for k, v in scope.items() if k != "starlette.exception_handlers"}
        error: HttpError
        try:
            if await held.answer(below.handle(its, receive, tell)):
                return
            error = NotFound(f"the plugin {held.name!r} is loaded no more")
        except HttpError as fault:
            error = fault
        except HTTPException as fault:
            error = error_of(fault.status_code, fault.headers)
        if not has_begun:  # else the connection is closed in the middle of an answer
            await below.dialect.render(error)(scope, receive, send)


def _prefixes(spoken: Sequence[Dialect]) -> list[str]:
    """Return where dialects are that have a path for each thing."""
    return [each.prefix for each in spoken if each.prefix != "/api/v1"]
