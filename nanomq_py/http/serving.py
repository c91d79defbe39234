"""uvicorn on one socket, behind our own accept (``door.py``)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import cast

from starlette.types import ASGIApp

from nanomq_py.http.asgi import Config, Server
from nanomq_py.http.connection import HEAD_BYTES, Connection, Hub
from nanomq_py.http.door import Door
from nanomq_py.http.terms import Terms, cannot_serve

FAREWELL_S = 1  # for answers under way
CUT_S = 0.5  # for what makes answers, once their peers are cut
TICKS_A_LOOK = 10  # of uvicorn's ten a second


class _Uvicorn(Server):
    """uvicorn with our door in place of its servers.

    It has no signal handlers of its own: the process has one place for them.
    """

    def __init__(self, config: Config, sock: socket.socket, terms: Terms) -> None:
        super().__init__(config)
        tls = None if terms.tls is None else terms.tls.context
        self.door = Door(sock, terms.bounds, tls, self._connection)

    def _connection(self, hub: Hub, network: str) -> Connection:
        return Connection(hub, self.config, self.server_state, network)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.lifespan.startup()
        # uvicorn closes it, and waits until it is closed.
        self.servers = [cast(asyncio.Server, self.door)]
        self.door.open()
        self.started = True

    async def on_tick(self, counter: int) -> bool:
        if counter % TICKS_A_LOOK == 0:
            self.door.look()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Before uvicorn cancels late requests, with a traceback for each.
        late = asyncio.get_running_loop().call_later(FAREWELL_S, self.door.cut)
        try:
            await super().shutdown(sockets)
        finally:
            late.cancel()
            self.door.cut()  # peers that do not take their last answer
            if (
                self.server_state.tasks
            ):  # they see it; cancelled, each would log a traceback
                await asyncio.wait(self.server_state.tasks, timeout=CUT_S)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def config_of(app: ASGIApp) -> Config:
    """Return uvicorn's configuration, loaded. Raises OSError where no descriptor is left."""
    config = Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        loop="asyncio",
        http="h11",
        ws="none",
        h11_max_incomplete_event_size=HEAD_BYTES,
        timeout_graceful_shutdown=2 * FAREWELL_S,
        server_header=False,
        proxy_headers=False,  # a failed login cannot be put down to another address
    )
    config.load()
    return config


class Serving:
    """uvicorn on one socket."""

    def __init__(self, app: ASGIApp, sock: socket.socket, terms: Terms) -> None:
        self.sock = sock
        self._server = _Uvicorn(config_of(app), sock, terms)
        self.task = asyncio.create_task(self._server.serve(sockets=[sock]))

    async def started(self) -> None:
        """Return when it serves. Raises ConfigError when it does not."""
        # The socket listens already; uvicorn's own start-up needs a turn of the loop or two.
        while not self._server.started and not self.task.done():  # noqa: ASYNC110
            await asyncio.sleep(0)
        if not self._server.started and not self.task.cancelled():
            raise cannot_serve(self.task.exception())

    def use(self, terms: Terms) -> None:
        """Follow these from the next connection on."""
        door = self._server.door
        door.bounds = terms.bounds
        door.tls = None if terms.tls is None else terms.tls.context

    def leave(self) -> None:
        """Let nobody in from now on, and stop once the answers under way are given."""
        self._server.door.close()
        self.sock.close()
        self._server.should_exit = True
