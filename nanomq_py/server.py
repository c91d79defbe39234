"""One broker process: the list of its parts, from start to stop, and its signals."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nanomq_py.auth.acl import named_rules
from nanomq_py.auth.http_judge import check_servers
from nanomq_py.auth.refusals import refuse_unsupported
from nanomq_py.auth.roster import accounts_before
from nanomq_py.auth.tokens import check_keys
from nanomq_py.broker import Broker, HandOver
from nanomq_py.config import Config, ConfigError
from nanomq_py.config.faults import Faults
from nanomq_py.config.file import ConfFile
from nanomq_py.core.binding import Buffer
from nanomq_py.core.memory import Trimmer, resident_bytes
from nanomq_py.core.process import has_descriptors, set_arenas
from nanomq_py.http.part import Http
from nanomq_py.http.terms import check_terms
from nanomq_py.kernel.part import Change, Part
from nanomq_py.kernel.parts import Parts
from nanomq_py.kernel.reload import Reloader
from nanomq_py.listen.inherited import Bound, Inherited
from nanomq_py.listen.tls import check_tls
from nanomq_py.plugins.part import Plugins
from nanomq_py.run import process, successor, systemd, terminal
from nanomq_py.run.logs import Logs, open_logs
from nanomq_py.run.pidfile import AlreadyRunningError, PidFile, place_of
from nanomq_py.run.warnings import exposed_files, tell_oddities

if TYPE_CHECKING:
    from nanomq_py.dialects import Dialects

log = logging.getLogger("nanomq")
start_log = logging.getLogger("nanomq.start")

GOES_ON = "%s; the broker goes on with what ran before the restart"
FEWEST_DESCRIPTORS = 40  # with which a broker can serve a client or two
KEEP_DESCRIPTORS = 4  # free ones that a restart needs
HEARD_S = 0.001  # more than a turn of the loop
STOP_WITHIN_S = 1.2  # for the clients; the whole stop must stay under 2 s


@dataclass(frozen=True)
class Left:
    """What the process before this one left; nothing, unless this is a restart."""

    inherited: Inherited
    state: Buffer | None = None  # its sessions
    is_restart: bool = False


def check_files(config: Config) -> None:
    """Read the files that the configuration names, and check that a broker could start.

    Raises   ConfigError naming the keys
    """
    faults = Faults()
    checks = (
        check_tls,
        check_terms,
        accounts_before,
        check_keys,
        check_servers,
        named_rules,
        lambda config: config.kept.check_sizes(),
    )
    for check in checks:
        with faults.gathered():
            check(config)
    faults.check()


class Checks(Part):
    """Refuses a bad configuration before other parts see it, and warns of odd settings."""

    name = "checks"

    def __init__(self, file: ConfFile) -> None:
        self._file = file
        self._is_first = True

    async def prepare(self, config: Config) -> None:
        refuse_unsupported(config)
        if self._is_first:
            self._is_first = False
            for text in await asyncio.to_thread(list, exposed_files(self._file.reading)):
                log.warning("%s", text)
        tell_oddities(config)


class BrokerPart(Part):
    """The broker, which begins with what the process before it left."""

    name = "broker"

    def __init__(self, broker: Broker, left: Left) -> None:
        self._broker = broker
        self._left = left

    async def prepare(self, config: Config) -> Change:
        return await self._broker.prepare(config, self._left.inherited, self._left.state)

    async def stop(self) -> None:
        await self._broker.stop(timeout_s=STOP_WITHIN_S)


class Server:
    """The parts of one process, from start to stop."""

    def __init__(
        self,
        file: ConfFile,
        given_conf: Path | None,
        left: Left,
        parts: Sequence[type[Part]] = (),
    ) -> None:
        """Make the parts that start() starts.

        given_conf  the file that was asked for
        parts       more parts, behind the broker and before the HTTP server
        """
        self._left = left
        config = file.reading.config
        self.broker = Broker(config, conf=file.path)
        self.http = Http(self._open_house, lambda: self.broker.api_accounts)
        spare = {Http.name} if left.inherited.is_last_resort else ()
        more = [kind() for kind in parts]
        self.plugins = Plugins(self.broker)
        self.broker.watch(self.plugins, logs := Logs())
        mine = [BrokerPart(self.broker, left), *more, self.plugins, self.http, logs]
        self._parts = Parts([Checks(file), *mine], spare)
        self.reloader = Reloader(file, self._parts)
        self.pid_file = PidFile(place_of(config.pid_file, given_conf))
        self.legacy: successor.Legacy | None = None  # once a restart was asked for
        self.handed_over: HandOver | None = None  # by a stop for a restart
        self.has_failed = False  # it ends because of durability.on_error
        self._stopping = asyncio.Event()
        self._trimmer = Trimmer()  # before the first client: it counts what Python takes
        self._reloads: set[asyncio.Task[None]] = set()

    def _open_house(self) -> Dialects:
        from nanomq_py.dialects import Dialects, House

        return Dialects(House(self.broker, self.reloader, self, self.plugins))

    # --- start

    async def start(self) -> None:
        """Start everything, or nothing. Raises ConfigError, AlreadyRunningError."""
        self._take_signals()
        async with self.reloader.turn:
            self._take_pid_file()
            try:
                await self.reloader.begin()
            except BaseException:
                if self._left.is_restart and not self._left.inherited.is_last_resort:
                    self.pid_file.hand_on()  # to the next try
                else:
                    self.pid_file.release()
                raise
        successor.hear()  # behind the core's threads, which go on holding them
        self._warn_of_little_memory()
        self._tell_where()
        systemd.notify("READY=1")

    def _take_pid_file(self) -> None:
        try:
            self.pid_file.take_or_refuse()
        except (ConfigError, AlreadyRunningError) as fault:
            if not self._left.is_restart:
                raise
            log.error("%s: nanomq stop will not find this broker", fault)

    def _warn_of_little_memory(self) -> None:
        bound, taken = self.broker.memory().max, resident_bytes()
        if taken > bound * 3 // 4 > 0:
            log.warning(
                "max_memory: of %d MiB the process takes %d without a client",
                bound >> 20,
                taken >> 20,
            )

    def _tell_where(self) -> None:
        """Say where the broker listens, at any log level, and to whoever started it."""
        where = [
            f"{key} on port {port} ({url})" if port else f"{key} at {url}"
            for key, (port, url) in self.broker.places.items()
        ]
        if self.http.port is not None and self.http.address is not None:
            where.append(f"http_server on port {self.http.port} ({self.http.address[0]})")
        line = f"serving: {', '.join(where) or 'nothing'}"
        start_log.info("%s", line)
        if "console" not in self.reloader.config.log.to:
            with contextlib.suppress(OSError):  # nobody reads it
                terminal.say(f"nanomq: {line}")

    # --- what signals and the API ask for

    def _take_signals(self) -> None:
        """SIGTERM and SIGINT stop, SIGUSR2 restarts, SIGHUP reloads."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.request_stop)
        loop.add_signal_handler(signal.SIGINT, self.request_stop)
        loop.add_signal_handler(signal.SIGUSR2, self._on_signal, self._restart_on_signal)
        loop.add_signal_handler(signal.SIGHUP, self._on_signal, self._reload_on_signal)

    def _on_signal(self, act: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.ensure_future(act())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    def request_stop(self) -> None:
        """Stop, even if a restart is under way."""
        self.legacy = None
        self._stopping.set()

    async def check_restart(self) -> None:
        """Raise ConfigError when the next process could not start."""
        config = (await asyncio.to_thread(self.reloader.file.read)).config
        refuse_unsupported(config)
        successor.check_user(config)
        await asyncio.to_thread(check_files, config)
        if not has_descriptors(KEEP_DESCRIPTORS):
            raise ConfigError("too few descriptors are left")
        if not os.access(sys.executable, os.X_OK):
            raise ConfigError(f"{sys.executable}: cannot be run any more")

    def request_restart(self) -> None:
        """Stop, and become a new process, unless the process stops already."""
        if self._stopping.is_set():
            return
        try:
            self.legacy = successor.Legacy()
        except OSError as fault:
            log.error("not restarted: %s", fault.strerror)
            self.pid_file.write_outcome({"error": fault.strerror})
            return
        log.info("restarting")
        self._stopping.set()

    async def _restart_on_signal(self) -> None:
        try:
            await self.check_restart()
        except ConfigError as fault:
            log.error("not restarted: %s", fault)
            self.pid_file.write_outcome({"error": str(fault)})
        else:
            self.request_restart()

    async def _reload_on_signal(self) -> None:
        """Reload, and write the outcome for ``nanomq reload``, as a refused restart does."""
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
        self.pid_file.write_outcome(told)

    # --- stop

    async def run(self) -> None:
        """Serve, after :meth:`start`, until a signal or the API ends it."""
        chores = [
            asyncio.create_task(self._trimmer.run()),
            asyncio.create_task(systemd.keep_watchdog_quiet(os.environ)),
        ]
        try:
            await self._stopping.wait()
            failed = (state := self.broker.durability()) is not None and state.has_failed
            self.has_failed = failed and self.broker.config.kept.on_error == "stop"
        finally:
            for chore in [*chores, *self._reloads]:
                chore.cancel()
            await self.stop()

    async def stop(self) -> None:
        """Stop within 2 s."""
        systemd.notify("STOPPING=1" if self.legacy is None else "RELOADING=1")
        await self.reloader.close(STOP_WITHIN_S)
        if self.legacy is not None:
            self.pid_file.hand_on()
            self.handed_over = self.broker.hand_over(self.legacy.state)
            self.legacy.keep_config(self.reloader.config)
        else:
            self.pid_file.release()
        self._parts.leave()
        await self._parts.stop()
        if self.legacy is not None:
            successor.hold()
            await asyncio.sleep(HEARD_S)  # for signals that came before that
        if self.legacy is None:  # also when a stop was asked for meanwhile
            self.handed_over = None
            self.pid_file.release()
        log.info("stopped")


async def _started(
    files: Sequence[ConfFile],
    given_conf: Path | None,
    parts: Sequence[type[Part]],
    bound: Bound,
) -> Server:
    """Return a server that runs with the first of the files that can be used.

    Raises   ConfigError, of the last; AlreadyRunningError
    """
    is_restart = systemd.OURS in os.environ
    ours = os.environ.pop(systemd.OURS, "").split(":")
    inherited = Inherited([*systemd.take_sockets(os.environ), *bound], ours)
    # Looked for now: that would drop a lock of ours.
    before = [place_of(file.reading.config.pid_file, given_conf) for file in files]
    with systemd.state_of(os.environ) as state:
        for file in files:
            inherited.is_last_resort = is_restart and file is files[-1]
            server = Server(file, given_conf, Left(inherited, state, is_restart), parts)
            try:
                await server.start()
                break
            except ConfigError as fault:
                if file is files[-1]:
                    raise
                log.error(GOES_ON, fault)
                inherited.give_again()
    server.pid_file.drop(before)
    for name in inherited.close():
        log.warning("inherited socket %s: no listener has that name or address", name)
    return server


def run(
    files: Sequence[ConfFile],
    given_conf: Path | None,
    *,
    parts: Sequence[type[Part]] = (),
    faults: Sequence[str] = (),
    serving: Callable[[], None] = lambda: None,
    bound: Bound = (),
) -> int:
    """Serve in this process until it is told to stop; return its status. Raises ConfigError.

    files    it takes the first that can be used; after a restart the last is what ran before
    parts    more parts than those of every broker
    faults   why a file is not among them: the one of the command line, or what ran before
    serving  called once the broker serves
    bound    sockets of listeners, by name, that root bound for this user
    """
    successor.hold()  # before the core's threads begin, which leave signals to this one
    is_restart = systemd.OURS in os.environ
    config = files[0].reading.config
    core_bounds = process.core_bounds()
    if not config.core_dumps:
        process.keep_secrets()
    open_logs(config.log, or_console=is_restart)
    for fault in faults:
        log.error("%s", fault)
    limit = process.allow_many_connections()
    if limit < FEWEST_DESCRIPTORS and not is_restart:
        raise ConfigError(
            f"only {limit} descriptors (ulimit -n): expected {FEWEST_DESCRIPTORS} at least"
        )
    set_arenas(max(2, os.cpu_count() or 2))

    async def serve() -> Server:
        threads = ThreadPoolExecutor(initializer=successor.hold)
        asyncio.get_running_loop().set_default_executor(threads)
        server = await _started(files, given_conf, parts, bound)
        serving()
        await server.run()
        return server

    try:
        server = asyncio.run(serve())
    finally:
        terminal.flush()  # before the command line writes more
    if server.handed_over is not None and server.legacy is not None:
        logging.shutdown()
        process.set_core_bounds(core_bounds)
        process.allow_many_connections()  # somebody may have taken some meanwhile
        successor.become(server.handed_over, server.legacy)
    return 1 if server.has_failed else 0
