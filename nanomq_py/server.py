"""One broker process: puts the parts together, starts and stops them, takes signals."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from nanomq_py import core, logs, systemd
from nanomq_py.broker import Broker, HandOver
from nanomq_py.config import Config, ConfigError, load
from nanomq_py.config.model import DEFAULT_HTTP_PASSWORD
from nanomq_py.http.app import make_app
from nanomq_py.http.guard import make_guard
from nanomq_py.listeners import Inherited, places_of
from nanomq_py.memory import Trimmer
from nanomq_py.pidfile import PidFile, default_path

log = logging.getLogger("nanomq")

STOP_WITHIN_S = 1.2  # for the clients; the whole stop must stay under 2 s


class _HttpServer(uvicorn.Server):
    """uvicorn without signal handlers of its own: the process has one place for them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def http_address(config: Config) -> tuple[str, int]:
    """Return where the HTTP API listens."""
    http = config.http_server
    open_to_all = http.auth_type == "jwt" or http.password != DEFAULT_HTTP_PASSWORD
    return http.host or ("0.0.0.0" if open_to_all else "127.0.0.1"), http.port


def bind_http(config: Config) -> socket.socket:
    """Return a listening socket. Raises ConfigError naming the key."""
    host, port = http_address(config)
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, proto)
    except OSError as fault:
        raise ConfigError(f"http_server.host={host!r}: {fault.strerror}") from None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(128)
    except OSError as fault:
        sock.close()
        raise ConfigError(
            f"http_server.port={port}: cannot listen on {host}: {fault.strerror}"
        ) from None
    return sock


def refuse_unsupported(config: Config) -> None:
    """Refuse what would be unsafe to leave out in silence; warn of the rest.

    Raises   ConfigError
    """
    refused = {
        "auth.http.enable": config.auth_http.enable,
    }
    for name, used in refused.items():
        if used:
            raise ConfigError(f"{name}: this version cannot enforce it yet; take it out")
    ignored = {
        "web.hook.enable": config.web_hook.enable,
        "sqlite.enable": config.sqlite.enable,
        "bridge.mqtt": any(bridge.bridge_mode for bridge in config.bridges),
    }
    for name, used in ignored.items():
        if used:
            log.warning("%s: not in this version yet; ignored", name)


class Server:
    """The parts of one process, from start to stop."""

    def __init__(self, config: Config, conf: Path | None) -> None:
        self.config = config
        self.broker = Broker(config)
        self.http_port: int | None = None
        path = Path(config.pid_file) if config.pid_file else default_path(conf)
        self._pid_file = PidFile(path)
        self._http: _HttpServer | None = None
        self._http_task: asyncio.Task[None] | None = None
        self._conf = conf
        self._stopping = asyncio.Event()
        self._restarts = False
        self.handed_over: HandOver | None = None  # by the stop of a restart

    async def _start_http(self) -> None:
        if not self.config.http_server.enable:
            return
        app = make_app(self.broker, make_guard(self.config.http_server))
        sock = bind_http(self.config)
        self.http_port = sock.getsockname()[1]
        self._http = _HttpServer(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                loop="asyncio",
                http="h11",
                ws="none",
                timeout_graceful_shutdown=1,
                server_header=False,
            )
        )
        self._http_task = asyncio.create_task(self._http.serve(sockets=[sock]))
        # The socket listens already; uvicorn's own start-up needs a turn of the loop or two.
        while not self._http.started and not self._http_task.done():  # noqa: ASYNC110
            await asyncio.sleep(0)
        if self.config.http_server.password == DEFAULT_HTTP_PASSWORD:
            log.warning(
                "http_server.password is the default; set another before others can reach it"
            )

    def _take_pid_file(self) -> None:
        try:
            if not self._pid_file.take():
                log.warning(
                    "%s is another broker's: nanomq stop stops that one",
                    self._pid_file.path,
                )
        except OSError as fault:
            log.warning(
                "%s: %s: nanomq stop will not find this broker",
                self._pid_file.path,
                fault.strerror,
            )

    async def start(self) -> None:
        """Start everything, or nothing. Raises ConfigError."""
        refuse_unsupported(self.config)
        ours = os.environ.pop(systemd.OURS, "").split(":")
        inherited = Inherited(systemd.take_sockets(os.environ), ours)
        await self.broker.start(inherited)
        for name in inherited.close_rest():
            log.warning("inherited socket %s: no listener has that name or address", name)
        try:
            await self._start_http()
        except BaseException:
            await self.broker.stop(timeout_s=0)
            raise
        self._take_pid_file()
        listening = [f"{key} on port {port}" for key, port in self.broker.ports.items()]
        if self.http_port is not None:
            listening.append(f"http_server on port {self.http_port}")
        log.info("serving: %s", ", ".join(listening))
        systemd.notify("READY=1")

    def request_stop(self) -> None:
        self._stopping.set()

    def request_restart(self) -> None:
        """Stop and become a new process, unless that one could not start."""
        try:
            if self._conf is not None:
                fresh = load(self._conf)
                refuse_unsupported(fresh)
                places_of(fresh)
        except ConfigError as fault:
            log.error("not restarted: %s", fault)
            return
        log.info("restarting")
        self._restarts = True
        self._stopping.set()

    def reload_certificates(self) -> None:
        """Take up certificates and keys that were replaced."""
        try:
            self.broker.reload_certificates()
        except ConfigError as fault:
            log.error("certificates not replaced: %s", fault)
        else:
            log.info("certificates read again")

    async def stop(self) -> None:
        """Stop in the reverse order, within 2 s."""
        systemd.notify("RELOADING=1" if self._restarts else "STOPPING=1")
        self._pid_file.release()
        if self._restarts:
            self.handed_over = self.broker.hand_over()
        if self._http is not None and self._http_task is not None:
            self._http.should_exit = True
        await self.broker.stop(timeout_s=STOP_WITHIN_S)
        if self._http_task is not None:
            _, late = await asyncio.wait({self._http_task}, timeout=0.5)
            for task in late:
                task.cancel()
        log.info("stopped")

    async def run(self) -> None:
        """Serve until SIGTERM, SIGINT, or SIGUSR2, which restarts."""
        loop = asyncio.get_running_loop()
        chores = [
            asyncio.create_task(Trimmer().run()),
            asyncio.create_task(systemd.keep_watchdog_quiet(os.environ)),
        ]
        for number, action in (
            (signal.SIGTERM, self.request_stop),
            (signal.SIGINT, self.request_stop),
            (signal.SIGUSR2, self.request_restart),
            (signal.SIGHUP, self.reload_certificates),
        ):
            loop.add_signal_handler(number, action)
        await self.start()
        try:
            await self._stopping.wait()
        finally:
            for chore in chores:
                chore.cancel()
            await self.stop()


def allow_many_connections() -> None:
    """Raise this process's bound on descriptors as far as the system lets it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def become_successor(handed_over: HandOver) -> None:
    """Begin this process anew, with the same arguments and these listening sockets."""
    environ = {**os.environ, systemd.OURS: ":".join(handed_over.ours)}
    systemd.pass_sockets(handed_over.sockets, environ)
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environ)  # noqa: S606


def run(config: Config, conf: Path | None) -> None:
    """Serve in this process until it is told to stop. Raises ConfigError."""
    logs.set_up(config.log)
    allow_many_connections()
    core.set_arenas(max(2, os.cpu_count() or 2))

    async def serve() -> HandOver | None:
        server = Server(config, conf)
        await server.run()
        return server.handed_over

    handed_over = asyncio.run(serve())
    if handed_over is not None:
        logging.shutdown()
        become_successor(handed_over)
