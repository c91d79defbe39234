"""A restart: the process becomes the next one, and no signal gets lost on the way.

::

    serves ── stops ── hold() ── exec ── imports ── starts ── hear() ── serves
                          └─ a signal waits in the kernel ────────┘

The signal mask and the signals that wait stay across exec, the handlers do not: without the
mask a signal would end the process, and its sessions would be lost.

Source   execve(2), signal(7)
"""

from __future__ import annotations

import logging
import os
import signal
import sys

from nanomq_py import kept
from nanomq_py.broker import HandOver
from nanomq_py.config import Config
from nanomq_py.config.settings import settings_of
from nanomq_py.run import systemd

log = logging.getLogger("nanomq")

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2, signal.SIGHUP)


def hold() -> None:
    """Let the signals that the broker takes wait, in this thread and those it makes."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def hear() -> None:
    """Let them come, now that there are handlers; call it in the main thread."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def check_user(config: Config) -> None:
    """Raise ConfigError where the next process could not become the user that is named."""
    if config.user is not None:
        from nanomq_py.run import privileges  # with ctypes

        privileges.check_user(config)


class Legacy:
    """What a restart leaves: sessions and configuration in files of memory, and kept files."""

    def __init__(self) -> None:
        """Make them. Raises OSError."""
        self.state = os.memfd_create("nanomq-state")
        self._config = os.memfd_create("nanomq-config")

    def keep_config(self, config: Config) -> None:
        """Keep the configuration in force, for a next process that cannot use its file."""
        texts = {name: setting.text for name, setting in settings_of(config).items()}
        try:
            systemd.keep_config(texts, self._config)
        except OSError as fault:
            log.error(
                "the configuration is not handed on, the next process has only its file: %s",
                fault.strerror,
            )
            os.ftruncate(self._config, 0)

    @property
    def fds(self) -> dict[str, int]:
        """Their descriptors, by the variables that name them to the next process."""
        return {systemd.STATE: self.state, systemd.CONFIG: self._config, **kept.leave()}


def become(handed_over: HandOver, legacy: Legacy) -> None:
    """Start this process anew, with the same arguments, these sockets, and the legacy."""
    environ = {**os.environ, systemd.OURS: ":".join(handed_over.ours)}
    systemd.pass_sockets(handed_over.sockets, environ, legacy.fds)
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environ)  # noqa: S606
