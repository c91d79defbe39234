"""One broker process: puts the parts together, starts and stops them, takes signals."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path

from nanomq_py import core, logs, systemd
from nanomq_py.broker import Broker, HandOver
from nanomq_py.config import Config, ConfigError
from nanomq_py.config.file import ConfFile
from nanomq_py.http.app import make_app
from nanomq_py.http.guard import Gate, make_guard
from nanomq_py.http.serving import Serving
from nanomq_py.http.v1 import Api
from nanomq_py.listeners import Inherited
from nanomq_py.memory import Trimmer, resident_bytes
from nanomq_py.pidfile import PidFile, default_path
from nanomq_py.reload import Change, Reloader
from nanomq_py.verify import (
    check_files,
    exposed_files,
    refuse_unsupported,
    tell_what_is_missing,
    warn_of_proxies,
)

log = logging.getLogger("nanomq")

STOP_WITHIN_S = 1.2  # for the clients; the whole stop must stay under 2 s


async def prepare_logs(config: Config) -> logs.Change:
    """Return the destinations of the log, opened."""
    return logs.Change(config.log)


class Server:
    """The parts of one process, from start to stop."""

    def __init__(self, file: ConfFile, given_conf: Path | None) -> None:
        """Make what start() starts. ``given_conf`` is the file as the command line names it."""
        config = file.reading.config
        self.broker = Broker(config)
        self.reloader = Reloader(
            file, [self._check, self.broker.prepare, self._prepare_http, prepare_logs]
        )
        gate = Gate(make_guard(config.http_server))
        app = make_app(Api(self.broker, self.reloader, self), gate)
        self.http = Serving(gate, app)
        path = Path(config.pid_file) if config.pid_file else default_path(given_conf)
        self._pid_file = PidFile(path)
        self._stopping = asyncio.Event()
        self._restarts = False
        self._reloads: set[asyncio.Task[None]] = set()
        self.handed_over: HandOver | None = None  # by the stop of a restart

    async def _check(self, config: Config) -> None:
        refuse_unsupported(config)
        tell_what_is_missing(config)
        warn_of_proxies(config)

    async def _prepare_http(self, config: Config) -> Change:
        return await self.http.prepare(config)

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

    async def _start_http(self) -> None:
        change = await self.http.prepare(self.reloader.config)
        change.commit()
        await self.http.started()

    def _warn_of_little_memory(self) -> None:
        bound, taken = self.broker.memory().max, resident_bytes()
        if taken > bound * 3 // 4 > 0:
            log.warning(
                "max_memory: of %d MiB the process takes %d without a client",
                bound >> 20,
                taken >> 20,
            )

    async def _warn_of_exposed_files(self) -> None:
        for text in await asyncio.to_thread(
            list, exposed_files(self.reloader.file.reading)
        ):
            log.warning("%s", text)

    async def start(self) -> None:
        """Start everything, or nothing. Raises ConfigError."""
        refuse_unsupported(self.reloader.config)
        await self._warn_of_exposed_files()
        tell_what_is_missing(self.reloader.config)
        warn_of_proxies(self.reloader.config)
        ours = os.environ.pop(systemd.OURS, "").split(":")
        inherited = Inherited(systemd.take_sockets(os.environ), ours)
        with systemd.state_of(os.environ) as state:
            await self.broker.start(inherited, state)
        for name in inherited.close_rest():
            log.warning("inherited socket %s: no listener has that name or address", name)
        try:
            await self._start_http()
        except BaseException:
            await self.broker.stop(timeout_s=0)
            raise
        self._take_pid_file()
        self._warn_of_little_memory()
        listening = [f"{key} on port {port}" for key, port in self.broker.ports.items()]
        if self.http.port is not None:
            listening.append(f"http_server on port {self.http.port}")
        log.info("serving: %s", ", ".join(listening))
        systemd.notify("READY=1")

    def request_stop(self) -> None:
        """Stop, also where a restart is under way."""
        self._restarts = False
        self._stopping.set()

    async def check_restart(self) -> None:
        """Raise ConfigError when the next process could not start."""
        config = (await asyncio.to_thread(self.reloader.file.read)).config
        refuse_unsupported(config)
        await asyncio.to_thread(check_files, config)

    def request_restart(self) -> None:
        """Stop, and become a new process, unless the process stops already."""
        if self._stopping.is_set():
            return
        log.info("restarting")
        self._restarts = True
        self._stopping.set()

    def _on_signal(self, act: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.ensure_future(act())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _restart_on_signal(self) -> None:
        try:
            await self.check_restart()
        except ConfigError as fault:
            log.error("not restarted: %s", fault)
            self._pid_file.tell({"error": str(fault)})
        else:
            self.request_restart()

    async def _reload_on_signal(self) -> None:
        """Reload, and leave word for ``nanomq reload``, as a refused restart does."""
        systemd.notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            outcome = await self.reloader.reload("signal")
        except ConfigError as fault:
            log.error("not reloaded: %s", fault)
            told: dict[str, object] = {"error": str(fault)}
        except Exception:
            log.exception("not reloaded")
            told = {"error": "a fault of the broker; its log says more"}
        else:
            told = asdict(outcome)
        systemd.notify("READY=1")
        self._pid_file.tell(told)

    async def stop(self) -> None:
        """Stop in the reverse order, within 2 s."""
        systemd.notify("RELOADING=1" if self._restarts else "STOPPING=1")
        await self.reloader.close(STOP_WITHIN_S)
        self._pid_file.release()
        if self._restarts:
            self.handed_over = self.broker.hand_over()
        self.http.leave()
        await self.broker.stop(timeout_s=STOP_WITHIN_S)
        await self.http.stopped(0.5)
        if not self._restarts:
            self.handed_over = None
        log.info("stopped")

    async def run(self) -> None:
        """Serve until SIGTERM, SIGINT, or SIGUSR2, which restarts; SIGHUP reloads."""
        loop = asyncio.get_running_loop()
        chores = [
            asyncio.create_task(Trimmer().run()),
            asyncio.create_task(systemd.keep_watchdog_quiet(os.environ)),
        ]
        loop.add_signal_handler(signal.SIGTERM, self.request_stop)
        loop.add_signal_handler(signal.SIGINT, self.request_stop)
        loop.add_signal_handler(signal.SIGUSR2, self._on_signal, self._restart_on_signal)
        loop.add_signal_handler(signal.SIGHUP, self._on_signal, self._reload_on_signal)
        async with self.reloader.turn:
            await self.start()
        try:
            await self._stopping.wait()
        finally:
            for chore in [*chores, *self._reloads]:
                chore.cancel()
            await self.stop()


def allow_many_connections() -> None:
    """Raise this process's bound on descriptors as far as the system lets it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def become_successor(handed_over: HandOver) -> None:
    """Begin this process anew, with the same arguments and these listening sockets."""
    environ = {**os.environ, systemd.OURS: ":".join(handed_over.ours)}
    systemd.pass_sockets(handed_over.sockets, environ, handed_over.state)
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environ)  # noqa: S606


def run(file: ConfFile, given_conf: Path | None) -> None:
    """Serve in this process until it is told to stop. Raises ConfigError."""
    logs.Change(file.reading.config.log).commit()
    allow_many_connections()
    core.set_arenas(max(2, os.cpu_count() or 2))

    async def serve() -> HandOver | None:
        server = Server(file, given_conf)
        await server.run()
        return server.handed_over

    handed_over = asyncio.run(serve())
    if handed_over is not None:
        logging.shutdown()
        become_successor(handed_over)
