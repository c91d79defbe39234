"""Log lines that peers can cause again and again."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nanomq_py import Broker, Config, ConfigError
from nanomq_py.config.keys.listeners import WebSocket
from nanomq_py.config.keys.log import Log
from nanomq_py.run import log_file, log_lines, logs, terminal
from tests.raw import Raw

pytestmark = pytest.mark.plain


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(log_lines.time, "monotonic", made.monotonic)
    return made


@pytest.fixture
def logger() -> tuple[logging.Logger, Lines]:
    made, lines = logging.Logger("made-up"), Lines()
    made.addFilter(log_lines.Repeats())
    made.addHandler(lines)
    return made, lines


def test_line_that_repeats_is_written_once_and_counted(
    clock: Clock, logger: tuple[logging.Logger, Lines]
) -> None:
    log, lines = logger
    for number in range(100):
        log.warning("connection %d failed at 100%%", number)
    log.error("another\nwith %d lines", 2)
    clock.now += log_lines.REPEAT_S
    log.warning("connection %d failed at 100%%", 100)
    log.warning("connection %d failed at 100%%", 101)
    assert lines.lines == [
        "connection 0 failed at 100%",
        "another\nwith 2 lines",
        "connection 100 failed at 100% (99 more like it before)",
    ]


def test_kinds_that_are_kept_are_bounded(
    clock: Clock, logger: tuple[logging.Logger, Lines]
) -> None:
    log, lines = logger
    for number in range(2 * log_lines.MOST_KINDS):
        log.warning(f"kind {number}")
    assert len(lines.lines) == 2 * log_lines.MOST_KINDS
    (repeats,) = log.filters
    assert isinstance(repeats, log_lines.Repeats)
    assert len(repeats._kinds) == log_lines.MOST_KINDS


def test_asyncios_lines_go_where_ours_go(
    capsys: pytest.CaptureFixture[str], clock: Clock
) -> None:
    names = ["nanomq", *logs.FOREIGN]
    before = {
        n: (made.handlers[:], made.propagate, made.level, made.filters[:])
        for n in names
        if (made := logging.getLogger(n))
    }
    try:
        for _ in range(2):  # a reload
            logs.LogsChange(Log()).commit()
        for number in range(50):
            logging.getLogger("asyncio").error("made up %d", number)
        written = capsys.readouterr().err
        assert written.count("made up") == 1
        assert "Z error asyncio: made up 0\n" in written
    finally:
        for n, (handlers, propagate, level, filters) in before.items():
            made = logging.getLogger(n)
            made.handlers, made.propagate, made.filters = handlers, propagate, filters
            made.setLevel(level)


def test_log_file_is_its_owners_also_after_a_new_one_is_begun(tmp_path: Path) -> None:
    config = Log(to=("file",), dir=str(tmp_path), file="x.log", rotation_size=1024)
    handler = log_file.file_handler(config)
    try:
        for _ in range(3):
            handler.emit(logging.makeLogRecord({"msg": "x" * 1000}))
    finally:
        handler.close()
    assert {f.name: oct(f.stat().st_mode & 0o777) for f in tmp_path.iterdir()} == {
        "x.log": "0o600",
        "x.log.1": "0o600",
        "x.log.2": "0o600",
    }


def file_handler(tmp_path: Path, **given: int) -> logging.Handler:
    handler = log_file.file_handler(
        Log(to=("file",), dir=str(tmp_path), file="x.log", **given)
    )
    handler.setFormatter(log_lines.Line())
    return handler


def record(text: str, *values: object) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "nanomq", "msg": text, "args": values})


def test_log_files_of_before_are_closed_to_others(tmp_path: Path) -> None:
    for name in ("x.log", "x.log.1", "x.log.5", "y.log.1"):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(0o644)
    file_handler(tmp_path).close()
    modes = {f.name: f.stat().st_mode & 0o777 for f in tmp_path.iterdir()}
    assert modes == {"x.log": 0o600, "x.log.1": 0o600, "x.log.5": 0o600, "y.log.1": 0o644}


def test_new_files_are_their_owners_whatever_the_mask_is(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        handler = file_handler(tmp_path, rotation_size=1024)
        for _ in range(3):
            handler.emit(record("x" * 1000))
        handler.close()
    finally:
        os.umask(old)
    assert {f.stat().st_mode & 0o777 for f in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize("kind", ["link", "hard link", "fifo"])
def test_what_somebody_has_put_in_the_log_files_place_is_refused(
    tmp_path: Path, kind: str
) -> None:
    other, path = tmp_path / "other", tmp_path / "x.log"
    other.touch()
    if kind == "link":
        path.symlink_to(other)
    elif kind == "hard link":
        path.hardlink_to(other)
    else:
        os.mkfifo(path)
    with pytest.raises(ConfigError, match=r"log\.file='x\.log': cannot be written"):
        file_handler(tmp_path)
    assert other.read_text() == ""


def test_at_most_as_many_old_files_are_kept(tmp_path: Path) -> None:
    handler = file_handler(tmp_path, rotation_size=1024, rotation_count=2)
    for number in range(5):
        handler.emit(record(f"{number}" * 1000))
    handler.close()
    got = {f.name: f.read_text()[-2] for f in tmp_path.iterdir()}
    assert got == {"x.log": "4", "x.log.1": "3", "x.log.2": "2"}


def test_file_that_somebody_cuts_short_goes_on(tmp_path: Path) -> None:
    handler = file_handler(tmp_path, rotation_size=1024)
    for _ in range(5):
        handler.emit(record("x" * 900))
        os.truncate(tmp_path / "x.log", 0)  # as logrotate's copytruncate does
    handler.close()
    assert [f.name for f in tmp_path.iterdir()] == ["x.log"]


def test_what_a_client_sends_steers_no_terminal_and_begins_no_line() -> None:
    line = log_lines.Line().format(
        record("client %s", "a\x1b[2J\r\n\x00\x7f\x85\u2028\u202egpj.\u2066\u200f\u061c")
    )
    assert line.endswith(
        r"client a\x1b[2J\r\n\x00\x7f\x85\u2028\u202egpj.\u2066\u200f\u061c"
    )
    assert line.isprintable()
    assert (
        log_lines.Line().format(record("client %s", "Käfer 茶 🙂")).endswith("Käfer 茶 🙂")
    )


def test_traceback_has_lines_that_begin_like_no_record() -> None:
    try:
        raise ValueError("evil\n2026-01-01T00:00:00.000Z info nanomq: \x1b[31mforged\u202e")
    except ValueError:
        made = record("failed")
        made.exc_info = sys.exc_info()
    first, *rest = log_lines.Line().format(made).split("\n")
    assert first.endswith("failed")
    assert all(line.startswith("    ") and line.isprintable() for line in rest)
    assert any("forged" in line for line in rest)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Take so many bytes with each write to a file; 0: none, and the disk is full."""
    write, room = os.write, {"bytes": 0}

    def short(fd: int, data: bytes) -> int:
        if not room["bytes"]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, data[: room["bytes"]])

    monkeypatch.setattr(logs.os, "write", short)
    return room


