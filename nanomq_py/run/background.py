"""``daemon=true``: leave the terminal once the broker serves, and tell it how that went.

::

    terminal ── nanomq start ─ fork ─ waits ───────────────────────────── exits with the code
                                └ session leader ─ fork ─ exits              │
                                                   └ the broker ─ done(code) ┘
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from nanomq_py.run import terminal


def detach() -> Callable[[int], None]:
    """Go on as a daemon, before any thread is there; the process that was started waits.

    It exits with the code that the returned function is called with, or with 1 when the daemon
    ends without that call. Until then faults are told on the terminal. After code 0 the
    terminal is not ours any more.
    """
    _hold_standard()
    reader, writer = os.pipe()
    if (child := os.fork()) > 0:
        os.close(writer)
        os.waitpid(child, 0)
        told = os.read(reader, 1)
        os._exit(told[0] if told else 1)
    os.close(reader)
    os.setsid()
    if os.fork() > 0:
        os._exit(0)

    def done(code: int) -> None:
        nonlocal writer
        if writer < 0:
            return
        if code == 0:
            terminal.flush()
            _leave_terminal()
        with contextlib.suppress(OSError):  # the process that waits may be gone
            os.write(writer, bytes([code]))
        os.close(writer)
        writer = -1

    return done


def _hold_standard() -> None:
    """Open 0, 1 and 2 where they are closed: nothing else may get them."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(fd)


def _leave_terminal() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    if null > 2:
        os.close(null)
