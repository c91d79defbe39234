"""One broker process: puts the parts together, starts and stops them, takes signals."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from nanomq_py.broker import Broker, HandOver
from nanomq_py.config import Config, ConfigError
from nanomq_py.config.file import ConfFile
from nanomq_py.config.settings import settings_of
from nanomq_py.core import process
from nanomq_py.core.binding import Buffer
from nanomq_py.core.memory import Trimmer, resident_bytes
from nanomq_py.http.app import make_app
from nanomq_py.http.guard import Gate, make_guard
from nanomq_py.http.serving import Serving
from nanomq_py.http.v1.api import Api
from nanomq_py.kernel.reload import Change, Reloader
from nanomq_py.listen.inherited import Inherited
from nanomq_py.run import logs, successor, systemd, terminal
from nanomq_py.run.folder import UnsafeError
from nanomq_py.run.pidfile import AlreadyRunningError, PidFile, place_of
from nanomq_py.verify import (
    check_files,
    exposed_files,
    refuse_unsupported,
    tell_what_is_missing,
    warn_of_proxies,
)

log = logging.getLogger("nanomq")
start_log = logging.getLogger("nanomq.start")

GOES_ON = "%s; the broker goes on with what ran before the restart"
FEWEST_DESCRIPTORS = 40  # with which a broker can serve a client or two
KEEP_DESCRIPTORS = 4  # free ones that a restart needs
HEARD_S = 0.001  # more than a turn of the loop
STOP_WITHIN_S = 1.2  # for the clients; the whole stop must stay under 2 s


@dataclass(frozen=True)
class Left:
    """What the process before this one left: nothing, where this is no restart."""

    inherited: Inherited
    state: Buffer | None = None  # its sessions
    is_restart: bool = False


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
        self.pid_file = PidFile(place_of(config.pid_file, given_conf))
        self._stopping = asyncio.Event()
        self._restarts = False
        # Descriptors of what a restart leaves: sessions, configuration.
        self._left = (-1, -1)
        self._trimmer = Trimmer()  # before the first client: it counts what Python takes
        self._reloads: set[asyncio.Task[None]] = set()
        self.handed_over: HandOver | None = None  # by the stop of a restart

    async def _check(self, config: Config) -> None:
        refuse_unsupported(config)
        tell_what_is_missing(config)
        warn_of_proxies(config)

    async def _prepare_http(self, config: Config) -> Change:
        return await self.http.prepare(config)

    def _take_pid_file(self) -> None:
        """Take it. Raises ConfigError, where others could write it; AlreadyRunningError."""
        file = self.pid_file
        try:
            if file.take():
                return
        except UnsafeError as fault:
            raise ConfigError(
                f"pid_file={file.path}: {fault}: expected a file in a folder where only"
                " this user can write"
            ) from None
        except OSError as fault:
            log.warning(
                "%s: %s: nanomq stop will not find this broker", file.path, fault.strerror
            )
            return
        raise AlreadyRunningError(
            f"already running, process {file.holder()}; one more needs a pid_file of its own"
            f" ({file.path} is taken)"
        )

    def _warn_of_little_memory(self) -> None:
        bound, taken = self.broker.memory().max, resident_bytes()
        if taken > bound * 3 // 4 > 0:
            log.warning(
                "max_memory: of %d MiB the process takes %d without a client",
                bound >> 20,
                taken >> 20,
            )

    async def _warn_of_exposed_files(self) -> None:
        reading = self.reloader.file.reading
        for text in await asyncio.to_thread(list, exposed_files(reading)):
            log.warning("%s", text)

    async def start(self, left: Left) -> None:
        """Start everything, or nothing. Raises ConfigError, AlreadyRunningError."""
        self._take_signals()
        async with self.reloader.turn:
            try:
                self._take_pid_file()
            except (ConfigError, AlreadyRunningError) as fault:
                if not left.is_restart:
                    raise
                log.error("%s: nanomq stop will not find this broker", fault)
            try:
                await self._start_parts(left)
            except BaseException:
                if left.is_restart and not left.inherited.is_last_resort:
                    self.pid_file.hand_on()  # to the next try
                else:
                    self.pid_file.release()
                raise
        successor.hear()  # behind the core's threads, which go on holding them
        self._warn_of_little_memory()
        self._tell_where()
        systemd.notify("READY=1")

    async def _start_parts(self, left: Left) -> None:
        config = self.reloader.config
        refuse_unsupported(config)
        await self._warn_of_exposed_files()
        tell_what_is_missing(config)
        warn_of_proxies(config)
        # First: what failed behind it would close sockets that the next try must have.
        change = await self._prepare_first_http(config, left.inherited)
        try:
            await self.broker.start(left.inherited, left.state)
        except BaseException:
            if change is not None:
                await change.undo()
            raise
        if change is not None:
            change.commit()
            try:
                await self.http.started()
            except ConfigError:
                self.http.leave()
                await self.broker.stop(timeout_s=STOP_WITHIN_S)
                raise

    async def _prepare_first_http(
        self, config: Config, inherited: Inherited
    ) -> Change | None:
        try:
            return await self.http.prepare(config)
        except ConfigError as fault:
            if not inherited.is_last_resort:
                raise
            log.error("%s; the broker goes on without it", fault)
            return None

    def _tell_where(self) -> None:
        """Say where the broker listens, whatever is logged, to whoever started it."""
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

    def request_stop(self) -> None:
        """Stop, also where a restart is under way."""
        self._restarts = False
        self._stopping.set()

    async def check_restart(self) -> None:
        """Raise ConfigError when the next process could not start."""
        config = (await asyncio.to_thread(self.reloader.file.read)).config
        refuse_unsupported(config)
        await asyncio.to_thread(check_files, config)
        if not process.has_descriptors(KEEP_DESCRIPTORS):
            raise ConfigError("too few descriptors are left")
        if not os.access(sys.executable, os.X_OK):
            raise ConfigError(f"{sys.executable}: cannot be run any more")

    def request_restart(self) -> None:
        """Stop, and become a new process, unless the process stops already."""
        if self._stopping.is_set():
            return
        try:
            self._left = (os.memfd_create("nanomq-state"), os.memfd_create("nanomq-config"))
        except OSError as fault:
            log.error("not restarted: %s", fault.strerror)
            self.pid_file.tell({"error": fault.strerror})
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
            self.pid_file.tell({"error": str(fault)})
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
        self.pid_file.tell(told)

    async def stop(self) -> None:
        """Stop in the reverse order, within 2 s."""
        systemd.notify("RELOADING=1" if self._restarts else "STOPPING=1")
        await self.reloader.close(STOP_WITHIN_S)
        if self._restarts:
            self.pid_file.hand_on()
            self.handed_over = self.broker.hand_over(self._left[0])
            self._keep_config()
        else:
            self.pid_file.release()
        self.http.leave()
        await self.broker.stop(timeout_s=STOP_WITHIN_S)
        await self.http.stopped(0.5)
        if self._restarts:
            successor.hold()
            await asyncio.sleep(HEARD_S)  # for what has come before that
        if not self._restarts:
            self.handed_over = None
            self.pid_file.release()
        log.info("stopped")

    def _keep_config(self) -> None:
        """Leave what is in force, for a next process that cannot use its file."""
        texts = {n: s.text for n, s in settings_of(self.reloader.config).items()}
        try:
            systemd.keep_config(texts, self._left[1])
        except OSError as fault:
            log.error("the next process must do with its file: %s", fault.strerror)
            os.ftruncate(self._left[1], 0)

    @property
    def left(self) -> dict[str, int]:
        """Return the descriptors of what a restart leaves, by their variables."""
        return dict(zip((systemd.STATE, systemd.CONFIG), self._left, strict=True))

    def _take_signals(self) -> None:
        """SIGTERM and SIGINT stop, SIGUSR2 restarts, SIGHUP reloads."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.request_stop)
        loop.add_signal_handler(signal.SIGINT, self.request_stop)
        loop.add_signal_handler(signal.SIGUSR2, self._on_signal, self._restart_on_signal)
        loop.add_signal_handler(signal.SIGHUP, self._on_signal, self._reload_on_signal)

    async def run(self) -> None:
        """Serve, after :meth:`start`, until a signal or the API ends it."""
        chores = [
            asyncio.create_task(self._trimmer.run()),
            asyncio.create_task(systemd.keep_watchdog_quiet(os.environ)),
        ]
        try:
            await self._stopping.wait()
        finally:
            for chore in [*chores, *self._reloads]:
                chore.cancel()
            await self.stop()


