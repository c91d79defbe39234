"""Where log lines go: console, file with rotation, syslog."""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import TextIO

from nanomq_py.config import Config, ConfigError
from nanomq_py.config.keys.log import Log
from nanomq_py.core.options import LEVELS
from nanomq_py.kernel.part import Change, Part, Trouble
from nanomq_py.run import terminal
from nanomq_py.run.log_file import file_handler
from nanomq_py.run.log_lines import Line, QuietHandler, Repeats

log = logging.getLogger("nanomq")

# Loggers of libraries whose lines any peer can cause: our handlers write them, rate-limited.
FOREIGN = ("asyncio", "uvicorn.error")
ALWAYS = ("nanomq.audit", "nanomq.start", "nanomq.access")
_USER = 1  # syslog's facility
_SEVERITIES = {
    logging.CRITICAL: 2,
    logging.ERROR: 3,
    logging.WARNING: 4,
    logging.INFO: 6,
    logging.DEBUG: 7,
}
_foreign = Repeats()


class ConsoleHandler(QuietHandler):
    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._outlet = terminal.outlet(stream)

    def __str__(self) -> str:
        return "console"

    def _put(self, record: logging.LogRecord) -> None:
        self._outlet.write(self.format(record) + "\n")

    def flush(self) -> None:
        self._outlet.flush()


class SyslogHandler(QuietHandler):
    """The socket of a syslog daemon. Nobody waits for it: lines that it does not take are lost.

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
        if count < len(data):  # on a stream, where the next line would join this one
            self._sock.close()
            raise OSError(errno.EAGAIN, "the daemon does not read")

    def close(self) -> None:
        self._sock.close()
        super().close()


def syslog_handler() -> logging.Handler:
    if not os.path.exists("/dev/log"):
        raise ConfigError("log.to=syslog: this machine has no /dev/log")
    try:
        return SyslogHandler("/dev/log")
    except OSError as fault:
        raise ConfigError(f"log.to=syslog: /dev/log: {fault.strerror}") from None


class LogsChange(Change):
    """Destinations of the log that are open, and not written to yet."""

    def __init__(self, config: Log) -> None:
        """Open them. Raises ConfigError when one cannot be written."""
        self._config = config
        self._handlers: list[logging.Handler] = []
        try:
            if "console" in config.to:
                self._handlers.append(ConsoleHandler(sys.stderr))
            if "file" in config.to:
                self._handlers.append(file_handler(config))
            if "syslog" in config.to:
                self._handlers.append(syslog_handler())
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
        # Who changed what, where the broker listens, and who asked what if that is switched on,
        # is told whatever the level is.
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
            foreign.addFilter(_foreign)  # the same filter twice counts once
            foreign.handlers = list(self._handlers)

    async def undo(self) -> None:
        """Close what was opened."""
        self._close()


def open_logs(config: Log, *, or_console: bool) -> None:
    """Open the destinations before there are parts, so that their faults can be logged.

    or_console  the console is enough if they cannot be opened
    Raises      ConfigError
    """
    try:
        LogsChange(config).commit()
    except ConfigError as fault:
        if not or_console:
            raise
        LogsChange(replace(config, to=("console",))).commit()
        log.error("%s", fault)


class Logs(Part):
    """The destinations of the log, which :func:`open_logs` has opened to begin with."""

    name = "logs"
    _is_first = True

    async def prepare(self, config: Config) -> LogsChange | None:
        if self._is_first:
            self._is_first = False
            return None
        return LogsChange(config.log)

    def troubles(self) -> Iterable[Trouble]:
        for handler in logging.getLogger("nanomq").handlers:
            if isinstance(handler, QuietHandler) and handler.fault:
                message = f"log: {handler} cannot be written: {handler.fault}"
                yield Trouble(f"log_not_written/{handler}", message)
