"""``nanomq``: start, stop, signals, exit codes, configuration faults."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from nanomq_py import __version__
from tests import raw
from tests.conftest import ROOT, Process, StartBroker, conf_text, nanomq
from tests.raw import Closed, Raw


def test_version() -> None:
    done = nanomq("--version")
    assert (done.returncode, done.stdout) == (0, f"nanomq-py {__version__}\n")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("msq_len=many", "nanomq.conf:1: msq_len='many': expected a whole number"),
        ("tls.enable=true", "tls.certfile: missing, a listener with TLS needs it"),
        ("auth.http.enable=true", "auth.http.enable: no server to ask: expected"),
        ("http_server.auth_type=jwt", "http_server.jwt.public.keyfile: missing"),
        ("log.to=file\nlog.dir=/proc/nowhere", "log.dir='/proc/nowhere'"),
    ],
)
def test_configuration_fault_stops_the_start_with_one_line(
    tmp_path: Path, text: str, error: str
) -> None:
    conf = tmp_path / "nanomq.conf"
    rest = conf_text() if "msq" not in text else ""
    conf.write_text(f"{text}\n{rest}")
    done = nanomq("start", "--conf", str(conf), XDG_RUNTIME_DIR=str(tmp_path))
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if line.startswith("nanomq: ")]
    assert len(lines) == 1
    assert error in lines[0]
    assert "Traceback" not in done.stderr


def test_missing_file_is_exit_code_2(tmp_path: Path) -> None:
    done = nanomq("start", "--conf", str(tmp_path / "none.conf"))
    assert done.returncode == 2
    assert "cannot be read: No such file" in done.stderr


@pytest.mark.parametrize("daemon", ["false", "true"])
@pytest.mark.parametrize("bound", [5, 6, 7, 8, 10, 12, 17, 20, 39])
def test_too_few_descriptors_are_told_and_no_traceback(
    tmp_path: Path, bound: int, daemon: str
) -> None:
    conf = tmp_path / "nanomq.conf"
    conf.write_text(conf_text(daemon=daemon, log__to="file", log__dir=str(tmp_path)))
    python = f"exec '{sys.executable}' -m nanomq_py start --conf '{conf}'"
    done = subprocess.run(
        ["sh", "-c", f"ulimit -n {bound}; {python}"],
        cwd=ROOT, env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode in (1, 2)
    assert "(ulimit -n)" in done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("nanomq: ")


def test_bad_url_argument_is_exit_code_2() -> None:
    done = nanomq("start", "--url", "tcp://x")
    assert (done.returncode, "--url: url='tcp://x': expected" in done.stderr) == (2, True)


@pytest.mark.parametrize("key", ["url", "http_server.port"])
def test_taken_port_is_named_with_its_key(tmp_path: Path, key: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        value = f"nmq-tcp://127.0.0.1:{port}" if key == "url" else str(port)
        conf = tmp_path / "nanomq.conf"
        conf.write_text(conf_text(**{key.replace(".", "__"): value}))
        done = nanomq("start", "--conf", str(conf), XDG_RUNTIME_DIR=str(tmp_path))
    assert done.returncode == 2
    assert f"{key}={value}" in done.stderr
    assert "taken" in done.stderr or "in use" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_cleanly_and_tells_5_0_clients(
    start_broker: StartBroker, number: signal.Signals
) -> None:
    process = start_broker()
    with process.raw(5) as new, process.raw(4) as old:
        new.connect("new")
        old.connect("old")
        new.subscribe(("a", 0))
        for n in range(200):
            old.publish("a", b"%d" % n)
        old.ping()
        begun = time.monotonic()
        os.kill(process.pid, number)
        got = new.read_until_closed()
        assert [p.payload for p in got[:-1]] == [b"%d" % n for n in range(200)]
        assert (got[-1].kind, got[-1].reason) == (14, 0x8B)
        assert old.read_until_closed() == []
        assert process.ends() == 0
        assert time.monotonic() - begun < 10
    assert "stopped" in process.lines[-1]


def test_stop_finds_the_broker_of_that_file(start_broker: StartBroker) -> None:
    process = start_broker()
    done = process.nanomq("stop", "--conf", str(process.conf))
    assert (done.returncode, done.stderr) == (0, "")
    assert process.ends() == 0
    done = process.nanomq("stop", "--conf", str(process.conf))
    assert done.returncode == 1
    assert "no broker is running" in done.stderr


def restart(process: Process) -> subprocess.CompletedProcess[str]:
    return process.nanomq("restart", "--conf", str(process.conf))


def test_restart_takes_up_the_file_in_the_same_process(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    path = tmp_path / "broker.sock"
    process = start_broker(listener__more__url=f"nmq-ipc://{path}", max_qos_allowed="2")
    with process.raw(5) as c:
        c.connect("c")
        process.conf.write_text(process.conf.read_text().replace("allowed=2", "allowed=1"))
        done = restart(process)
        assert (done.returncode, done.stderr) == (0, "")
        assert c.read_until_closed()[-1].reason == 0x8B
    process.waits_for("restarting")
    with process.raw(5) as c:  # the port is the same, though the file says 0
        assert b"\x24\x01" in c.connect("c").properties
    over = socket.socket(socket.AF_UNIX)
    over.connect(str(path))
    with Raw(over, 5) as c:
        assert c.connect("d").reason == 0
    assert restart(process).returncode == 0  # and once more
    process.stop()
    assert not path.exists()


def test_nobody_is_refused_while_the_broker_restarts(start_broker: StartBroker) -> None:
    process = start_broker()
    faults: list[str] = []
    stop = threading.Event()

    def knock() -> None:
        while not stop.is_set():
            try:
                with process.raw(5) as c:
                    c.sock.settimeout(20)
                    c.send(raw.connect("knock", 5))
                    c.read()
            except Closed:
                continue  # it was told to go, and comes back
            except OSError as fault:
                faults.append(str(fault))

    thread = threading.Thread(target=knock)
    thread.start()
    try:
        assert restart(process).returncode == 0
        with process.raw(5) as c:
            assert c.connect("after").reason == 0
    finally:
        stop.set()
        thread.join(30)
    assert faults == []


def test_restart_with_a_fault_in_the_file_runs_on(start_broker: StartBroker) -> None:
    process = start_broker()
    text = process.conf.read_text()
    with process.raw(5) as c:
        c.connect("c")
        process.conf.write_text(text + "msq_len=many\n")
        done = restart(process)
        assert done.returncode == 2
        assert "msq_len='many'" in done.stderr
        c.ping()
    process.conf.write_text(text)


def test_stop_while_the_broker_restarts_stops_it(start_broker: StartBroker) -> None:
    process = start_broker()
    with process.raw(5) as c:
        c.connect("c")
        os.kill(process.pid, signal.SIGUSR2)
        process.waits_for("restarting")
        os.kill(process.pid, signal.SIGTERM)
        assert process.ends() == 0


def test_restart_without_a_broker_says_so(tmp_path: Path) -> None:
    conf = tmp_path / "nanomq.conf"
    conf.write_text(conf_text())
    done = nanomq("restart", "--conf", str(conf), XDG_RUNTIME_DIR=str(tmp_path))
    assert done.returncode == 1
    assert "no broker is running" in done.stderr


def test_daemon_runs_in_the_background(tmp_path: Path) -> None:
    conf = tmp_path / "nanomq.conf"
    conf.write_text(
        conf_text(daemon="true", log__to="file", log__dir=str(tmp_path), log__file="x.log")
    )
    done = nanomq("start", "--conf", str(conf), XDG_RUNTIME_DIR=str(tmp_path))
    assert done.returncode == 0
    until = time.monotonic() + 30
    log = tmp_path / "x.log"
    while not (log.exists() and "serving" in log.read_text()) and time.monotonic() < until:
        time.sleep(0.02)
    assert "serving" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600
    done = nanomq("stop", "--conf", str(conf), XDG_RUNTIME_DIR=str(tmp_path))
    assert done.returncode == 0
    assert "stopped" in log.read_text()


def test_default_password_keeps_http_on_127_0_0_1(start_broker: StartBroker) -> None:
    warned = start_broker()
    warned.waits_for("http_server.password is the default")
    quiet = start_broker(http_server__password="another", http_server__host="127.0.0.1")
    assert not any("http_server.password is the" in line for line in quiet.lines)


def test_nothing_is_logged_per_message_at_the_default_level(
    start_broker: StartBroker,
) -> None:
    process = start_broker()
    with process.raw() as c:
        c.connect("x")
        process.waits_for("client 'x' connected")
        before = len(process.lines)
        for _ in range(100):
            c.publish("a", b"x")
        c.ping()
        assert len(process.lines) == before