def test_full_disk_is_one_line_a_minute(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    clock: Clock,
    full_disk: dict[str, int],
) -> None:
    handler = file_handler(tmp_path)
    for _ in range(1000):
        handler.handle(record("lost"))
    assert capsys.readouterr().err == (
        f"nanomq: log: {tmp_path}/x.log: No space left on device; 1 lines are lost\n"
    )
    clock.now += 60
    handler.handle(record("lost"))
    assert capsys.readouterr().err == (
        f"nanomq: log: {tmp_path}/x.log: No space left on device; 1000 lines are lost\n"
    )
    full_disk["bytes"] = 10  # half a line
    handler.handle(record("torn"))
    full_disk["bytes"] = 1000
    handler.handle(record("whole again"))
    handler.close()
    torn, told, whole = (tmp_path / "x.log").read_text().splitlines()
    assert (len(torn), whole.endswith("nanomq: whole again")) == (10, True)
    assert told.endswith("warning nanomq: 1002 lines were lost: No space left on device")
    assert capsys.readouterr().err == ""


def test_new_file_that_cannot_be_made_leaves_the_old_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = file_handler(tmp_path, rotation_size=1024)

    def fail(*args: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr(logs.os, "open", fail)
        for number in range(100):
            handler.handle(record(f"{number:0200}"))
    assert capsys.readouterr().err.count("Too many open files") == 1
    text = (tmp_path / "x.log").read_text()
    assert 1024 // 2 < len(text) < 3 * 1024  # twice its bound
    assert f"{99:0200}" in text
    handler.handle(record(f"{'new':>1024}"))
    handler.close()
    assert (tmp_path / "x.log").read_text().endswith(" new\n")
    assert (tmp_path / "x.log.1").read_text() == text


def test_console_that_is_gone_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    handler = logs.ConsoleHandler(Full())
    for _ in range(100):
        handler.handle(record("lost"))
    assert capsys.readouterr().err == (
        "nanomq: log: console: No space left on device; 1 lines are lost\n"
    )


async def test_core_escapes_what_clients_send(caplog: pytest.LogCaptureFixture) -> None:
    """Also for a program that has handlers of its own."""
    config = Config(
        url="nmq-tcp://127.0.0.1:0",
        websocket=WebSocket(enable=False),
        log=Log(level="debug"),
        sys_interval=0,
    )
    name = "a\x1b[2J\r\n\x7f\u0085\u2028\u202egpj.\u2066\u200f\u061cKäfer 茶 🙂"
    with caplog.at_level(logging.DEBUG, "nanomq"):
        async with Broker(config) as broker:
            with Raw(broker.ports["url"], 4) as c:
                await asyncio.to_thread(c.connect, name, user="\x1b]0;\u2067")
            until = time.monotonic() + 20
            while not any("fer" in line for line in caplog.messages):
                assert time.monotonic() < until, caplog.messages
                await asyncio.sleep(0.01)
    (line,) = [line for line in caplog.messages if "' connected" in line]
    shown = r"a\x1b[2J\x0d\x0a\x7f\x85\u2028\u202egpj.\u2066\u200f\u061cKäfer 茶 🙂"
    assert f"client '{shown}' connected: user '\\x1b]0;\\u2067'" in line


# --- lines that are lost are counted where they are missed


def test_rest_of_the_lost_lines_is_told_at_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], full_disk: dict[str, int]
) -> None:
    handler = file_handler(tmp_path)
    for _ in range(7):
        handler.handle(record("lost"))
    capsys.readouterr()
    handler.close()
    assert capsys.readouterr().err == (
        f"nanomq: log: {tmp_path}/x.log: No space left on device; 6 lines are lost\n"
    )
    full_disk["bytes"] = 1000
    handler = file_handler(tmp_path)
    handler.handle(record("kept"))
    handler.close()
    assert "lost" not in (tmp_path / "x.log").read_text()


