"""A restart: the process becomes the next one, and no signal gets lost on the way.

::

    serves ── stops ── hold() ── exec ── imports ── starts ── hear() ── serves
                          └─ a signal waits in the kernel ────────┘

The mask and what waits behind it stay across exec, the handlers do not: without the mask a
signal would end the process, and the sessions with it.

Source   execve(2), signal(7)
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping

from nanomq_py.broker import HandOver
from nanomq_py.run import systemd

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2, signal.SIGHUP)


def hold() -> None:
    """Have the signals that the broker takes wait, in this thread and those it makes."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def hear() -> None:
    """Let them come, now that there are handlers; only for the main thread."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def become(handed_over: HandOver, left: Mapping[str, int]) -> None:
    """Begin this process anew, with the same arguments and these listening sockets."""
    environ = {**os.environ, systemd.OURS: ":".join(handed_over.ours)}
    systemd.pass_sockets(handed_over.sockets, environ, left)
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environ)  # noqa: S606
