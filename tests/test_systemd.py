"""Sockets from systemd, and what it is told."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from nanomq_py.config import parse
from nanomq_py.listen.inherited import Inherited
from nanomq_py.listen.places import places_of
from nanomq_py.run import systemd
from tests.conftest import ROOT, conf_text
from tests.raw import Raw

# Becomes what systemd starts: the sockets from descriptor 3 on, and their variables.
LAUNCH = """
import os, sys
sys.path.insert(0, sys.argv[1])
from nanomq_py.run import systemd
import socket
names, fds = sys.argv[2].split(":"), [int(fd) for fd in sys.argv[3].split(",")]
environ = dict(os.environ)
systemd.pass_sockets([(n, socket.socket(fileno=f)) for n, f in zip(names, fds)], environ)
os.execve(sys.executable, [sys.executable, "-m", "nanomq_py", *sys.argv[4:]], environ)
"""


def test_sockets_are_taken_by_name_and_by_address_and_readiness_is_told(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ipc.sock"
    notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notified.bind(str(tmp_path / "notify"))
    notified.settimeout(30)
    with (
        socket.create_server(("127.0.0.1", 0)) as named,
        socket.create_server(("127.0.0.1", 0)) as unused,
        socket.socket(socket.AF_UNIX) as ipc,
        notified,
    ):
        ipc.bind(str(path))
        ipc.listen()
        conf = tmp_path / "nanomq.conf"
        conf.write_text(
            conf_text(
                http_server__enable="false",
                listener__inside__url=f"nmq-ipc://{path}",
            )
        )
        sockets = [("tcp", named), ("unknown", ipc), ("other", unused)]
        broker = subprocess.Popen(
            [
                *(sys.executable, "-c", LAUNCH, str(ROOT)),
                ":".join(name for name, _ in sockets),
                ",".join(str(sock.fileno()) for _, sock in sockets),
                *("start", "--conf", str(conf)),
            ],
            pass_fds=[sock.fileno() for _, sock in sockets],
            cwd=ROOT,
            env={
                **os.environ,
                "NOTIFY_SOCKET": str(tmp_path / "notify"),
                "WATCHDOG_USEC": "3600000000",
                "XDG_RUNTIME_DIR": str(tmp_path),
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        assert {notified.recv(100), notified.recv(100)} == {b"READY=1", b"WATCHDOG=1"}
        with Raw(named.getsockname()[1], 5) as c:
            assert c.connect("c").reason == 0
        over = socket.socket(socket.AF_UNIX)
        over.connect(str(path))
        with Raw(over, 5) as c:
            assert c.connect("d").reason == 0
        broker.send_signal(signal.SIGTERM)
        assert notified.recv(100) == b"STOPPING=1"
        _, log = broker.communicate(timeout=30)
        assert broker.returncode == 0
        assert "inherited socket other" in log
        assert path.exists()  # systemd's, not ours to remove


def test_variables_of_another_process_are_not_ours() -> None:
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x"}
    assert systemd.take_sockets(environ) == []
    assert environ == {}


@pytest.mark.parametrize("fds", ["", "-1", "x", "0"])
def test_odd_variables_give_nothing(fds: str) -> None:
    environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": fds}
    assert systemd.take_sockets(environ, 1000) == []


def test_descriptors_that_are_no_listening_sockets_are_left_alone(tmp_path: Path) -> None:
    first = max(int(fd) for fd in os.listdir("/proc/self/fd")) + 10
    (tmp_path / "file").touch()
    with open(tmp_path / "file") as file, socket.socket() as idle:
        os.dup2(file.fileno(), first)
        os.dup2(idle.fileno(), first + 1)
        environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"}
        assert systemd.take_sockets(environ, first) == []
        os.close(first)
        os.close(first + 1)


def test_socket_of_another_kind_is_not_taken_by_its_name() -> None:
    config = parse("url=nmq-tcp://127.0.0.1:1883\nwebsocket.enable=false\n", "x.conf")
    with socket.socket(socket.AF_UNIX) as wrong:
        inherited = Inherited([("tcp", wrong)])
        assert inherited.take(places_of(config)[0]) is None


def test_nobody_to_notify_is_no_error(tmp_path: Path) -> None:
    systemd.notify("READY=1", {})
    systemd.notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "nowhere")})
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0nanomq-test-" + str(os.getpid()))
        sock.settimeout(5)
        systemd.notify("READY=1", {"NOTIFY_SOCKET": f"@nanomq-test-{os.getpid()}"})
        assert sock.recv(10) == b"READY=1"
