"""Durability as a part of the broker: it follows ``durability``.

::

    begin: the folder ──replay──> sessions, messages; then changes ──> the folder ──> close

A broker with ``durability=off`` does not import this module.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

from nanomq_py.config import Config, ConfigError
from nanomq_py.config.keys.durability import Durability
from nanomq_py.core import binding
from nanomq_py.core.binding import (
    ECLOSED,
    ECORRUPT,
    EIO,
    EMALFORMED,
    ENEWER,
    ENOMEM,
    ENOSPC,
    ESTORE,
    Core,
)
from nanomq_py.core.durable import (
    GATHER_AUTO,
    DurableOptions,
    Found,
    OnError,
    OpenError,
)
from nanomq_py.core.records import DurabilityNote
from nanomq_py.kernel.part import Change, Part, Swap
from nanomq_py.store.marks import newer_text, note_version, take_up
from nanomq_py.store.place import make_home

log = logging.getLogger("nanomq")

SLOW_S = 5.0  # to open it: then somebody should know


def options_of(keys: Durability, location: Path) -> DurableOptions:
    return DurableOptions(
        location=os.fspath(location),
        max_bytes=keys.max_size,
        segment_bytes=keys.segment_size,
        interval_ms=keys.interval if keys.mode == "interval" else 0,
        gather_ms=GATHER_AUTO if keys.gather is None else keys.gather,
        hold_ms=keys.hold,
        on_error=OnError[keys.on_error.upper()],
        skip=keys.on_corruption == "skip",
        topics=keys.topics,
    )


def _damage_of(found: Found) -> str:
    """Return where something is damaged or missing, and what lies behind; empty: nothing."""
    if found.missing:
        return f"the file {_segment(found.missing)} is missing"
    if not found.bad_segment:
        return ""
    return (
        f"{_segment(found.bad_segment)} is damaged at byte {found.bad_at}, and what was written"
        f" later is good: commit {found.next_sequence} in {_segment(found.next_segment)} at"
        f" byte {found.next_at}"
    )


def _segment(number: int) -> str:
    return f"{number:06d}.seg"


class DurabilityPart(Part):
    """Keeps what the broker keeps in a folder."""

    name = "durability"

    def __init__(self, core: Core, location: Path) -> None:
        self._core = core
        self._location = location
        self._in_force: DurableOptions | None = None

    async def open(self, config: Config, left: binding.Buffer | None) -> None:
        """Become what the folder says, before anybody can come in.

        left    what the process before has handed over, of which the folder is a part
        Raises  ConfigError
        """
        config.kept.check_sizes()
        options = options_of(config.kept, self._location)
        if not config.durability.is_on:
            called = config.said.called("sqlite.enable")
            log.warning("%s=true: read as durability=always, in %s", called, self._location)
        opening = asyncio.ensure_future(asyncio.to_thread(self._open, options, left))
        _, slow = await asyncio.wait([opening], timeout=SLOW_S)
        if slow:
            log.warning(
                "durability: %s: it takes long to open. If its disk is out of reach, end this"
                " process and start it with durability=off, or with another"
                " durability.location: what is there stays as it is",
                self._location,
            )
        try:
            await opening
        except OpenError as fault:
            raise ConfigError(self._text_of(fault)) from None
        except OSError as fault:
            raise ConfigError(self._system_says(fault)) from None
        self._in_force = options

    def _open(self, options: DurableOptions, left: binding.Buffer | None) -> None:
        began_s = time.monotonic()
        make_home(self._location.parent)
        sessions, found = self._core.durability_open(options, left)
        took_s = time.monotonic() - began_s
        self._tell(found, options)
        if left and not found.took_over:
            log.warning(
                "durability: %s: no room for what the process before handed over: what is not"
                " logged is lost",
                self._location,
            )
        note_version(self._location)
        self._tell_unserved(is_back=not found.took_over)
        stats = self._core.stats()
        log.info(
            "durability: %s: %d sessions, %d messages and %d retained ones are back after"
            " %.3f s",
            self._location,
            sessions,
            stats.stored,
            stats.retained,
            took_s,
        )

    def _tell(self, found: Found, options: DurableOptions) -> None:
        used = sum(file.stat().st_size for file in self._location.glob("*.seg"))
        if used > options.max_bytes:
            log.warning(
                "durability.max_size=%d: %s holds %d bytes: until messages are taken nothing"
                " more is kept; name a larger one",
                options.max_bytes,
                self._location,
                used,
            )
        if found.damaged or found.missing:
            log.warning(
                "durability: %s: %s: durability.on_corruption=skip leaves that out. Messages"
                " may be lost, or come twice",
                self._location,
                _damage_of(found),
            )
        if found.lost or found.passed:
            log.warning(
                "durability: %s: left out: %d commits, and %d records of others that mean"
                " nothing without them",
                self._location,
                found.lost,
                found.passed,
            )
        if found.torn_segment:
            log.info(
                "durability: %s: the last write was cut short, in %s at byte %d: nothing that"
                " was acknowledged is lost",
                self._location,
                _segment(found.torn_segment),
                found.torn_at,
            )

    def _tell_unserved(self, *, is_back: bool) -> None:
        since = take_up(self._location)
        if since is not None and is_back:
            log.warning(
                "durability: %s: brokers with durability=off have left it alone since %s: what"
                " is back is older than that, and messages that were taken since come again."
                " Who wants none of it stops the broker, and moves that folder away",
                self._location,
                time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(since)),
            )

    @property
    def _at(self) -> str:
        return f"durability.location={self._location}"

    def _unusable(self, why: str) -> str:
        return (
            f"{self._at}: cannot be used: {why}: expected a folder, or a place for one, where"
            f" this user (number {os.geteuid()}) can write; durability=off starts without it"
        )

    def _full(self, why: str) -> str:
        return (
            f"{self._at}: {why}: make room on that disk, or name another folder;"
            " durability=off starts without it"
        )

    def _system_says(self, fault: OSError) -> str:
        why = fault.strerror or str(fault)
        is_full = fault.errno in (errno.ENOSPC, errno.EDQUOT)
        return self._full(why) if is_full else self._unusable(why)

    def _text_of(self, fault: OpenError) -> str:
        """Return what is wrong, where, and how to go on."""
        why = fault.why or str(fault)
        if fault.status == ECLOSED:
            return (
                f"{self._at}: another broker uses it: stop that one, or name another folder"
            )
        if fault.status == ENEWER:
            return (
                f"{self._at}: {newer_text(self._location)}: start that one, or name another"
                " folder; durability=off starts without it"
            )
        if fault.status in (ECORRUPT, EMALFORMED):
            damage = _damage_of(fault.found) or "what is there makes no sense"
            return (
                f"{self._at}: {damage}. `nanomq store check` tells more. To go on without it:"
                " `nanomq store repair`, which keeps a copy, or durability.on_corruption=skip;"
                " messages may be lost then, or come twice"
            )
        if fault.status == ENOSPC:
            return self._full(why)
        if fault.status == ENOMEM:
            return f"{self._at}: {why}: what is there needs more memory than there is"
        return self._unusable(why)

    async def prepare(self, config: Config) -> Change | None:
        if self._in_force is None:
            return None
        config.kept.check_sizes()
        new = options_of(config.kept, self._location)
        new = replace(
            new, segment_bytes=self._in_force.segment_bytes, skip=self._in_force.skip
        )
        return None if new == self._in_force else Swap(self.use, self._in_force, new)

    def use(self, options: DurableOptions) -> None:
        self._core.durability_set(options)
        self._in_force = options

    def hear(self, note: DurabilityNote) -> None:
        """End the process, as SIGTERM does, where the log has failed and the key says so."""
        stops = self._in_force is not None and self._in_force.on_error is OnError.STOP
        if stops and note.status in (EIO, ESTORE):
            signal.raise_signal(signal.SIGTERM)

    async def close(self) -> None:
        """Make the rest safe, after the core's shutdown."""
        await asyncio.to_thread(self._core.durability_close)
