"""Where log lines go: console, file with rotation, syslog; one JSON-free line each.

``2026-01-02T03:04:05.678Z warning nanomq: 127.0.0.1:5000: keep alive timeout``
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import sys
import time
from collections import OrderedDict
from io import TextIOWrapper
from pathlib import Path

from nanomq_py.config import ConfigError
from nanomq_py.config.sections import Log
from nanomq_py.options import LEVELS

# Loggers of libraries whose lines any peer can cause: ours take them, rate-limited.
FOREIGN = ("asyncio", "uvicorn.error")
REPEAT_S = 10.0
MOST_KINDS = 256


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


_foreign = Repeats()


class Line(logging.Formatter):
    """UTC time, level, logger, message: fields in a fixed order, one line a record."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        record.levelname = record.levelname.lower()
        line = super().format(record)
        # What a peer sent must not begin a line of its own.
        return line.replace("\r", "\\r").replace("\n", "\n    ")


class _File(logging.handlers.RotatingFileHandler):
    """A log file that its owner alone can read: clients and topics are named in it."""

    def _open(self) -> TextIOWrapper:
        fd = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return open(fd, "a", encoding=self.encoding, errors=self.errors)


def _file_handler(config: Log) -> logging.Handler:
    path = Path(config.dir) / config.file
    try:
        Path(config.dir).mkdir(parents=True, exist_ok=True)
        return _File(
            path,
            maxBytes=config.rotation_size,
            backupCount=config.rotation_count,
            encoding="utf-8",
            errors="backslashreplace",
        )
    except OSError as fault:
        raise ConfigError(
            f"log.dir={config.dir!r}, log.file={config.file!r}: cannot be written:"
            f" {fault.strerror}"
        ) from None


def _syslog_handler() -> logging.Handler:
    if not os.path.exists("/dev/log"):
        raise ConfigError("log.to=syslog: this machine has no /dev/log")
    return logging.handlers.SysLogHandler("/dev/log")


class Change:
    """Destinations of the log that are open, and not written to yet."""

    def __init__(self, config: Log) -> None:
        """Open them. Raises ConfigError when one cannot be written."""
        self._config = config
        self._handlers: list[logging.Handler] = []
        try:
            if "console" in config.to:
                self._handlers.append(logging.StreamHandler(sys.stderr))
            if "file" in config.to:
                self._handlers.append(_file_handler(config))
            if "syslog" in config.to:
                self._handlers.append(_syslog_handler())
        except ConfigError:
            self._close()
            raise

    def _close(self) -> None:
        for handler in self._handlers:
            handler.close()

    def commit(self) -> None:
        """Send the log of ``nanomq``, and of what it uses, there from now on."""
        root = logging.getLogger("nanomq")
        root.setLevel(LEVELS[self._config.level])
        root.propagate = False
        # Who changed what is told whatever the level is.
        logging.getLogger("nanomq.audit").setLevel(logging.INFO)
        for handler in self._handlers:
            handler.setFormatter(Line())
            root.addHandler(handler)
        for old in root.handlers[:]:
            if old not in self._handlers:
                root.removeHandler(old)
                old.close()
        for name in FOREIGN:
            foreign = logging.getLogger(name)
            foreign.setLevel(max(LEVELS[self._config.level], logging.WARNING))
            foreign.propagate = False
            foreign.addFilter(_foreign)  # once, however often
            foreign.handlers = list(self._handlers)

    async def undo(self) -> None:
        """Close what was opened."""
        self._close()
