"""Counts what each client does: a plugin with a key, a route and events.

::

    plugins.load=counter
    plugins.counter.most_clients=100

    GET /plugins/counter/clients     {"pump": {"connections": 2, "deliveries": 17}}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from nanomq_py import Broker, Config
from nanomq_py.config.declare.key import Checked, key
from nanomq_py.config.declare.section import Section
from nanomq_py.config.values.numbers import Whole
from nanomq_py.events import Connected, Delivered, Events
from nanomq_py.kernel.part import Change
from nanomq_py.plugins.plugin import Plugin


@dataclass(frozen=True, kw_only=True)
class Keys(Checked):
    most_clients: int = key(
        "most_clients",
        Whole(1, 1_000_000),
        1000,
        "Clients that are counted. One more takes the place of the one that came first.",
    )


@dataclass
class Counts:
    connections: int = 0
    deliveries: int = 0


class Counter(Plugin):
    brings = (Section("plugins.counter", Keys, "Counts of clients"),)

    def __init__(self, name: str, broker: Broker) -> None:
        super().__init__(name, broker)
        self._keys = Keys()
        self._counts: dict[str, Counts] = {}

    async def prepare(self, config: Config) -> Change:
        """Check what can fail; the change is put in force later, or not at all."""
        return _KeysChange(self, config.of_part(Keys))

    def use(self, keys: Keys) -> None:
        self._keys = keys
        self._forget(keys.most_clients)

    async def start(self) -> None:
        self.work(self._count(self.broker.events([Connected, Delivered])))

    async def _count(self, events: Events[Connected | Delivered]) -> None:
        async with events:
            async for event in events:
                counts = self._of(event.client.client_id)
                if isinstance(event, Connected):
                    counts.connections += 1
                else:
                    counts.deliveries += 1

    def _of(self, client_id: str) -> Counts:
        if client_id not in self._counts:
            self._forget(self._keys.most_clients - 1)
        return self._counts.setdefault(client_id, Counts())

    def _forget(self, most: int) -> None:
        while len(self._counts) > most:
            del self._counts[next(iter(self._counts))]

    def routes(self) -> Sequence[BaseRoute]:
        return [Route("/clients", self._clients)]

    async def _clients(self, request: Request) -> JSONResponse:
        return JSONResponse({name: asdict(c) for name, c in self._counts.items()})


class _KeysChange(Change):
    def __init__(self, counter: Counter, keys: Keys) -> None:
        self._counter = counter
        self._new = keys

    def commit(self) -> None:
        self._counter.use(self._new)
