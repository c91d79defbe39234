"""A restart is between two processes: what comes then is kept, and the pid file stays."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nanomq_py.run.pidfile import PidFile
from tests.conftest import Process, StartBroker


def wait_for(process: Process, text: str, count: int) -> None:
    """Return when so many log lines hold the text."""
    until = time.monotonic() + 20
    while sum(text in line for line in process.lines) < count:
        assert process.popen.poll() is None, "".join(process.lines)
        assert time.monotonic() < until, "".join(process.lines)
        time.sleep(0.001)


def into_the_gap(process: Process, after_s: float = 0) -> None:
    """Return when the process of before has stopped, and the next has not begun."""
    os.kill(process.pid, signal.SIGUSR2)
    wait_for(process, "nanomq: stopped", 1)
    time.sleep(after_s)


def keep_a_session(process: Process) -> None:
    with process.raw(4) as c:
        c.connect("kept", clean=False)
        c.leave()


@pytest.mark.parametrize("after_s", [0, 0.05, 0.3])
@pytest.mark.parametrize(
    ("number", "says"),
    [
        (signal.SIGHUP, "nanomq.audit: signal: nothing changed"),
        (signal.SIGUSR2, "nanomq: restarting"),
    ],
)
def test_signal_during_a_restart_is_kept_for_the_next_process(
    start_broker: StartBroker, number: signal.Signals, says: str, after_s: float
) -> None:
    process = start_broker()
    keep_a_session(process)
    into_the_gap(process, after_s)
    before = sum(says in line for line in process.lines)
    os.kill(process.pid, number)
    wait_for(process, says, before + 1)
    wait_for(process, "serving:", 2 if number is signal.SIGHUP else 3)
    with process.raw(4) as c:
        assert c.connect("kept", clean=False).flags == 1


@pytest.mark.parametrize("after_s", [0, 0.1, 0.3])
def test_stop_during_a_restart_stops_the_next_process(
    start_broker: StartBroker, after_s: float
) -> None:
    process = start_broker()
    into_the_gap(process, after_s)
    done = process.nanomq("stop", "--conf", str(process.conf))
    assert (done.returncode, done.stderr) == (0, "")
    assert process.ends() == 0
    assert not list(process.conf.parent.glob("*/*.pid"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_that_stops_is_kept_too(
    start_broker: StartBroker, number: signal.Signals
) -> None:
    process = start_broker()
    into_the_gap(process)
    os.kill(process.pid, number)
    assert process.ends() == 0
    assert process.lines[-1].endswith("nanomq: stopped\n")


@pytest.mark.parametrize("text", ["restarting", "nanomq: stopped"])
def test_second_start_during_a_restart_is_refused(
    start_broker: StartBroker, text: str
) -> None:
    process = start_broker()
    os.kill(process.pid, signal.SIGUSR2)
    wait_for(process, text, 1)
    done = process.nanomq("start", "--conf", str(process.conf))
    assert done.returncode == 1
    assert f"already running, process {process.pid};" in done.stderr
    wait_for(process, "serving:", 2)
    assert not any("will not find" in line for line in process.lines)
    assert process.nanomq("reload", "--conf", str(process.conf)).returncode == 0


def test_file_in_another_place_after_a_restart_is_the_only_one(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    process = start_broker()
    (before,) = process.conf.parent.glob("*/*.pid")
    folder = tmp_path / "control"
    process.set_keys(pid_file=str(folder / "x.pid"))
    os.kill(process.pid, signal.SIGUSR2)
    wait_for(process, "serving:", 2)
    until = time.monotonic() + 20
    while before.exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    assert PidFile(folder / "x.pid").running() is not None
    assert process.nanomq("stop", "--conf", str(process.conf)).returncode == 0
    assert not list(folder.iterdir())


def test_restart_with_a_file_that_cannot_be_used_keeps_the_pid_file(
    start_broker: StartBroker,
) -> None:
    process = start_broker()
    into_the_gap(process)
    process.set_keys(url="nmq-tcp://192.0.2.1:1883")
    wait_for(process, "serving:", 2)
    assert process.nanomq("stop", "--conf", str(process.conf)).returncode == 0


# --- what the mark proves


@contextlib.contextmanager
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def started(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def test_marked_file_stands_for_its_process_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    with sleeper() as process:
        at = started(process.pid)
        path.write_text(f"{process.pid} 7 {at} restarting\n")
        path.chmod(0o600)
        assert PidFile(path).running() == (process.pid, "7")
        assert not PidFile(path).take()
        for line in (
            f"{process.pid} 7 {at}",
            f"{process.pid} 7 {int(at) + 1} restarting",
            f"{process.pid} 7 {at} other",
            f"-{process.pid} 7 {at} restarting",
            "restarting",
        ):
            path.write_text(line + "\n")
            assert PidFile(path).running() is None, line
            assert PidFile(path).holder() is None, line
        path.write_text(f"{process.pid} 7 {at} restarting\n")
        if os.geteuid() == 0:
            os.chown(path, 54321, 54321)
            assert PidFile(path).running() is None
            os.chown(path, 0, 0)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert PidFile(path).running() is None  # its parent has not asked for it yet
    file = PidFile(path)
    assert file.take()
    file.release()


def test_file_that_was_handed_on_is_taken_by_the_same_process(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    file, again = PidFile(path), PidFile(path)
    assert file.take()
    file.write_outcome({"error": "x" * 100})
    file.hand_on()
    assert path.read_text().endswith(" restarting\n")
    assert file.running() is not None
    assert file.read_outcome() == (0, {})
    assert again.take()
    assert len(path.read_text().split()) == 3
    again.release()
    assert not path.exists()
