"""The endpoints of a dialect, in modules that are imported by the first request to their paths.

::

    FAMILIES = Families({"nanomq_py.http.emqx_v2.clients": ("clients", "kick_client"), ...})

    GET /nodes/{node}/clients    one of its first names is ``clients``: imports the module,
                                 whose ``ENDPOINTS`` are the endpoints

Each path of a module has one of the module's names among its first three. Who calls a client
``clients`` may load more than is asked for, and never less.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from importlib import import_module

from nanomq_py.http.rest.endpoint import Endpoint
from nanomq_py.http.rest.router import Found, Router, plain

FIRST = 3  # names of a path, that say which modules it needs


class Families:
    """The endpoints of a dialect.

    names    the modules, in the order in which the dialect lists them, and the names in paths
             that load them

    Threads  belongs to the event loop
    """

    def __init__(
        self,
        names: Mapping[str, Sequence[str]],
        own: Sequence[Endpoint] = (),
    ) -> None:
        """Make them. ``own`` endpoints are there at once, in front of the others."""
        self.names = names
        self._own = own
        self._loaded: dict[str, Sequence[Endpoint]] = {}
        self._router: Router[Endpoint] = Router()
        self._waiting: dict[bytes, list[str]] = {}
        for module, of_module in names.items():
            for name in of_module:
                self._waiting.setdefault(name.encode(), []).append(module)
        self._add(own)

    def find(self, method: str, path: bytes) -> Found[Endpoint]:
        """Return the endpoint of a path that is not decoded yet: see Router.find."""
        for name in map(plain, path.strip(b"/").split(b"/", FIRST)[:FIRST]):
            for module in self._waiting.get(name, ()):
                self._load(module)
            self._waiting.pop(name, None)
        return self._router.find(method, path)

    async def load(self) -> None:
        """Load all modules; others get the loop between two of them."""
        for module in self.names:
            self._load(module)
            await asyncio.sleep(0)

    def all(self) -> list[Endpoint]:
        """Return all endpoints. Blocks for the import of those that nobody asked for yet."""
        for module in self.names:
            self._load(module)
        return [*self._own, *(each for name in self.names for each in self._loaded[name])]

    def _load(self, module: str) -> None:
        if module not in self._loaded:
            endpoints = import_module(module).ENDPOINTS
            self._loaded[module] = endpoints
            self._add(endpoints)

    def _add(self, endpoints: Sequence[Endpoint]) -> None:
        for endpoint in endpoints:
            for path in (endpoint.path, *endpoint.also):
                self._router.add(endpoint.method, path, endpoint)
