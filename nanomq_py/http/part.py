"""The HTTP server of a process, which a reload moves to another address, or switches off.

What it needs is imported when it is first switched on.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from nanomq_py.auth.callers import CannotJudgeError, Stored
from nanomq_py.config import Config, ConfigError
from nanomq_py.config.keys.http_server import DEFAULT_HTTP_PASSWORD
from nanomq_py.http.guard import Gate, Nobody
from nanomq_py.http.terms import Terms, cannot_serve, http_address
from nanomq_py.kernel.part import Change, Part
from nanomq_py.listen.sockets import bind_tcp

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from nanomq_py.http.front import Front
    from nanomq_py.http.serving import Serving

log = logging.getLogger("nanomq")

STOP_WITHIN_S = 0.5


class Apps(Protocol):
    """What makes the application that is served."""

    def app(self, gate: Gate, names: Sequence[str]) -> ASGIApp:
        """Return one of the dialects of these names."""


def _is_default(config: Config) -> bool:
    http = config.http_server
    return http.enable and http.password == DEFAULT_HTTP_PASSWORD


class HttpChange(Change):
    """Other terms, and another socket where the address has changed."""

    def __init__(self, http: Http, config: Config) -> None:
        self._http = http
        self._config = config
        self._old = http.terms
        self._terms: Terms | None = None
        self._is_replaced = False  # the default password
        self._sock: socket.socket | None = None
        self._app: ASGIApp | None = None  # where there is another one

    @property
    def renewed(self) -> list[str]:
        """Keys whose file has another content now."""
        if self._old is None or self._terms is None:
            return []
        return self._terms.renewed(self._old)

    async def prepare(self) -> None:
        """Read keys and bind. Raises ConfigError, and nothing has changed."""
        self._terms = await asyncio.to_thread(Terms.load, self._config)
        self._is_replaced = await self._http.is_replaced(self._config)
        address = http_address(self._config)
        if address is None:
            return
        try:
            if self._old is None:  # nobody waits yet, and the heap of a thread takes more
                self._app = self._http.load(self._terms)
            else:
                self._app = await asyncio.to_thread(self._http.load, self._terms)
        except (OSError, ImportError) as fault:
            raise cannot_serve(fault) from None
        if address == self._http.address:
            return
        host, port = address
        serving = self._http.serving
        leaving = [] if serving is None else [serving.sock]
        try:
            self._sock = await bind_tcp(host, port, leaving, only_ipv6=False)
        except OSError as fault:
            key = "port" if fault.errno else "host"  # an unknown name has no errno
            value = port if fault.errno else repr(host)
            raise ConfigError(
                f"http_server.{key}={value}: cannot listen on {host}: {fault.strerror}"
            ) from None

    def commit(self) -> None:
        """Serve on the new terms; answers under way still go out."""
        assert self._terms is not None
        if self._app is not None:
            self._http.show(self._app, self._terms)
        self._http.use(self._terms, http_address(self._config), self._sock)
        self._http.warn_of_default(self._config, is_replaced=self._is_replaced)

    async def undo(self) -> None:
        if self._sock is not None:
            self._sock.close()


class Http(Part):
    """The HTTP server: on one address, or switched off."""

    name = "http"

    def __init__(
        self,
        make_apps: Callable[[], Apps],
        stored: Callable[[], Stored] = Nobody,
    ) -> None:
        """Make it switched off.

        make_apps  is called when it is first switched on
        stored     returns the users and apps that the configuration does not have
        """
        self.serving: Serving | None = None
        self.address: tuple[str, int] | None = None
        self.terms: Terms | None = None  # in force
        self._make_apps = make_apps
        self._stored = stored
        self._apps: Apps | None = None
        self._front: Front | None = None
        self._app: ASGIApp | None = None  # behind it
        self._gate: Gate | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._warned = False

    @property
    def port(self) -> int | None:
        """The port in use."""
        return None if self.serving is None else int(self.serving.sock.getsockname()[1])

    def load(self, terms: Terms) -> ASGIApp:
        """Load what serving needs, which takes descriptors; return the application.

        Raises   OSError, ImportError
        """
        if self._gate is None:
            self._gate = Gate(terms.guard, self._stored())
        if self._apps is None:
            self._apps = self._make_apps()
        if self._app is not None and self.terms and terms.dialects == self.terms.dialects:
            return self._app
        app = self._apps.app(self._gate, terms.dialects)
        if self._front is None:
            from nanomq_py.http.front import Front
            from nanomq_py.http.serving import config_of

            config_of(app)
            self._front = Front(app)
        return app

    def show(self, app: ASGIApp, terms: Terms) -> None:
        """Hand requests on to this application, which :meth:`load` returned."""
        assert self._front is not None
        self._app = app
        self._front.use(app, terms.manners)

    async def prepare(self, config: Config) -> HttpChange:
        change = HttpChange(self, config)
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
        if self._gate is not None:
            self._gate.guard = terms.guard
        if address == self.address:
            if self.serving is not None:
                self.serving.use(terms)
            return
        self.address = address
        old, self.serving = self.serving, None
        if sock is not None:
            self.serving = self._serve(sock, terms)
        if old is not None:
            old.leave()
            self._leaving.add(old.task)
            old.task.add_done_callback(self._leaving.discard)

    def _serve(self, sock: socket.socket, terms: Terms) -> Serving:
        from nanomq_py.http.serving import Serving

        assert self._front is not None
        return Serving(self._front, sock, terms)

    async def is_replaced(self, config: Config) -> bool:
        """Return whether the default password would not count, since others may log in."""
        if not _is_default(config):
            return False
        try:
            return await self._stored().has_administrator()
        except CannotJudgeError:
            return False  # the store says why when it is used

    def warn_of_default(self, config: Config, *, is_replaced: bool = False) -> None:
        """Warn of the default password, once until there is another."""
        if self._gate is not None:
            in_use = config.http_server.auth_type == "basic"
            self._gate.stored.needs_administrator = in_use and _is_default(config)
        default = _is_default(config) and not is_replaced
        if default and not self._warned:
            log.warning(
                "http_server.password is the default; set another before others can reach it"
            )
        self._warned = default

    async def start(self) -> None:
        """Return when requests are answered. Raises ConfigError when they will not be."""
        if self.serving is not None:
            await self.serving.started()

    def leave(self) -> None:
        """Take no more requests; answers under way still go out."""
        if self.serving is not None:
            self.serving.leave()

    async def stop(self) -> None:
        """Return when all connections have ended; cut them after half a second.

        What makes an answer has as long again to see that its peer is gone.
        """
        tasks = set(self._leaving)
        if self.serving is not None:
            tasks.add(self.serving.task)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=STOP_WITHIN_S)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=STOP_WITHIN_S)
