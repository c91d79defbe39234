"""Lines on stderr. Where a slow reader could block the process, a thread writes them.

::

    say("a line") ── waiting, at most 1 MiB ── thread ── pipe, socket, terminal
    say("a line") ────────────────────────────────────── file, /dev/null

Order is kept. A reader that stalls costs lines, not turns of the loop.

Threads  any; the one that writes begins with the first line, and takes no signals
"""

from __future__ import annotations

import errno
import os
import select
import signal
import stat
import sys
import threading
from collections import deque
from typing import TextIO

MOST_BYTES = 1 << 20
FLUSH_S = 1.0


def _slow(stream: TextIO) -> int:
    """Return the stream's descriptor, if a write may have to wait for a reader; else -1."""
    try:
        fd = stream.fileno()
        mode = os.fstat(fd).st_mode
    except (OSError, ValueError):  # ValueError: in memory, or closed
        return -1
    waits = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(fd)
    return fd if waits else -1


class Outlet:
    """One stream to write to."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._fd = _slow(stream)
        self._waiting: deque[bytes] = deque()  # lock: _changed, and so what follows
        self._bytes = 0
        self._fault: OSError | None = None  # of a write; not raised yet
        self._changed = threading.Condition()
        self._writer: threading.Thread | None = None

    def write(self, text: str) -> None:
        """Write it, or let it wait. Raises OSError when it, or what went before, is lost."""
        if self._fd < 0:
            self.stream.write(text)
            self.stream.flush()
            return
        data = text.encode(self.stream.encoding or "utf-8", "backslashreplace")
        with self._changed:
            if self._fault is not None:
                fault, self._fault = self._fault, None
                raise fault
            if self._bytes > 0 and self._bytes + len(data) > MOST_BYTES:
                raise OSError(errno.EAGAIN, "its reader has stalled")
            self._waiting.append(data)
            self._bytes += len(data)
            self._changed.notify_all()
            if self._writer is None:
                self._writer = threading.Thread(target=self._run, daemon=True)
                self._writer.start()

    def flush(self, timeout_s: float = FLUSH_S) -> None:
        """Return when everything is written, or time is up."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, timeout_s)

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                data = self._waiting[0]
            fault = self._put(data)
            with self._changed:
                self._fault = fault or self._fault
                self._waiting.popleft()
                self._bytes -= len(data)
                self._changed.notify_all()

    def _put(self, data: bytes) -> OSError | None:
        """Write to the descriptor, not the stream, whose lock could be held at exit."""
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:  # somebody else has made it non-blocking
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                poll.poll()
            except OSError as fault:
                return fault
        return None


_stderr: Outlet | None = None


def outlet(stream: TextIO) -> Outlet:
    """Return the outlet of a stream: stderr always has the same."""
    global _stderr
    if stream is not sys.stderr:
        return Outlet(stream)
    if _stderr is None or _stderr.stream is not stream:
        _stderr = Outlet(stream)
    return _stderr


def say(text: str) -> None:
    """Write a line to stderr. Raises OSError when it is lost."""
    if sys.stderr is not None:
        outlet(sys.stderr).write(f"{text}\n")


def flush() -> None:
    """Return when stderr has everything, or time is up."""
    if _stderr is not None:
        _stderr.flush()
