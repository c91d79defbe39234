"""The log of a broker, read from its folder without it; what is left of one, made a new one.

For commands: a broker does not import this module.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nanomq_py.config import Config
from nanomq_py.core.binding import c_options
from nanomq_py.core.native import CoreError, check, ffi, lib
from nanomq_py.core.options import core_options

if TYPE_CHECKING:
    from nanomq_py._core import CData, Pointer, nmq_log_taken

# csrc/journal.def
KINDS = {
    1: "begin",
    2: "end",
    3: "origin",
    4: "message",
    5: "retained",
    6: "session",
    7: "will",
    8: "subscription",
    9: "delivery",
    10: "unreleased",
    11: "owed",
    12: "launched",
    13: "received",
    14: "done",
    15: "dropped",
    16: "released",
    17: "unsubscribed",
    18: "will_end",
    19: "detached",
    20: "session_end",
    21: "retain_dropped",
    22: "owed_moved",
    23: "carried",
}
_KIND_COUNT = 256


class LogError(Exception):
    """A log cannot be read or written; the text says why.

    in_use   another process has it
    is_newer a later version wrote it
    """

    def __init__(self, status: int, error: int) -> None:
        self.in_use = status == lib.NMQ_ECLOSED
        self.is_newer = status == lib.NMQ_ENEWER
        why = ffi.string(lib.nmq_status_text(status)).decode()
        super().__init__(os.strerror(error) if error else why)


def _checked(status: int, error: Pointer[int]) -> None:
    if status < 0:
        raise LogError(status, error[0])


@dataclass(frozen=True)
class LogFacts:
    """What is in a log: ``nmq_wal_look_facts``, which says what each is."""

    in_use: bool
    store: int
    first_ms: int
    last_ms: int
    first: int
    last: int
    oldest: int
    commits: int
    bytes: int
    records: int
    malformed: int
    used: int
    end_segment: int
    end_at: int
    torn: bool
    kinds: dict[str, int]


@dataclass(frozen=True)
class LogSegment:
    """A file: ``nmq_wal_look_segment``."""

    number: int
    bytes: int
    blocks: int
    first: int
    last: int

    @property
    def name(self) -> str:
        return segment_name(self.number)


@dataclass(frozen=True)
class LogDamage:
    """A place that is damaged: ``nmq_wal_look_damage``."""

    after: int
    segment: int
    at: int
    is_missing: bool
    next_segment: int
    next_at: int
    next_sequence: int


def segment_name(number: int) -> str:
    """Return the name of a file.

    >>> segment_name(7)
    '000007.seg'
    """
    return f"{number:06d}.seg"


def _kinds(raw: Pointer[int]) -> dict[str, int]:
    found = {number: int(raw[number]) for number in range(_KIND_COUNT) if raw[number]}
    return {KINDS.get(number, f"{number}"): count for number, count in found.items()}


def _save(look: LogLook, fd: int) -> nmq_log_taken:
    """Have a broker become what the log says, and write that; return nmq_log_taken."""
    kept: list[CData] = []
    unbounded = replace(
        core_options(Config()),
        memory_max_bytes=0,
        sessions_max=0,
        subscriptions_max=0,
        groups_max=0,
        retained_max=0,
        retained_max_bytes=0,
    )
    options = c_options(unbounded, kept)
    made, took = ffi.new("nmq_broker **"), ffi.new("nmq_log_taken *")
    check(lib.nmq_broker_new(options, made))
    try:
        check(lib.nmq_broker_take_log(made[0], look.handle, took))
        lib.nmq_broker_shutdown(made[0], 0)
        check(lib.nmq_broker_save(made[0], fd))
    finally:
        lib.nmq_broker_free(made[0])
    return took


class Live:
    """What a broker would have that starts on a log.

    kinds    how many records of each kind say it
    passed   records that did not fit what is there
    newest   numbers of the latest message, origin and session
    records  the run of records, as a restart hands it over; bytes: their length

    Owner    close() frees it
    """

    def __init__(self, look: LogLook) -> None:
        """Blocks. Raises LogError."""
        self._fd = os.memfd_create("live")
        try:
            took = _save(look, self._fd)
        except CoreError as fault:
            os.close(self._fd)
            raise LogError(fault.status, 0) from None
        self.passed = took.passed
        self.newest = {
            "message": took.messages,
            "origin": took.origins,
            "session": took.sessions,
        }
        self.bytes = os.fstat(self._fd).st_size
        self.records = mmap.mmap(self._fd, self.bytes, prot=mmap.PROT_READ)
        kinds = ffi.new("uint64_t[]", _KIND_COUNT)
        with ffi.from_buffer(self.records) as raw:
            check(lib.nmq_wal_remake_count(raw, self.bytes, kinds))
        self.kinds = _kinds(kinds)

    def close(self) -> None:
        self.records.close()
        os.close(self._fd)


class LogLook:
    """A log, read once; its files stay as long as this object is open, whoever writes.

    Owner    close() lets the files go
    """

    def __init__(self, folder: Path) -> None:
        """Read it. Blocks. Raises LogError."""
        out, error = ffi.new("nmq_wal_look **"), ffi.new("int32_t *")
        _checked(lib.nmq_wal_look_open(os.fsencode(folder), out, error), error)
        self.handle = out[0]
        raw = lib.nmq_wal_look_at(self.handle)
        names = [each.name for each in fields(LogFacts) if each.name != "kinds"]
        self.facts = LogFacts(
            **{name: getattr(raw, name) for name in names}, kinds=_kinds(raw.kinds)
        )
        self.segments = [self._segment(index) for index in range(raw.segments)]
        self.damages = [self._damage(index) for index in range(raw.damages)]

    def _segment(self, index: int) -> LogSegment:
        raw = lib.nmq_wal_look_segment_at(self.handle, index)
        return LogSegment(raw.number, raw.bytes, raw.blocks, raw.first, raw.last)

    def _damage(self, index: int) -> LogDamage:
        raw = lib.nmq_wal_look_damage_at(self.handle, index)
        return LogDamage(
            raw.after,
            raw.segment,
            raw.at,
            raw.is_missing,
            raw.next_segment,
            raw.next_at,
            raw.next_sequence,
        )

    def close(self) -> None:
        """Let the files go. It can be called again."""
        lib.nmq_wal_look_close(self.handle)
        self.handle = ffi.NULL


class LogClaim:
    """A folder that no broker may have meanwhile. Raises LogError."""

    def __init__(self, folder: Path) -> None:
        out, error = ffi.new("nmq_wal_claim **"), ffi.new("int32_t *")
        _checked(lib.nmq_wal_claim_new(os.fsencode(folder), out, error), error)
        self._handle = out[0]

    def close(self) -> None:
        lib.nmq_wal_claim_free(self._handle)
        self._handle = ffi.NULL


def write_log(folder: Path, live: Live, segment_bytes: int, wall_ms: int) -> None:
    """Make a new log of what is there, in that folder. Raises LogError."""
    error = ffi.new("int32_t *")
    with ffi.from_buffer(live.records) as raw:
        status = lib.nmq_wal_remake(
            os.fsencode(folder), raw, live.bytes, segment_bytes, wall_ms, error
        )
    _checked(status, error)
