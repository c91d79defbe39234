"""Keys of the log: log."""

from __future__ import annotations

from dataclasses import dataclass

from nanomq_py.config.declare.key import Checked, key
from nanomq_py.config.values.numbers import U32, Size, Whole
from nanomq_py.config.values.texts import Text
from nanomq_py.config.values.words import Choice, Words

_LEVELS = ("trace", "debug", "info", "warn", "error", "fatal")


@dataclass(frozen=True, kw_only=True)
class Log(Checked):
    to: tuple[str, ...] = key(
        "to", Words(("file", "console", "syslog")), ("console",), "Where log lines go."
    )
    level: str = key("level", Choice(_LEVELS), "warn", "The least level that is logged.")
    dir: str = key("dir", Text(empty=False), "/tmp", "Folder of the log file.")  # noqa: S108
    file: str = key("file", Text(empty=False), "nanomq.log", "Name of the log file.")
    rotation_size: int = key(
        "rotation.size", Size(1024, U32), 10 << 20, "Size at which a new file is begun."
    )
    rotation_count: int = key(
        "rotation.count", Whole(1, 1000), 5, "Old files that are kept."
    )
