"""The action that writes rows to a file: a line each, of JSON or CSV.

::

    out.csv  ->  out.csv.1  ->  out.csv.2     when it has reached its size; the last is deleted
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from nanomq_py.plugins.rules.action import (
    NO_FAULTS,
    Action,
    Faults,
    Row,
    Selected,
    Tools,
    check_names,
    json_of,
    json_row,
    plain_row,
    text,
    whole,
)
from nanomq_py.plugins.rules.faults import RowError, RuleFault
from nanomq_py.plugins.rules.model import Params

PARAMS = ("path", "format", "max_bytes", "count")
FORMATS = ("json", "csv")
_FLAGS = os.O_CREAT | os.O_APPEND | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


class LinesFile:
    """The file.

    Threads  any, one at a time
    """

    def __init__(self, path: Path, *, is_csv: bool, max_bytes: int, count: int) -> None:
        """Make it. count: files in all."""
        self._path = path
        self._is_csv = is_csv
        self._max_bytes = max_bytes
        self._count = count
        self._file: BinaryIO | None = None
        self._columns: list[str] = []
        self._size = 0
        self._opened = os.stat_result(range(10))  # that file, once there is one

    def write(self, rows: Sequence[Row]) -> Faults:
        """Write rows; return the faults. Raises OSError, and some may be written then."""
        if self._file is not None and is_gone(self._path, self._opened):
            self.close()  # somebody has put it away, or deleted it
        faults: dict[int, str] = {}
        waiting: list[bytes] = []
        waiting_bytes = 0
        for at, row in enumerate(rows):
            self._open(row)
            if self._size + waiting_bytes >= self._max_bytes:
                self._flush(waiting)
                waiting_bytes = 0
                self._rotate()
                self._open(row)
            try:
                line = self._line(row)
            except RowError as fault:
                faults[at] = f"file {self._path.name}: {fault}"
                continue
            waiting.append(line)
            waiting_bytes += len(line)
        self._flush(waiting)
        return faults or NO_FAULTS

    def _flush(self, waiting: list[bytes]) -> None:
        if waiting and self._file is not None:
            data = b"".join(waiting)
            waiting.clear()
            try:
                _write_all(self._file, data)
            except OSError:
                with contextlib.suppress(OSError):
                    self._file.truncate(self._size)  # no half of a line
                raise
            self._size += len(data)

    def _open(self, row: Row) -> None:
        if self._file is not None:
            return
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.fdopen(os.open(self._path, _FLAGS, 0o600), "ab+", buffering=0)
        self._file = file
        self._opened = os.fstat(file.fileno())
        self._size = self._opened.st_size
        self._end_line(file)
        if not self._is_csv:
            return
        if self._size == 0:
            self._columns = list(plain_row(row))
            head = _csv_line(self._columns)
            self._size = len(head)
            file.write(head)
        else:
            file.seek(0)
            with io.TextIOWrapper(
                io.BytesIO(file.read(65_536)), "utf-8", "replace", newline=""
            ) as text_file:
                self._columns = next(csv.reader(text_file), [])

    def _end_line(self, file: BinaryIO) -> None:
        """Have a line alone that a process which was killed did not write to its end."""
        if self._size:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                self._size += file.write(b"\n")

    def _line(self, row: Row) -> bytes:
        if not self._is_csv:
            return json_row(row) + b"\n"
        plain = plain_row(row)
        if more := [name for name in plain if name not in self._columns]:
            raise RowError(f"column {more[0][:64]!r}: the file has none of that name")
        return _csv_line([_cell(plain.get(name)) for name in self._columns])

    def _rotate(self) -> None:
        self.close()
        for number in range(self._count - 1, 0, -1):
            before = self._numbered(number - 1)
            with contextlib.suppress(FileNotFoundError):
                os.replace(before, self._numbered(number))
        if self._count == 1:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


def is_gone(path: Path, opened: os.stat_result) -> bool:
    """Return whether the file that was opened there is not there any more."""
    try:
        return not os.path.samestat(os.lstat(path), opened)
    except FileNotFoundError:
        return True


def _write_all(file: BinaryIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json_of(value).decode()


def _csv_line(cells: Sequence[str]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue().encode(errors="replace")


class WriteLines(Action):
    """Writes each row."""

    def __init__(self, file: LinesFile) -> None:
        super().__init__()
        self._file = file

    async def act(self, selected: Sequence[Selected]) -> Faults:
        rows = [each.row for each in selected]
        try:
            return await asyncio.to_thread(self._file.write, rows)
        except OSError as fault:
            await self.close()  # what was written is in it; the next batch opens it anew
            raise RowError(f"file: {fault.strerror}") from None

    async def close(self) -> None:
        await asyncio.to_thread(self._file.close)


def write_lines(params: Params, tools: Tools) -> WriteLines:
    """Make the action. Raises RuleFault."""
    check_names(params, PARAMS)
    path = tools.place(text(params, "path"))
    kind = text(params, "format", "csv" if path.suffix == ".csv" else "json")
    if kind not in FORMATS:
        raise RuleFault(f"format: {kind[:64]!r}: expected {' or '.join(FORMATS)}")
    return WriteLines(
        LinesFile(
            path,
            is_csv=kind == "csv",
            max_bytes=whole(params, "max_bytes", 1024, 1 << 40, 10 << 20),
            count=whole(params, "count", 1, 1000, 5),
        )
    )
