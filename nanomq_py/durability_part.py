"""Durability as a part of the broker: it follows ``durability``.

::

    begin: the folder ──replay──> sessions, messages; then changes ──> the folder ──> close

A broker with ``durability=off`` does not import this module.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

from nanomq_py.config import Config, ConfigError
from nanomq_py.config.keys.durability import Durability
from nanomq_py.core.binding import ECLOSED, EIO, ESTORE, Core
from nanomq_py.core.durable import (
    GATHER_AUTO,
    DurableOptions,
    Found,
    OnError,
    OpenError,
)
from nanomq_py.core.records import DurabilityNote
from nanomq_py.kernel.part import Change, Part, Swap

log = logging.getLogger("nanomq")

LEAST_SEGMENTS = 8  # that max_size has room for


def check_keys(config: Config) -> None:
    """Raise ConfigError for keys that do not go together."""
    keys = config.durability
    if keys.max_size < LEAST_SEGMENTS * keys.segment_size:
        raise ConfigError(
            f"durability.max_size={keys.max_size}: expected {LEAST_SEGMENTS} times"
            f" durability.segment_size={keys.segment_size} at least"
        )


def options_of(keys: Durability, location: Path) -> DurableOptions:
    return DurableOptions(
        location=os.fspath(location),
        max_bytes=keys.max_size,
        segment_bytes=keys.segment_size,
        gather_ms=GATHER_AUTO if keys.gather is None else keys.gather,
        hold_ms=keys.hold,
        on_error=OnError[keys.on_error.upper()],
        skip=keys.on_corruption == "skip",
    )


class DurabilityPart(Part):
    """Keeps what the broker keeps in a folder."""

    name = "durability"

    def __init__(self, core: Core, location: Path) -> None:
        self._core = core
        self._location = location
        self._in_force: DurableOptions | None = None

    async def open(self, config: Config) -> None:
        """Become what the folder says, before anybody can come in. Raises ConfigError."""
        check_keys(config)
        options = options_of(config.durability, self._location)
        try:
            await asyncio.to_thread(self._open, options)
        except OpenError as fault:
            raise ConfigError(self._text_of(fault)) from None
        self._in_force = options

    def _open(self, options: DurableOptions) -> None:
        began_s = time.monotonic()
        self._location.parent.mkdir(0o755, parents=True, exist_ok=True)
        sessions, found = self._core.durability_open(options)
        took_s = time.monotonic() - began_s
        self._tell(found)
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

    def _tell(self, found: Found) -> None:
        if found.torn_segment:
            log.info(
                "durability: %s: the last write was cut short, at byte %d of %06d.seg:"
                " nothing that was acknowledged is lost",
                self._location,
                found.torn_at,
                found.torn_segment,
            )

    def _text_of(self, fault: OpenError) -> str:
        at = f"durability.location={self._location}"
        if fault.status == ECLOSED:
            return f"{at}: another broker uses it: stop that one, or name another folder"
        return f"{at}: cannot be used: {fault.why or fault}"

    async def prepare(self, config: Config) -> Change | None:
        if self._in_force is None:
            return None
        check_keys(config)
        new = options_of(config.durability, self._location)
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