@pytest.mark.parametrize("name", ["x.log.1", "x.log.new"])
def test_log_that_somebody_keeps_from_a_new_file_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """In a folder such as /tmp anybody can put a folder in an old file's place."""
    handler = file_handler(tmp_path, rotation_size=2048, rotation_count=1)
    (tmp_path / name).mkdir()
    path = tmp_path / "x.log"
    for number in range(200):
        handler.handle(record(f"line {number:0100}"))
        assert path.read_text().endswith(f"line {number:0100}\n")
        assert path.stat().st_size < 5000
    told = capsys.readouterr().err
    assert told.startswith(f"nanomq: log: {path}: no new file can be begun: ")
    assert (told.count("\n"), "lost" in told) == (1, False)
    lines = path.read_text().splitlines()
    cut = [line for line in lines if "warning nanomq: older lines were cut: no new" in line]
    assert lines.index(cut[0]) > 1  # behind the newest ones that were there
    (tmp_path / name).rmdir()
    handler.handle(record(f"{'anew':>2048}"))
    handler.close()
    assert path.read_text().count("\n") == 1


# --- readers that stall


@contextlib.contextmanager
def pipe() -> Iterator[tuple[int, io.TextIOWrapper]]:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        yield reader, stream
    os.close(reader)


def read_until(fd: int, text: str) -> str:
    got, until = "", time.monotonic() + 10
    while text not in got:
        assert time.monotonic() < until, got[-200:]
        got += os.read(fd, 1 << 20).decode()
    return got


