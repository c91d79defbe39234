"""Where log lines go: console, file with rotation, syslog; one JSON-free line each.

``2026-01-02T03:04:05.678Z warning nanomq: 127.0.0.1:5000: keep alive timeout``
"""

from __future__ import annotations

import contextlib
import errno
import logging
import logging.handlers
import os
import stat
import sys
import time
from collections import OrderedDict
from pathlib import Path
from typing import TextIO

from nanomq_py.config import ConfigError
from nanomq_py.config.sections import Log
from nanomq_py.config.units import shown
from nanomq_py.options import LEVELS

# Loggers of libraries whose lines any peer can cause: ours take them, rate-limited.
FOREIGN = ("asyncio", "uvicorn.error")
ALWAYS = ("nanomq.audit", "nanomq.start")
REPEAT_S = 10.0
COMPLAINT_S = 60.0  # between two words on stderr about lines that cannot be written
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


class _Quiet(logging.Handler):
    """Says once a minute on stderr what keeps it from writing, not a traceback a line."""

    _since = -COMPLAINT_S
    _lost = 0

    def handleError(self, record: logging.LogRecord) -> None:
        self._lost += 1
        self._complain()

    def _complain(self) -> None:
        """Tell of the exception that is being handled."""
        now = time.monotonic()
        if now - self._since < COMPLAINT_S or sys.stderr is None:
            return
        fault = sys.exc_info()[1]
        why = shown(getattr(fault, "strerror", None) or repr(fault))
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(f"nanomq: log: {self}: {why}; {self._lost} lines are lost\n")
            sys.stderr.flush()
        self._since, self._lost = now, 0


class _Console(_Quiet):
    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def __str__(self) -> str:
        return "console"

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._stream.write(self.format(record) + "\n")
            self._stream.flush()
        except Exception:
            self.handleError(record)


class _Syslog(_Quiet, logging.handlers.SysLogHandler):
    def _connect_unixsocket(self, address: str) -> None:
        super()._connect_unixsocket(address)
        self.socket.setblocking(False)  # the loop waits for no daemon: the line is lost

    def __str__(self) -> str:
        return "syslog"


def _open_log(path: Path) -> int:
    """Open a log file to append: of mode 0600, and nobody else's. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise OSError(errno.EPERM, "no regular file with this name alone")
        if found.st_uid != os.geteuid():
            raise OSError(errno.EPERM, "the file belongs to another user")
        os.fchmod(fd, 0o600)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _close_to_others(path: Path) -> None:
    """Give a log file of before the mode of ours, where there is one."""
    with contextlib.suppress(OSError):
        found = os.lstat(path)
        if stat.S_ISREG(found.st_mode) and stat.S_IMODE(found.st_mode) != 0o600:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                os.fchmod(fd, 0o600)
            finally:
                os.close(fd)


class _File(_Quiet):
    """A log file that its owner alone can read: clients and topics are named in it.

    At its bound a new one is begun: ``x.log`` becomes ``x.log.1``, that one ``x.log.2``. What
    fails leaves the file that there is, and it is tried again with the next line.
    """

    def __init__(self, path: Path, most_bytes: int, kept: int) -> None:
        """Open it. Raises OSError."""
        super().__init__()
        self._path = path
        self._most_bytes = most_bytes
        self._kept = kept
        self._fd = _open_log(path)
        for number in range(1, kept + 1):
            _close_to_others(self._old(number))
        self._size = os.fstat(self._fd).st_size
        self._is_torn = False  # the last line was written in part

    def __str__(self) -> str:
        return shown(str(self._path))

    def _old(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record).encode("utf-8", "backslashreplace") + b"\n"
            if self._is_full(len(line)):
                self._try_to_begin_anew()
            self._write(b"\n" + line if self._is_torn else line)
        except Exception:
            self.handleError(record)

    def _is_full(self, more_bytes: int) -> bool:
        if self._size + more_bytes > self._most_bytes:
            self._size = os.fstat(self._fd).st_size  # somebody may have cut it short
        return self._size > 0 and self._size + more_bytes > self._most_bytes

    def _write(self, data: bytes) -> None:
        count = os.write(self._fd, data)
        self._size += count
        self._is_torn = count < len(data)
        if self._is_torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _try_to_begin_anew(self) -> None:
        """Begin anew, or go on with this file up to twice its bound. Raises OSError."""
        try:
            self._begin_anew()
        except OSError:
            if self._size > 2 * self._most_bytes:
                raise
            self._complain()

    def _begin_anew(self) -> None:
        """Let the old file go when the new one is there. Raises OSError."""
        waiting = self._path.with_name(f"{self._path.name}.new")
        waiting.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW
        fd = os.open(waiting, flags | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(fd, 0o600)
            for number in range(self._kept - 1, 0, -1):
                with contextlib.suppress(FileNotFoundError):
                    os.replace(self._old(number), self._old(number + 1))
            os.replace(self._path, self._old(1))
            os.replace(waiting, self._path)
        except BaseException:
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd, self._size, self._is_torn = fd, 0, False

    def close(self) -> None:
        self.acquire()
        try:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
        finally:
            self.release()
        super().close()


def _file_handler(config: Log) -> logging.Handler:
    path = Path(config.dir) / config.file
    try:
        Path(config.dir).mkdir(parents=True, exist_ok=True)
        return _File(path, config.rotation_size, config.rotation_count)
    except OSError as fault:
        why = "it is a symbolic link" if fault.errno == errno.ELOOP else fault.strerror
        raise ConfigError(
            f"log.dir={config.dir!r}, log.file={config.file!r}: cannot be written: {why}"
        ) from None


def _syslog_handler() -> logging.Handler:
    if not os.path.exists("/dev/log"):
        raise ConfigError("log.to=syslog: this machine has no /dev/log")
    try:
        return _Syslog("/dev/log")
    except OSError as fault:
        raise ConfigError(f"log.to=syslog: /dev/log: {fault.strerror}") from None


class Change:
    """Destinations of the log that are open, and not written to yet."""

    def __init__(self, config: Log) -> None:
        """Open them. Raises ConfigError when one cannot be written."""
        self._config = config
        self._handlers: list[logging.Handler] = []
        try:
            if "console" in config.to:
                self._handlers.append(_Console(sys.stderr))
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
        # Who changed what, and where the broker listens, is told whatever the level is.
        for name in ALWAYS:
            logging.getLogger(name).setLevel(logging.INFO)
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
