"""Broker processes for tests: each listens on ports that the system picked."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests import certs as certificates
from tests.raw import Raw

# A noisy machine and a sanitizer build make any example slow; that is no fault of the code.
# Each run judges by the same examples; make machine and make properties look for new ones.
settings.register_profile(
    "any machine",
    deadline=None,
    derandomize="NEW_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("any machine")

ROOT = Path(__file__).resolve().parent.parent
# For programs that are not ours: a sanitizer's library is preloaded for Python alone.
FOREIGN_ENV = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
START_S = 30  # sanitizer builds are slow to load


# Where files run side by side, the long ones begin.
LONG = [
    "test_developing.py",
    "test_commands.py",
    "test_simulation.py",
    "test_http_attack.py",
    "test_websocket.py",
]
LONG += ["test_connack.py", "test_connect.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(
        key=lambda item: LONG.index(n) if (n := item.path.name) in LONG else len(LONG)
    )


PORTS_AT_ONCE = 100


@cache
def own_ports() -> Iterator[int]:
    """Yield the ports of a range, over and over, that no other process of tests has.

    They lie below those that outgoing connections are given.
    """
    for first in range(15_000, 32_000, PORTS_AT_ONCE):
        lock = Path(tempfile.gettempdir(), f"nanomq-tests-{os.getuid()}-{first}.lock")
        fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until the process ends
            return itertools.cycle(range(first, first + PORTS_AT_ONCE))
        os.close(fd)
    raise RuntimeError("every range of ports has a process of tests")


def free_port() -> int:
    """Return a port that nobody listens on, and that no other test is given meanwhile."""
    for port in itertools.islice(own_ports(), PORTS_AT_ONCE):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("every port of this process is taken")


def nanomq(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nanomq_py", *args],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **env},
    )


@dataclass(frozen=True)
class Answer:
    """What the HTTP API said."""

    status: int
    json: dict[str, Any]


@pytest.fixture
def uncounted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """For processes that cannot write at their end: a build that counts what is covered has
    them do so elsewhere, and the counts of all others stay whole."""
    monkeypatch.setenv("GCOV_PREFIX", str(tmp_path / "covered"))


@dataclass
class Process:
    """A broker in a process of its own."""

    popen: subprocess.Popen[str]
    port: int
    http_port: int
    conf: Path
    lines: list[str]
    ports: dict[str, int]  # by key, of every listener
    reader: threading.Thread | None = None  # of its log lines
    was_killed: bool = False
    expected: int = 0  # its exit status

    @property
    def pid(self) -> int:
        return self.popen.pid

    def descriptors(self) -> int:
        """Return how many are open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def raw(self, version: int = 4, key: str = "url") -> Raw:
        return Raw(self.ports[key], version)

    def waits_for(self, text: str, within_s: float = 20) -> None:
        """Return when a log line holds the text."""
        until = time.monotonic() + within_s
        while not any(text in line for line in self.lines):
            assert time.monotonic() < until, f"not logged: {text}\n{''.join(self.lines)}"
            time.sleep(0.01)

    def api(
        self,
        auth: str = "admin:public",
        port: int = 0,
        within_s: float = 20,
        **fields: object,
    ) -> Answer:
        """Send one request to ``/api/v1``; ``seq`` is 1 unless given."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{port or self.http_port}/api/v1",
            json.dumps({"seq": 1, **fields}).encode(),
            {"Authorization": "Basic " + base64.b64encode(auth.encode()).decode()},
        )
        try:
            with urllib.request.urlopen(request, timeout=within_s) as answer:
                return Answer(answer.status, json.load(answer))
        except urllib.error.HTTPError as fault:
            with fault:
                return Answer(fault.code, json.load(fault))

    def set_keys(self, **given: str | None) -> None:
        """Change the file: ``set_keys(msq_len="2")``; None takes a key out."""
        keys = dict(line.split("=", 1) for line in self.conf.read_text().splitlines())
        for name, value in given.items():
            keys.pop(name.replace("__", "."), None)
            if value is not None:
                keys[name.replace("__", ".")] = value
        self.conf.write_text("".join(f"{name}={value}\n" for name, value in keys.items()))

    def reload(self, **given: str | None) -> dict[str, list[str]]:
        """Change the file and have it reloaded; return what the answer says."""
        self.set_keys(**given)
        answer = self.api(req=10, action="reload")
        assert answer.status == 200, answer
        data: dict[str, list[str]] = answer.json["data"]
        return data

    def nanomq(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run the command line where it finds this broker."""
        return nanomq(*args, XDG_RUNTIME_DIR=str(self.conf.parent))

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self.was_killed = True
        self.popen.kill()
        self.popen.wait(20)

    def stop(self) -> int:
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        return self.ends()

    def ends(self) -> int:
        """Wait for its end, and for all that it has logged; return its status."""
        status = self.popen.wait(20)
        if self.reader is not None:
            self.reader.join(20)
        return status


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> certificates.Certs:
    return certificates.make(tmp_path_factory.mktemp("certs"))


