"""The dialects of the HTTP API: each is imported when it is first switched on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from nanomq_py.http.app import Dialect, make_app
from nanomq_py.http.guard import Gate
from nanomq_py.http.node import status_text

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from nanomq_py.broker import Broker
    from nanomq_py.http.v1.api import Process
    from nanomq_py.kernel.reload import Reloader


@dataclass(frozen=True)
class House:
    """What dialects work on.

    plugins  makes the application below ``/plugins``
    """

    broker: Broker
    configurator: Reloader
    process: Process
    plugins: Callable[[Gate], ASGIApp]


def _v1(house: House, gate: Gate) -> Dialect:
    from nanomq_py.http.v1.api import V1, Api

    return V1(Api(house.broker, house.configurator, house.process), gate)


# By the name in http_server.dialects. The keys have the same names: config/keys/http_server.py.
MAKERS: Mapping[str, Callable[[House, Gate], Dialect]] = {"v1": _v1}


@dataclass(frozen=True)
class Dialects:
    """Applications of some of the dialects; one that was made once is used again."""

    house: House
    _made: dict[str, Dialect] = field(default_factory=dict)

    def app(self, gate: Gate, names: Sequence[str]) -> Starlette:
        """Return what serves these, in the order of MAKERS; it is the same gate each time."""
        for name in names:
            if name not in self._made:
                self._made[name] = MAKERS[name](self.house, gate)
        spoken = [self._made[name] for name in MAKERS if name in names]
        return make_app(
            spoken, [*self._open(), Mount("/plugins", self.house.plugins(gate))]
        )

    def _open(self) -> list[BaseRoute]:
        """Return the routes that need no login."""

        async def status(request: Request) -> Response:
            return PlainTextResponse(status_text(self.house.configurator.config))

        return [Route("/status", status)]