def allow_many_connections() -> int:
    """Raise this process's bound on descriptors as far as the system lets it; return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def keep_secrets() -> None:
    """Leave no core file: neither where the system puts one, nor through its program.

    A program that core files are piped to gets them whatever RLIMIT_CORE is, but of no process
    that is not dumpable. The hard limit stays: a restart may bring core files back.

    Source  core(5), proc_sys_fs(5)
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    process.set_dumpable(dumpable=False)


def _open_logs(config: Config, *, is_restart: bool) -> None:
    """Open them. Raises ConfigError; a restart goes on with the console then."""
    try:
        logs.Change(config.log).commit()
    except ConfigError as fault:
        if not is_restart:
            raise
        logs.Change(replace(config.log, to=("console",))).commit()
        log.error("%s", fault)


async def _started(files: Sequence[ConfFile], given_conf: Path | None) -> Server:
    """Return a server that serves by the first of the files that can be used.

    Raises   ConfigError, of the last; AlreadyRunningError
    """
    is_restart = systemd.OURS in os.environ
    ours = os.environ.pop(systemd.OURS, "").split(":")
    inherited = Inherited(systemd.take_sockets(os.environ), ours)
    # Looked for now: that would drop a lock of ours.
    before = [place_of(file.reading.config.pid_file, given_conf) for file in files]
    with systemd.state_of(os.environ) as state:
        for file in files:
            server = Server(file, given_conf)
            inherited.is_last_resort = is_restart and file is files[-1]
            try:
                await server.start(Left(inherited, state, is_restart))
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
    faults: Sequence[str] = (),
    serving: Callable[[], None] = lambda: None,
) -> None:
    """Serve in this process until it is told to stop. Raises ConfigError.

    files    the first that can be used; after a restart the last is what ran before
    faults   why others are not among them: the file that the command line names, what ran
    serving  called once the broker serves
    """
    successor.hold()  # before the core's threads begin, which leave signals to this one
    config = files[0].reading.config
    core_bounds = resource.getrlimit(resource.RLIMIT_CORE)
    if not config.core_dumps:
        keep_secrets()
    _open_logs(config, is_restart=systemd.OURS in os.environ)
    for fault in faults:
        log.error("%s", fault)
    bound = allow_many_connections()
    if bound < FEWEST_DESCRIPTORS and systemd.OURS not in os.environ:
        raise ConfigError(
            f"only {bound} descriptors (ulimit -n): expected {FEWEST_DESCRIPTORS} at least"
        )
    process.set_arenas(max(2, os.cpu_count() or 2))

    async def serve() -> Server:
        threads = ThreadPoolExecutor(initializer=successor.hold)
        asyncio.get_running_loop().set_default_executor(threads)
        server = await _started(files, given_conf)
        serving()
        await server.run()
        return server

    try:
        server = asyncio.run(serve())
    finally:
        terminal.flush()  # before what the command line says
    if server.handed_over is not None:
        logging.shutdown()
        resource.setrlimit(resource.RLIMIT_CORE, core_bounds)
        allow_many_connections()  # somebody may have taken some meanwhile
        successor.become(server.handed_over, server.left)
