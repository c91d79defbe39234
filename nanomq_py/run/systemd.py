"""systemd's two simple protocols: sockets passed to the process, and notices of its state.

A restart hands the listening sockets to the next process by the same protocol.

Source   sd_listen_fds(3), sd_notify(3)
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import mmap
import os
import socket
from collections.abc import Iterator, Mapping, MutableMapping, Sequence

FIRST_FD = 3
# In the environment of a process that follows another of ours: names of the sockets that
# are not systemd's.
OURS = "NANOMQ_SOCKETS"
# There too: process number and descriptor of what that process left, sessions and
# configuration.
STATE = "NANOMQ_STATE"
CONFIG = "NANOMQ_CONFIG"
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def take_sockets(
    environ: MutableMapping[str, str], first_fd: int = FIRST_FD
) -> list[tuple[str, socket.socket]]:
    """Return the listening stream sockets passed to this process, with their names.

    The variables are removed: they are not for our children. Descriptors that are no
    listening stream sockets are left alone.
    """
    values = [environ.pop(name, "") for name in _VARIABLES]
    if values[0] != str(os.getpid()) or not values[1].isdigit():
        return []
    count = int(values[1])
    names = values[2].split(":") if values[2] else []
    taken = []
    for at in range(count):
        with contextlib.suppress(OSError):
            sock = socket.socket(fileno=first_fd + at)
            listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if sock.type != socket.SOCK_STREAM or not listens:
                sock.detach()
                continue
            sock.set_inheritable(False)
            taken.append((names[at] if at < len(names) else "unknown", sock))
    return taken


@contextlib.contextmanager
def _left(environ: MutableMapping[str, str], variable: str) -> Iterator[mmap.mmap | None]:
    """Give what the process before this one left; None: nothing."""
    pid, _, fd = environ.pop(variable, "").partition(":")
    if pid != str(os.getpid()) or not fd.isdigit():
        yield None
        return
    try:
        size = os.fstat(int(fd)).st_size
        with contextlib.ExitStack() as stack:
            yield (
                stack.enter_context(mmap.mmap(int(fd), size, prot=mmap.PROT_READ))
                if size
                else None
            )
    finally:
        os.close(int(fd))


def state_of(
    environ: MutableMapping[str, str],
) -> contextlib.AbstractContextManager[mmap.mmap | None]:
    """Give the sessions that the process before this one left; None: there are none."""
    return _left(environ, STATE)


def config_of(environ: MutableMapping[str, str]) -> dict[str, str] | None:
    """Return the configuration that the process before this one ran, as flat texts, or None."""
    with _left(environ, CONFIG) as kept:
        if kept is None:
            return None
        texts: dict[str, str] = json.loads(kept[:])
        return texts


def keep_config(texts: Mapping[str, str], fd: int) -> None:
    """Write the flat texts of a configuration, for :func:`config_of`. Raises OSError."""
    with open(fd, "wb", closefd=False) as file:
        file.write(json.dumps(texts).encode())


def pass_sockets(
    sockets: Sequence[tuple[str, socket.socket]],
    environ: MutableMapping[str, str],
    left: Mapping[str, int] = {},
) -> None:
    """Put the sockets where the program that this process becomes will look for them.

    Whatever is open from descriptor 3 on is overwritten: call it last of all.

    left  descriptors to put behind them, by STATE and CONFIG
    """
    fds = [*(sock.fileno() for _, sock in sockets), *left.values()]
    first_free = FIRST_FD + len(fds)
    aside = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, first_free) for fd in fds]
    for at, fd in enumerate(aside, FIRST_FD):
        os.dup2(fd, at, inheritable=True)
    values = [str(os.getpid()), str(len(sockets)), ":".join(name for name, _ in sockets)]
    environ.update(zip(_VARIABLES, values, strict=True))
    for at, variable in enumerate(left, FIRST_FD + len(sockets)):
        environ[variable] = f"{os.getpid()}:{at}"


async def keep_watchdog_quiet(environ: Mapping[str, str]) -> None:
    """Tell systemd that the event loop turns, twice as often as ``WatchdogSec=`` asks for."""
    interval_us = environ.get("WATCHDOG_USEC", "")
    if not interval_us.isdigit() or environ.get("WATCHDOG_PID") not in (
        None,
        str(os.getpid()),
    ):
        return
    while True:
        notify("WATCHDOG=1", environ)
        await asyncio.sleep(int(interval_us) / 2_000_000)


def notify(state: str, environ: Mapping[str, str] = os.environ) -> None:
    """Tell systemd, if it started this process: ``READY=1``, ``STOPPING=1``, ``STATUS=...``."""
    path = environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock,
    ):
        sock.sendto(state.encode(), address)
