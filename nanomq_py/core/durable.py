"""What makes a running broker of the C core durable."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import TYPE_CHECKING

from nanomq_py.core.declared import DurabilityStats
from nanomq_py.core.native import CoreError, c_text, check, ffi, lib

if TYPE_CHECKING:
    from nanomq_py._core import CData, nmq_broker, nmq_durability_keys

Left = bytes | bytearray | memoryview | mmap.mmap | None
GATHER_AUTO = 0xFFFFFFFF


class OnError(IntEnum):
    """``enum nmq_durability_on_error``: what follows where the disk fails."""

    REFUSE = lib.NMQ_DURABILITY_REFUSE
    STOP = lib.NMQ_DURABILITY_STOP
    DEGRADE = lib.NMQ_DURABILITY_DEGRADE


@dataclass(frozen=True, kw_only=True)
class DurableOptions:
    """``nmq_durability_keys``."""

    location: str
    max_bytes: int
    segment_bytes: int
    interval_ms: int
    gather_ms: int
    hold_ms: int
    on_error: OnError
    skip: bool
    topics: tuple[str, ...] = ("#",)  # filters of what is logged


@dataclass(frozen=True)
class Found:
    """``nmq_wal_found``: what the log was like. Segments are numbers of files, from 1 on."""

    torn_segment: int
    torn_at: int
    damaged: int
    bad_segment: int
    bad_at: int
    next_segment: int
    next_at: int
    next_sequence: int
    missing: int
    lost: int
    passed: int
    took_over: bool  # what the process before has left


class OpenError(CoreError):
    """The log cannot be used: ``found`` says what it is like, ``why`` what the system says."""

    def __init__(self, status: int, found: Found, error: int) -> None:
        super().__init__(status)
        self.found = found
        self.why = os.strerror(error) if error else ""


@dataclass(frozen=True)
class DurableState:
    """``nmq_durability_state``."""

    stats: DurabilityStats
    status: int  # of the last attempt to write
    error: int  # its errno, or 0
    waits: bool  # who publishes


class Durable:
    """The calls of a broker about what it keeps on a disk."""

    _broker: nmq_broker

    def durability_open(
        self, options: DurableOptions, left: Left = None
    ) -> tuple[int, Found]:
        """Become what the log says, before the first client, and log from now on.

        left  what ``save`` wrote: the core becomes that, if there is room for it

        Blocks, perhaps for seconds, without the GIL. Returns how many sessions there are.

        Raises   OpenError
        """
        kept: list[CData] = []
        raw = ffi.new("nmq_durability_found *")
        keys = _c_keys(options, kept)
        with ffi.from_buffer(left or b"") as given:  # released, though this raises
            size = len(given)
            rv = lib.nmq_broker_durability_open(self._broker, keys, given, size, raw)
        names = [each.name for each in fields(Found)]
        places = {name: getattr(raw.log, name) for name in names if name != "took_over"}
        found = Found(**places, took_over=raw.took_over)
        if rv < 0:
            raise OpenError(rv, found, raw.error)
        return rv, found

    def durability_set(self, options: DurableOptions) -> None:
        """Put in force what may change while it runs."""
        kept: list[CData] = []
        check(lib.nmq_broker_durability_set(self._broker, _c_keys(options, kept)))

    def durability_look(self) -> DurableState:
        """Return what has been logged so far. Raises CoreError where nothing is."""
        raw = ffi.new("nmq_durability_state *")
        check(lib.nmq_broker_durability_look(self._broker, raw))
        values = (getattr(raw.stats, each.name) for each in fields(DurabilityStats))
        return DurableState(DurabilityStats(*values), raw.status, raw.error, raw.waits)

    def durability_close(self) -> None:
        """Make the rest safe, after ``shutdown``. Blocks, without the GIL."""
        lib.nmq_broker_durability_close(self._broker)


def _c_keys(options: DurableOptions, kept: list[CData]) -> nmq_durability_keys:
    raw = ffi.new("nmq_durability_keys *")
    raw.location = c_text(options.location, kept)
    raw.max_bytes, raw.segment_bytes = options.max_bytes, options.segment_bytes
    raw.interval_ms = options.interval_ms
    raw.gather_ms, raw.hold_ms = options.gather_ms, options.hold_ms
    raw.on_error, raw.skip = options.on_error.value, options.skip
    if "#" not in options.topics:
        topics = "".join(f"{each}\0" for each in options.topics)
        raw.topics, raw.topics_len = c_text(topics, kept), len(topics.encode())
    return raw
