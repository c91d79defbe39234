"""``nanomq start``: chooses the configuration, and becomes a broker."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from nanomq_py import kept
from nanomq_py.cli.common import conf_file, overrides_of
from nanomq_py.config import ConfigError
from nanomq_py.config.declare.section import Sections
from nanomq_py.config.file import ConfFile
from nanomq_py.config.forms.entries import Entry
from nanomq_py.config.reader import from_texts
from nanomq_py.kernel.part import Part, brought_by
from nanomq_py.plugins.finding import InstalledPlugins


def files_of(
    conf: Path | None, url: str | None, brought: Sections
) -> tuple[list[ConfFile], list[str]]:
    """Return the configurations to start with, the best first, and the faults of others.

    Raises   ConfigError where there is nothing to start with
    """
    from nanomq_py.run import systemd  # imports asyncio, which few commands need

    texts = systemd.config_of(os.environ)
    before, faults = _before(conf, overrides_of(url, brought), texts, brought)
    try:
        return [conf_file(conf, brought, url), *before], faults
    except ConfigError as fault:
        if not before:
            raise ConfigError(*fault.args, *faults) from None
        return before, [f"{fault}; the broker goes on with what ran before the restart"]


def _before(
    conf: Path | None,
    overrides: Mapping[str, Entry],
    texts: Mapping[str, str] | None,
    brought: Sections,
) -> tuple[list[ConfFile], list[str]]:
    """Return what ran before a restart, or why it cannot be read; nothing: no restart."""
    if texts is None:
        return [], []
    try:
        config = from_texts(texts, "before the restart", brought, InstalledPlugins())
    except ConfigError as fault:  # of another version
        return [], [f"{fault}; the broker cannot go on with what ran before the restart"]
    return [ConfFile.taking_over(conf, overrides, config, InstalledPlugins())], []


def _dropped(
    files: list[ConfFile], read: Sequence[str], faults: list[str]
) -> list[tuple[str, socket.socket]]:
    """Become the user of the first configuration that can be used; return what is bound.

    read     files of the configuration itself
    Raises   ConfigError, of the last
    """
    while any(file.reading.config.user for file in files):
        from nanomq_py.run import privileges  # with ctypes

        try:
            return privileges.drop(files[0], read)
        except ConfigError as fault:
            if len(files) == 1:
                raise
            faults.append(f"{fault}; the broker goes on with what ran before the restart")
            del files[0]
    return []


def start(
    conf: Path | None,
    url: str | None,
    parts: Sequence[type[Part]],
    told: Callable[[Callable[[], int]], int],
) -> int:
    """Serve until the broker is told to stop; return the exit code.

    told  acts, says what is wrong, and returns the exit code
    """
    from nanomq_py.run import systemd

    is_restart = systemd.OURS in os.environ
    kept.take(os.environ)
    with kept.noting() as read:
        files, faults = files_of(conf, url, brought_by(parts))

    def run(done: Callable[[int], None]) -> int:
        bound = _dropped(files, read, faults)
        from nanomq_py import server  # the core's threads begin here, not before the fork

        return server.run(
            files, conf, parts=parts, faults=faults, serving=lambda: done(0), bound=bound
        )

    if is_restart or not files[0].reading.config.daemon:
        return run(lambda code: None)
    from nanomq_py.run.background import detach

    done = detach()
    code = told(lambda: run(done))
    done(code)
    return code
