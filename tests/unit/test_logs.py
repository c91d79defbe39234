"""Log lines that peers can cause again and again."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from nanomq_py import logs
from nanomq_py.config.sections import Log


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
    monkeypatch.setattr(logs.time, "monotonic", made.monotonic)
    return made


@pytest.fixture
def logger() -> tuple[logging.Logger, Lines]:
    made, lines = logging.Logger("made-up"), Lines()
    made.addFilter(logs.Repeats())
    made.addHandler(lines)
    return made, lines


def test_line_that_repeats_is_written_once_and_counted(
    clock: Clock, logger: tuple[logging.Logger, Lines]
) -> None:
    log, lines = logger
    for number in range(100):
        log.warning("connection %d failed at 100%%", number)
    log.error("another\nwith %d lines", 2)
    clock.now += logs.REPEAT_S
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
    for number in range(2 * logs.MOST_KINDS):
        log.warning(f"kind {number}")
    assert len(lines.lines) == 2 * logs.MOST_KINDS
    (repeats,) = log.filters
    assert isinstance(repeats, logs.Repeats)
    assert len(repeats._kinds) == logs.MOST_KINDS


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
            logs.Change(Log()).commit()
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
    handler = logs._file_handler(config)
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
