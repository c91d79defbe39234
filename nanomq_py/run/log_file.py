"""The log file, which its owner alone can read, and its rotation."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
from pathlib import Path

from nanomq_py.config import ConfigError
from nanomq_py.config.keys.log import Log
from nanomq_py.config.values.texts import shown
from nanomq_py.run.log_lines import QuietHandler, made_up, reason_of

MOST_KEPT_BYTES = 1 << 20  # of a log file that is cut: read and written in one go


def _open_log(path: Path) -> int:
    """Open a log file of ours to append, with mode 0600. Raises OSError."""
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
    """Give an older log file, if there is one, the mode of new ones."""
    with contextlib.suppress(OSError):
        found = os.lstat(path)
        if stat.S_ISREG(found.st_mode) and stat.S_IMODE(found.st_mode) != 0o600:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                os.fchmod(fd, 0o600)
            finally:
                os.close(fd)


class FileHandler(QuietHandler):
    """A log file that its owner alone can read: clients and topics are named in it.

    At its bound a new file begins: ``x.log`` becomes ``x.log.1``, and that ``x.log.2``. If this
    fails, the old file stays, and the next line tries again.
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
        self._is_torn = False  # only part of the last line was written

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
        """Begin a new file, or go on with this one; at twice its bound keep only its end."""
        try:
            self._begin_anew()
        except OSError as fault:
            why = f"no new file can be begun: {reason_of(fault)}"
            self._complain(why)
            if self._size > 2 * self._most_bytes:
                self._cut(why)

    def _cut(self, why: str) -> None:
        """Drop older lines: whoever keeps new files from being made must not end the log."""
        kept = min(self._most_bytes // 2, MOST_KEPT_BYTES)
        end = os.pread(self._fd, kept, self._size - kept).partition(b"\n")[2]
        os.ftruncate(self._fd, 0)
        self._size, self._is_torn = 0, False
        self._write(end + self._line(made_up("older lines were cut: %s", why)))

    def _begin_anew(self) -> None:
        """Close the old file once the new one is open. Raises OSError."""
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


def file_handler(config: Log) -> logging.Handler:
    path = Path(config.dir) / config.file
    try:
        Path(config.dir).mkdir(parents=True, exist_ok=True)
        return FileHandler(path, config.rotation_size, config.rotation_count)
    except OSError as fault:
        why = "it is a symbolic link" if fault.errno == errno.ELOOP else fault.strerror
        raise ConfigError(
            f"log.dir={config.dir!r}, log.file={config.file!r}: cannot be written: {why}"
        ) from None
