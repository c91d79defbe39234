"""systemd's two simple protocols: sockets that come with the process, and state that goes.

A restart hands the listening sockets to the next process by the same protocol.

Source   sd_listen_fds(3), sd_notify(3)
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import mmap
import os
import socket
from collections.abc import Iterator, Mapping, MutableMapping, Sequence

FIRST_FD = 3
# In the environment of a process that follows another of ours: names of the sockets that
# are not systemd's.
OURS = "NANOMQ_SOCKETS"
STATE = "NANOMQ_STATE"  # in the same: process number and descriptor of what it left
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
def state_of(environ: MutableMapping[str, str]) -> Iterator[mmap.mmap | None]:
    """Give the state that the process before this one left, None when there is none."""
    pid, _, fd = environ.pop(STATE, "").partition(":")
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


def pass_sockets(
    sockets: Sequence[tuple[str, socket.socket]],
    environ: MutableMapping[str, str],
    state: int | None = None,
) -> None:
    """Put the sockets where the program that this process now becomes looks for them.

    Whatever is open from descriptor 3 on is overwritten: call it last of all.

    state  a descriptor that goes behind them, for :func:`state_of`
    """
    first_free = FIRST_FD + len(sockets) + 1
    if state is not None:
        state = fcntl.fcntl(state, fcntl.F_DUPFD_CLOEXEC, first_free)
    aside = [fcntl.fcntl(s.fileno(), fcntl.F_DUPFD_CLOEXEC, first_free) for _, s in sockets]
    for at, fd in enumerate(aside):
        os.dup2(fd, FIRST_FD + at, inheritable=True)
    values = [str(os.getpid()), str(len(sockets)), ":".join(name for name, _ in sockets)]
    environ.update(zip(_VARIABLES, values, strict=True))
    if state is not None:
        os.dup2(state, FIRST_FD + len(sockets), inheritable=True)
        environ[STATE] = f"{os.getpid()}:{FIRST_FD + len(sockets)}"


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