def conf_text(**given: str) -> str:
    keys = {
        "url": "nmq-tcp://127.0.0.1:0",
        "websocket.enable": "false",
        "http_server.port": "0",
        "log.level": "info",
    }
    keys.update({name.replace("__", "."): value for name, value in given.items()})
    return "".join(f"{name}={value}\n" for name, value in keys.items())


def program(constants: Mapping[str, object], module: str = "nanomq_py") -> tuple[str, str]:
    """Return the arguments that make Python the broker, with these constants."""
    if not constants:
        return "-m", module
    lines = ["import sys"]
    for name, value in constants.items():
        module, _, constant = name.rpartition(".")
        lines += [f"import {module}", f"{module}.{constant}  # it is there"]
        lines += [f"{name} = {value!r}"]
    lines += ["from nanomq_py.cli import main", "sys.exit(main())"]
    return "-c", "\n".join(lines)


@contextmanager
def running_broker(
    folder: Path,
    environ: dict[str, str] | None = None,
    *,
    with_conf: bool = True,
    constants: Mapping[str, object] | None = None,
    module: str = "nanomq_py",
    **given: str,
) -> Iterator[Process]:
    """Run a broker with these keys, and modules' constants of the tests' own.

    ``constants={"nanomq_py.http.connection.HEAD_S": 1.0}``

    module  whose command line is the broker's
    """
    conf = folder / "nanomq.conf"
    if with_conf:
        conf.write_text(conf_text(**given))
    popen = subprocess.Popen(
        [
            *(sys.executable, *program(constants or {}, module), "start"),
            *(("--conf", str(conf)) if with_conf else ()),
        ],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "XDG_RUNTIME_DIR": str(folder),
            "NANOMQ_CORE_DUMPS": "true",  # else no ordinary user could look into /proc/PID
            **(environ or {}),
        },
    )
    lines: list[str] = []
    serving = threading.Event()

    def drain() -> None:
        assert popen.stderr is not None
        for line in popen.stderr:
            lines.append(line)
            if "serving:" in line:
                serving.set()
        serving.set()

    reader = threading.Thread(target=drain, daemon=True)
    reader.start()
    expected = 0
    try:
        assert serving.wait(START_S), "the broker did not start"
        found = [m for line in lines if (m := re.search(r"serving: (.*)", line))]
        assert found, "".join(lines)
        ports = {k: int(p) for k, p in re.findall(r"(\S+) on port (\d+)", found[0][1])}
        process = Process(
            popen,
            ports.get("url", 0),
            ports.get("http_server", 0),
            conf,
            lines,
            ports,
            reader,
        )
        try:
            yield process
        finally:
            expected = -signal.SIGKILL if process.was_killed else process.expected
    finally:
        process_died = popen.poll() is not None
        if not process_died:
            popen.send_signal(signal.SIGTERM)
        code = popen.wait(30)
        reader.join(10)
        assert popen.stderr is not None
        popen.stderr.close()
        assert "Sanitizer" not in "".join(lines), "".join(lines)
        assert code == expected, f"the broker ended with {code}:\n{''.join(lines)[-4000:]}"


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One broker with the defaults, shared: tests use names of their own."""
    with running_broker(tmp_path_factory.mktemp("broker")) as process:
        yield process


StartBroker = Callable[..., Process]


@pytest.fixture
def start_broker(tmp_path: Path) -> Iterator[StartBroker]:
    """Start a broker with keys of its own: ``start_broker(msq_len="2")``; __ is a dot."""
    stack = []

    def start(environ: dict[str, str] | None = None, **given: str) -> Process:
        folder = tmp_path / str(len(stack))
        folder.mkdir()
        manager = running_broker(folder, environ, **given)
        process = manager.__enter__()
        stack.append(manager)
        return process

    yield start
    for manager in reversed(stack):
        manager.__exit__(None, None, None)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A topic and client identifier that no other test uses."""
    return re.sub(r"\W", "_", request.node.nodeid.split("::")[-1])


def start_on_all_transports(
    start_broker: StartBroker, certs: certificates.Certs, folder: Path
) -> Process:
    """Start a broker on TCP, TLS, WebSocket with and without TLS, and ``broker.sock``."""
    return start_broker(
        websocket__enable="true",
        websocket__url="nmq-ws://127.0.0.1:0/mqtt",
        websocket__tls_url="nmq-wss://127.0.0.1:0/mqtt",
        tls__enable="true",
        tls__url="tls+nmq-tcp://127.0.0.1:0",
        tls__certfile=str(certs.server.certfile),
        tls__keyfile=str(certs.server.keyfile),
        tls__cacertfile=str(certs.ca.certfile),
        tls__verify_peer="true",
        listener__local__url=f"nmq-ipc://{folder / 'broker.sock'}",
    )
