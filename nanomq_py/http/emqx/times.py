"""Times and durations as EMQX writes them."""

from __future__ import annotations

import time


def local_time(unix_ms: int | None = None) -> str:
    """Return ``YYYY-MM-DD HH:MM:SS`` of the node's own clock; None: now."""
    moment = time.localtime(None if unix_ms is None else unix_ms / 1000)
    return time.strftime("%Y-%m-%d %H:%M:%S", moment)


def duration(seconds: float) -> str:
    """Return such as ``1 days, 4 hours, 21 minutes, 19 seconds``, without leading zeros."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    parts = [(days, "days"), (hour, "hours"), (minute, "minutes"), (second, "seconds")]
    while len(parts) > 1 and parts[0][0] == 0:
        del parts[0]
    return ", ".join(f"{count} {unit}" for count, unit in parts)
