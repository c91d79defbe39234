"""Lines of the log: their form, their repeats, and what happens if one cannot be written.

``2026-01-02T03:04:05.678Z warning nanomq: 127.0.0.1:5000: keep alive timeout``
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections import OrderedDict

from nanomq_py.config.values.texts import shown
from nanomq_py.run import terminal

REPEAT_S = 10.0
MOST_KINDS = 256
COMPLAINT_S = 60.0  # between two complaints on stderr about lines that cannot be written


class Repeats(logging.Filter):
    """Lets lines of one kind through once in 10 s, and then tells how many there were.

    A kind is the text before its values are put in, up to its first line's end.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kinds: OrderedDict[tuple[str, int, str], tuple[float, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        kind = (record.name, record.levelno, str(record.msg).partition("\n")[0][:200])
        now = time.monotonic()
        since, more = self._kinds.get(kind, (-REPEAT_S, 0))
        if now - since < REPEAT_S:
            self._kinds[kind] = (since, more + 1)
            return False
        self._kinds[kind] = (now, 0)
        self._kinds.move_to_end(kind)
        if len(self._kinds) > MOST_KINDS:
            self._kinds.popitem(last=False)
        if more > 0:
            record.msg = f"{record.getMessage()} ({more} more like it before)"
            record.args = ()
        return True


class Line(logging.Formatter):
    """UTC time, level, logger, message: fields in a fixed order, one line a record.

    A peer's text can be in the message and in the traceback behind it: neither can begin a
    line that looks like a record, nor steer a terminal.
    """

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        return shown(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        record.levelname = record.levelname.lower()
        lines = super().format(record).split("\n")
        return "\n    ".join(map(shown, lines))


class QuietHandler(logging.Handler):
    """Says once a minute on stderr why it cannot write, without a traceback for each line.

    The first line that can be written again is preceded by how many were lost.
    """

    _since = -COMPLAINT_S
    _lost = 0  # since a line was written
    _untold = 0  # of those, not told on stderr yet
    _why = ""

    @property
    def fault(self) -> str:
        """Why the last line could not be written; empty: it could."""
        return self._why if self._lost > 0 else ""

    def _put(self, record: logging.LogRecord) -> None:
        """Write one line. Raises what keeps it from being written."""
        raise NotImplementedError

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self._lost > 0:
                self._put(made_up("%d lines were lost: %s", self._lost, self._why))
                self._lost = self._untold = 0
            self._put(record)
        except Exception:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        self._lost += 1
        self._untold += 1
        self._why = reason_of(sys.exc_info()[1])
        self._complain(self._why)

    def _complain(self, why: str) -> None:
        now = time.monotonic()
        if now - self._since >= COMPLAINT_S:
            self._tell(why)
            self._since = now

    def _tell(self, why: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            lost = f"; {self._untold} lines are lost" if self._untold > 0 else ""
            terminal.say(f"nanomq: log: {self}: {why}{lost}")
        self._untold = 0

    def close(self) -> None:
        if self._untold > 0:
            self._tell(self._why)
        super().close()


def reason_of(fault: BaseException | None) -> str:
    return shown(getattr(fault, "strerror", None) or repr(fault))


def made_up(text: str, *values: object) -> logging.LogRecord:
    return logging.makeLogRecord(
        {
            "name": "nanomq",
            "levelno": logging.WARNING,
            "levelname": "WARNING",
            "msg": text,
            "args": values,
        }
    )
