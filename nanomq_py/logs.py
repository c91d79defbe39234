"""Where log lines go: console, file with rotation, syslog; one JSON-free line each.

``2026-01-02T03:04:05.678Z warning nanomq: 127.0.0.1:5000: keep alive timeout``
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import sys
import time
from pathlib import Path

from nanomq_py.broker import LEVELS
from nanomq_py.config import ConfigError
from nanomq_py.config.model import Log


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


def _file_handler(config: Log) -> logging.Handler:
    path = Path(config.dir) / config.file
    try:
        Path(config.dir).mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=True)
        return logging.handlers.RotatingFileHandler(
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


def set_up(config: Log) -> None:
    """Send the log of ``nanomq`` where the configuration says.

    Raises   ConfigError when a destination cannot be written
    """
    handlers: list[logging.Handler] = []
    if "console" in config.to:
        handlers.append(logging.StreamHandler(sys.stderr))
    if "file" in config.to:
        handlers.append(_file_handler(config))
    if "syslog" in config.to:
        handlers.append(_syslog_handler())
    root = logging.getLogger("nanomq")
    root.setLevel(LEVELS[config.level])
    root.propagate = False
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        handler.setFormatter(Line())
        root.addHandler(handler)
