"""Facts of this node: the machine, the process, the broker."""

from __future__ import annotations

import os
import platform
import resource
import threading
import time
from dataclasses import dataclass

from nanomq_py.broker import Broker
from nanomq_py.core.memory import resident_bytes
from nanomq_py.http.emqx.times import duration, local_time
from nanomq_py.version import __version__

STARTED = time.monotonic()
SYSDESCR = "nanomq-py"
RUNNING = "Running"


def open_descriptors_max() -> int:
    """Return how many descriptors the process may have: each connection takes one."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def mebibytes(count: int) -> str:
    """Return such as ``96.75M``."""
    return f"{count / (1 << 20):.2f}M"


@dataclass(frozen=True)
class Identity:
    """Who this node is, and since when."""

    version: str
    sysdescr: str
    uptime: str
    datetime: str
    otp_release: str
    node_status: str

    @staticmethod
    def now() -> Identity:
        return Identity(
            version=__version__,
            sysdescr=SYSDESCR,
            uptime=duration(time.monotonic() - STARTED),
            datetime=local_time(),
            otp_release=f"Python/{platform.python_version()}",
            node_status=RUNNING,
        )


@dataclass(frozen=True)
class Usage:
    """What this node uses of its machine.

    memory_total       of the process; memory_used: of that, what the broker counts
    process_available  descriptors of threads that the system allows the user
    process_used       threads of this process
    """

    memory_total: str
    memory_used: str
    process_available: int
    process_used: int
    max_fds: int
    connected: int
    load: tuple[str, str, str]

    @staticmethod
    def now(broker: Broker) -> Usage:
        threads, _ = resource.getrlimit(resource.RLIMIT_NPROC)
        one, five, fifteen = (f"{each:.2f}" for each in os.getloadavg())
        return Usage(
            memory_total=mebibytes(resident_bytes()),
            memory_used=mebibytes(broker.memory().total),
            process_available=max(threads, 0),
            process_used=_threads(),
            max_fds=open_descriptors_max(),
            connected=broker.stats().connected,
            load=(one, five, fifteen),
        )


def _threads() -> int:
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return threading.active_count()