def test_console_whose_reader_stalls_is_not_waited_for() -> None:
    with pipe() as (reader, stream):
        handler = logs.ConsoleHandler(stream)
        handler.setFormatter(log_lines.Line())
        began = time.monotonic()
        for number in range(2000):
            handler.handle(record(f"{number:01000}"))
        assert time.monotonic() - began < 20
        got: list[str] = []
        thread = threading.Thread(target=lambda: got.append(read_until(reader, "again\n")))
        thread.start()
        handler._outlet.flush(10)
        handler.handle(record("again"))
        thread.join(15)
        lines = got[0].splitlines()
        told = [
            line for line in lines if " lines were lost: its reader has stalled" in line
        ]
        lost = sum(int(line.split("nanomq: ")[1].split()[0]) for line in told)
        lines = [line for line in lines if line not in told]
        numbers = [int(line[-1000:]) for line in lines[:-1]]
        assert numbers == sorted(numbers)
        assert numbers[:900] == list(range(900))
        assert len(numbers) + lost == 2000
        assert lost > 700  # 1 MiB waits, and what a pipe takes
        assert lines[-1].endswith("again")


def test_flush_of_a_console_is_bounded() -> None:
    with pipe() as (reader, stream):
        outlet = terminal.Outlet(stream)
        outlet.write("x" * 200_000)
        began = time.monotonic()
        outlet.flush(0.1)
        assert 0.05 < time.monotonic() - began < 20
        thread = threading.Thread(target=read_until, args=(reader, "end"))
        thread.start()
        outlet.write("end")
        outlet.flush(10)
        assert not outlet._waiting
        thread.join(10)


def test_console_that_is_a_file_has_no_thread(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as stream:
        handler = logs.ConsoleHandler(stream)
        handler.handle(record("here"))
        assert (tmp_path / "out").read_text() == "here\n"
        assert handler._outlet._writer is None


def test_syslog_that_does_not_read_is_not_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(path)
        handler = logs.SyslogHandler(path)
        began = time.monotonic()
        for _ in range(3000):
            handler.handle(record("x" * 400))
        assert time.monotonic() - began < 20
        assert (
            "syslog: the daemon does not read; 1 lines are lost" in capsys.readouterr().err
        )
        daemon.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                assert daemon.recv(1000) == b"<15>" + b"x" * 400 + b"\0"
        made = record("again")
        made.levelno = logging.ERROR
        handler.handle(made)
        told = daemon.recv(1000)
        assert told.startswith(b"<12>")
        assert told.endswith(b" lines were lost: the daemon does not read\0")
        assert daemon.recv(1000) == b"<11>again\0"
        handler.close()


def test_syslog_daemon_that_is_started_anew_is_found(tmp_path: Path) -> None:
    path = tmp_path / "log"
    handler = None
    for number in range(2):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
            daemon.bind(str(path))
            handler = handler or logs.SyslogHandler(str(path))
            handler.handle(record(f"line {number}"))
            assert daemon.recv(100) == f"<15>line {number}\0".encode()
        path.unlink()
    assert handler is not None
    handler.close()
