"""Where log lines go: console, file with rotation, syslog; one JSON-free line each.

``2026-01-02T03:04:05.678Z warning nanomq: 127.0.0.1:5000: keep alive timeout``
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import stat
import sys
import time
from collections import OrderedDict
from pathlib import Path
from typing import TextIO

from nanomq_py.config import ConfigError
from nanomq_py.config.sections import Log
from nanomq_py.config.units import shown
from nanomq_py.core.options import LEVELS
from nanomq_py.run import terminal

# Loggers of libraries whose lines any peer can cause: ours take them, rate-limited.
FOREIGN = ("asyncio", "uvicorn.error")
ALWAYS = ("nanomq.audit", "nanomq.start")
REPEAT_S = 10.0
COMPLAINT_S = 60.0  # between two words on stderr about lines that cannot be written
MOST_KINDS = 256
MOST_KEPT_BYTES = 1 << 20  # of a log file that is cut: they are read and written at once
_USER = 1  # syslog's facility
_SEVERITIES = {
    logging.CRITICAL: 2,
    logging.ERROR: 3,
    logging.WARNING: 4,
    logging.INFO: 6,
    logging.DEBUG: 7,
}


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
    """Says once a minute on stderr what keeps it from writing, not a traceback a line.

    How many lines were lost is told in the log too, by the first one that is written again.
    """

    _since = -COMPLAINT_S
    _lost = 0  # since a line was written
    _untold = 0  # of them, on stderr
    _why = ""

    def _put(self, record: logging.LogRecord) -> None:
        """Write one line. Raises what keeps it from that."""
        raise NotImplementedError

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self._lost > 0:
                self._put(_made_up("%d lines were lost: %s", self._lost, self._why))
                self._lost = self._untold = 0
            self._put(record)
        except Exception:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        self._lost += 1
        self._untold += 1
        self._why = _reason(sys.exc_info()[1])
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


def _reason(fault: BaseException | None) -> str:
    return shown(getattr(fault, "strerror", None) or repr(fault))


def _made_up(text: str, *values: object) -> logging.LogRecord:
    return logging.makeLogRecord(
        {
            "name": "nanomq",
            "levelno": logging.WARNING,
            "levelname": "WARNING",
            "msg": text,
            "args": values,
        }
    )


class _Console(_Quiet):
    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._outlet = terminal.outlet(stream)

    def __str__(self) -> str:
        return "console"

    def _put(self, record: logging.LogRecord) -> None:
        self._outlet.write(self.format(record) + "\n")

    def flush(self) -> None:
        self._outlet.flush()


class _Syslog(_Quiet):
    """The socket of a syslog daemon, which is not waited for: what it does not take is lost.

    Source   syslog(3): <facility * 8 + severity>text
    """

    def __init__(self, path: str) -> None:
        """Connect. Raises OSError."""
        super().__init__()
        self._path = path
        self._sock = self._connected()

    def __str__(self) -> str:
        return "syslog"

    def _connected(self) -> socket.socket:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            sock = socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK)
            try:
                sock.connect(self._path)
                return sock
            except OSError as fault:
                sock.close()
                if fault.errno != errno.EPROTOTYPE or kind == socket.SOCK_STREAM:
                    raise
        raise AssertionError

    def _put(self, record: logging.LogRecord) -> None:
        severity = _SEVERITIES.get(record.levelno, 7)
        data = f"<{_USER * 8 + severity}>{self.format(record)}\0".encode()
        try:
            count = self._sock.send(data)
        except BlockingIOError:
            raise OSError(errno.EAGAIN, "the daemon does not read") from None
        except OSError:  # the daemon was started anew
            self._sock.close()
            self._sock = self._connected()
            count = self._sock.send(data)
        if count < len(data):  # of a stream, whose next line would be part of this one
            self._sock.close()
            raise OSError(errno.EAGAIN, "the daemon does not read")

    def close(self) -> None:
        self._sock.close()
        super().close()


def _open_log(path: Path) -> int:
    """Open a log file to append: of mode 0600, and nobody else's. Raises OSError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
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

    def _put(self, record: logging.LogRecord) -> None:
        line = self._line(record)
        if self._is_full(len(line)):
            self._try_to_begin_anew()
        self._write(b"\n" + line if self._is_torn else line)

    def _line(self, record: logging.LogRecord) -> bytes:
        return self.format(record).encode("utf-8", "backslashreplace") + b"\n"

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
        """Begin anew, or go on with this file; at twice its bound with its end alone."""
        try:
            self._begin_anew()
        except OSError as fault:
            why = f"no new file can be begun: {_reason(fault)}"
            self._complain(why)
            if self._size > 2 * self._most_bytes:
                self._cut(why)

    def _cut(self, why: str) -> None:
        """Let older lines go: who keeps old files from being made must not end the log."""
        kept = min(self._most_bytes // 2, MOST_KEPT_BYTES)
        end = os.pread(self._fd, kept, self._size - kept).partition(b"\n")[2]
        os.ftruncate(self._fd, 0)
        self._size, self._is_torn = 0, False
        self._write(end + self._line(_made_up("older lines were cut: %s", why)))

    def _begin_anew(self) -> None:
        """Let the old file go when the new one is there. Raises OSError."""
        waiting = self._path.with_name(f"{self._path.name}.new")
        waiting.unlink(missing_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW
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
