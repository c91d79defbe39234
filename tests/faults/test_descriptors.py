"""A process that is out of descriptors, at every moment: a clear word, and it goes on."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nanomq_py import Broker, Config
from nanomq_py.events import Connected
from tests.certs import Certs
from tests.conftest import Process, StartBroker, free_port
from tests.raw import Raw

MOST_FREE = 24


@contextmanager
def free_descriptors(process: Process, free: int) -> Iterator[None]:
    """Leave the process so many descriptors."""
    used = {int(fd.name) for fd in Path(f"/proc/{process.pid}/fd").iterdir()}
    bound, left = 0, free
    while left > 0 or bound < 3:
        left -= bound not in used
        bound += 1
    before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (bound, before[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, before)


def serves(process: Process) -> None:
    """Assert that everything works, and that nobody was told by a traceback."""
    with process.raw(5) as c:
        c.connect("after")
        c.ping()
    assert process.api(req=2).status == 200
    assert not any("Traceback" in line for line in process.lines), "".join(process.lines)


def answer_of(process: Process, command: str) -> str:
    done = process.nanomq(command, "--conf", str(process.conf))
    assert "Traceback" not in done.stderr
    assert done.returncode == (2 if done.stderr else 0), done
    return done.stderr


def test_reload_says_what_is_missing(
    start_broker: StartBroker, certs: Certs, tmp_path: Path
) -> None:
    """Everything that a reload opens: the file, listeners, keys, the HTTP port, the log."""
    process = start_broker(
        http_server__port=str(free_port()), tls__enable="true",
        tls__url="tls+nmq-tcp://127.0.0.1:0", tls__certfile=str(certs.server.certfile),
        tls__keyfile=str(certs.server.keyfile),
    )  # fmt: skip
    before = process.conf.read_text()
    answers = []
    with process.raw(5) as healthy:
        healthy.connect("healthy")
        for free in range(MOST_FREE):
            process.conf.write_text(before)
            process.set_keys(
                listener__a__url=f"nmq-ipc://{tmp_path}/{free}.sock",
                listener__b__url="nmq-tcp://127.0.0.1:0",
                listener__c__url="tls+nmq-tcp://127.0.0.1:0",
                log__to="console,file", log__dir=str(tmp_path),
                http_server__port=str(free_port()),
            )  # fmt: skip
            with free_descriptors(process, free):
                answers.append(answer_of(process, "reload"))
            healthy.ping()
            if not answers[-1]:
                break
            assert not list(tmp_path.glob("*.sock"))
            with process.raw(5) as c:
                c.connect("c")
    assert len(answers) > 5
    assert answers[-1] == "", answers
    for answer in answers[:-1]:
        assert "not reloaded: " in answer
        assert "Too many open files" in answer or "descriptor" in answer, answer
    process.http_port = int(
        process.conf.read_text().split("http_server.port=")[1].split()[0]
    )
    serves(process)


def test_restart_says_what_is_missing(start_broker: StartBroker) -> None:
    process = start_broker(http_server__port=str(free_port()))
    with process.raw(4) as c:
        c.connect("kept", clean=False)
        c.leave()
    answers = []
    for free in range(MOST_FREE):
        with free_descriptors(process, free):
            answers.append(answer_of(process, "restart"))
        assert process.popen.poll() is None
        if not answers[-1]:
            break
    assert len(answers) > 2
    assert answers[-1] == "", answers
    for answer in answers[:-1]:
        assert "not restarted: " in answer
        assert "Too many open files" in answer or "descriptors" in answer, answer
    process.waits_for("1 sessions of the process before go on")
    serves(process)


def test_connections_requests_and_log_files_wait(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    process = start_broker(
        log__to="console,file", log__rotation__size="1KB", log__dir=str(tmp_path),
        log__rotation__count="3", http_server__port=str(free_port()),
    )  # fmt: skip
    with process.raw(5) as healthy:
        healthy.connect("healthy")
        for free in (0, 1, 2, 5, 9, 12, 16, 20, MOST_FREE):
            with free_descriptors(process, free), contextlib.ExitStack() as stack:
                crowd = [stack.enter_context(Raw(process.port, 5)) for _ in range(30)]
                for _ in range(10):
                    os.kill(process.pid, signal.SIGHUP)  # a line, at least
                    healthy.ping()
                with contextlib.suppress(OSError):
                    process.api(req=2, within_s=1)  # it may have to wait
                assert len(crowd) == 30
            with process.raw(5) as late:
                late.connect("late")
    until = time.monotonic() + 20
    while True:
        with contextlib.suppress(OSError):
            serves(process)
            break
        assert time.monotonic() < until
    logs = sorted(tmp_path.glob("*.log*"))
    assert len(logs) == 4
    assert {path.stat().st_mode & 0o777 for path in logs} == {0o600}
    assert all(path.stat().st_size < 4096 for path in logs)


@pytest.mark.parametrize("free", [0, 1, 3])
def test_broker_without_descriptors_stops_cleanly(
    start_broker: StartBroker, free: int
) -> None:
    process = start_broker()
    with process.raw(5) as c:
        c.connect("c")
        with free_descriptors(process, free):
            os.kill(process.pid, signal.SIGTERM)
            assert c.read_until_closed()[-1].reason == 0x8B
            assert process.ends() == 0
    assert not any("Traceback" in line for line in process.lines), "".join(process.lines)


async def test_program_that_listens_is_told_that_there_are_none() -> None:
    async with Broker(Config(url="nmq-tcp://127.0.0.1:0")) as broker:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest = os.dup(0)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, before[1]))
        try:
            for listen in (
                lambda: broker.subscribe("a"),
                lambda: broker.consume("c", ["a"]),
                lambda: broker.events([Connected]),
            ):
                with pytest.raises(OSError, match="Too many open files"):
                    listen()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        async with broker.subscribe("a") as tap:  # it goes on
            broker.publish("a", b"x")
            assert (await anext(tap)).payload == b"x"
