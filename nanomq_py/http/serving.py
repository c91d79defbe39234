"""The HTTP server of a process, which a reload moves to another address."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from nanomq_py.config import Config, ConfigError
from nanomq_py.config.sections import DEFAULT_HTTP_PASSWORD
from nanomq_py.http.connection import HEAD_BYTES, Connection, Hub
from nanomq_py.http.door import Bounds, Door
from nanomq_py.http.guard import Gate, Guard, JwtGuard, make_guard
from nanomq_py.http.tls import ServerTls, load_server_tls, renewed_keys
from nanomq_py.listen.sockets import bind_tcp

log = logging.getLogger("nanomq")

FAREWELL_S = 1  # for answers under way
TICKS_A_LOOK = 10  # of uvicorn's ten a second


class _Uvicorn(uvicorn.Server):
    """uvicorn behind a door of ours.

    It has no signal handlers of its own: the process has one place for them.
    """

    def __init__(self, config: uvicorn.Config, sock: socket.socket, terms: Terms) -> None:
        super().__init__(config)
        tls = None if terms.tls is None else terms.tls.context
        self.door = Door(sock, terms.bounds, tls, self._connection)

    def _connection(self, hub: Hub, network: str) -> Connection:
        return Connection(hub, self.config, self.server_state, network)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.lifespan.startup()
        self.servers = [cast(asyncio.Server, self.door)]  # to close, and wait until it is
        self.door.open()
        self.started = True

    async def on_tick(self, counter: int) -> bool:
        if counter % TICKS_A_LOOK == 0:
            self.door.look()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Before uvicorn cancels the requests of who is late, with a traceback for each.
        late = asyncio.get_running_loop().call_later(FAREWELL_S, self.door.cut)
        try:
            await super().shutdown(sockets)
        finally:
            late.cancel()
            self.door.cut()  # who does not take its last answer

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def http_address(config: Config) -> tuple[str, int] | None:
    """Return where the HTTP API listens; None: nowhere."""
    http = config.http_server
    if not http.enable:
        return None
    open_to_all = http.auth_type == "jwt" or http.password != DEFAULT_HTTP_PASSWORD
    return http.host or ("0.0.0.0" if open_to_all else "127.0.0.1"), http.port


@dataclass(frozen=True)
class Terms:
    """What callers are let in by: login, bounds, TLS."""

    guard: Guard
    bounds: Bounds
    tls: ServerTls | None

    @staticmethod
    def load(config: Config) -> Terms:
        """Read keys and certificates. Raises ConfigError. Blocks."""
        http = config.http_server
        return Terms(make_guard(http), Bounds.of(http), load_server_tls(config))

    def renewed(self, old: Terms) -> list[str]:
        """Return the keys whose file has another content than it had."""
        names = renewed_keys(old.tls, self.tls)
        keys = [
            guard.keys.get("RS256")
            for guard in (old.guard, self.guard)
            if isinstance(guard, JwtGuard)
        ]
        if len(keys) == 2 and keys[0] != keys[1]:
            names.append("http_server.jwt.public.keyfile")
        return names


def _cannot_serve(fault: BaseException | None) -> ConfigError:
    why = getattr(fault, "strerror", None) or repr(fault)
    return ConfigError(f"http_server.enable=true: it cannot serve: {why}")


def _config(app: ASGIApp) -> uvicorn.Config:
    """Return it with its modules loaded. Raises OSError where no descriptor is left."""
    config = uvicorn.Config(
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
        proxy_headers=False,  # who fails to log in cannot say that it was another
    )
    config.load()
    return config


class _Running:
    """uvicorn on one socket."""

    def __init__(self, app: ASGIApp, sock: socket.socket, terms: Terms) -> None:
        self.sock = sock
        self._server = _Uvicorn(
            _config(app),
            sock,
            terms,
        )
        self.task = asyncio.create_task(self._server.serve(sockets=[sock]))

    async def started(self) -> None:
        """Return when it serves. Raises ConfigError when it does not."""
        # The socket listens already; uvicorn's own start-up needs a turn of the loop or two.
        while not self._server.started and not self.task.done():  # noqa: ASYNC110
            await asyncio.sleep(0)
        if not self._server.started and not self.task.cancelled():
            raise _cannot_serve(self.task.exception())

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


class Change:
    """Other terms, and another socket where the address is another."""

    def __init__(self, serving: Serving, config: Config) -> None:
        self._serving = serving
        self._config = config
        self._old = serving.terms
        self._terms: Terms | None = None
        self._sock: socket.socket | None = None

    @property
    def renewed(self) -> list[str]:
        """Keys whose file has another content now."""
        if self._old is None or self._terms is None:
            return []
        return self._terms.renewed(self._old)

    async def prepare(self) -> None:
        """Read keys and bind. Raises ConfigError, and nothing has changed."""
        self._terms = await asyncio.to_thread(Terms.load, self._config)
        address = http_address(self._config)
        if address is None or address == self._serving.address:
            return
        host, port = address
        try:
            await asyncio.to_thread(self._serving.load)
        except (OSError, ImportError) as fault:
            raise _cannot_serve(fault) from None
        running = self._serving.running
        leaving = [] if running is None else [running.sock]
        try:
            self._sock = await bind_tcp(host, port, leaving, only_ipv6=False)
        except OSError as fault:
            key = "port" if fault.errno else "host"  # names that are not known have none
            value = port if fault.errno else repr(host)
            raise ConfigError(
                f"http_server.{key}={value}: cannot listen on {host}: {fault.strerror}"
            ) from None

    def commit(self) -> None:
        """Serve there, by that guard; answers under way still go out."""
        assert self._terms is not None
        self._serving.use(self._terms, http_address(self._config), self._sock)
        self._serving.warn_of_default(self._config)

    async def undo(self) -> None:
        if self._sock is not None:
            self._sock.close()


class Serving:
    """The HTTP server: on one address, or switched off."""

    def __init__(self, gate: Gate, app: ASGIApp) -> None:
        self.running: _Running | None = None
        self.address: tuple[str, int] | None = None
        self.terms: Terms | None = None  # in force
        self._gate = gate
        self._app = app
        self._leaving: set[asyncio.Task[None]] = set()
        self._warned = False

    @property
    def port(self) -> int | None:
        """The port in use."""
        return None if self.running is None else int(self.running.sock.getsockname()[1])

    def load(self) -> None:
        """Load what serving needs, which takes descriptors. Raises OSError, ImportError."""
        _config(self._app)

    async def prepare(self, config: Config) -> Change:
        """Return the way to what that configuration says. Raises ConfigError."""
        change = Change(self, config)
        await change.prepare()
        return change

    def use(
        self,
        terms: Terms,
        address: tuple[str, int] | None,
        sock: socket.socket | None,
    ) -> None:
        """Follow a change: ``sock`` is for a new address."""
        self.terms = terms
        self._gate.guard = terms.guard
        if address == self.address:
            if self.running is not None:
                self.running.use(terms)
            return
        self.address = address
        old, self.running = self.running, None
        if sock is not None:
            self.running = _Running(self._app, sock, terms)
        if old is not None:
            old.leave()
            self._leaving.add(old.task)
            old.task.add_done_callback(self._leaving.discard)

    def warn_of_default(self, config: Config) -> None:
        """Warn of the default password, once until there is another."""
        http = config.http_server
        default = http.enable and http.password == DEFAULT_HTTP_PASSWORD
        if default and not self._warned:
            log.warning(
                "http_server.password is the default; set another before others can reach it"
            )
        self._warned = default

    async def started(self) -> None:
        """Return when requests are answered. Raises ConfigError when they will not be."""
        if self.running is not None:
            await self.running.started()

    def leave(self) -> None:
        """Take no more requests; answers under way still go out."""
        if self.running is not None:
            self.running.leave()

    async def stopped(self, timeout_s: float) -> None:
        """Return when all have left, after :meth:`leave`; cut them after ``timeout_s``."""
        tasks = set(self._leaving)
        if self.running is not None:
            tasks.add(self.running.task)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout_s)
            for task in late:
                task.cancel()
