"""What the core counts of one topic."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nanomq_py.core.native import ffi, lib

if TYPE_CHECKING:
    from nanomq_py._core import nmq_meter

MOST_METERS = 512  # NMQ_METERS_MAX


class MeterCounts(NamedTuple):
    """``nmq_meter_counts``."""

    messages_in: tuple[int, int, int]  # by QoS
    messages_out: tuple[int, int, int]  # by QoS
    dropped: int


class Meter:
    """Counts of a topic; they can be read when nothing is counted any more.

    Threads  any
    """

    def __init__(self, handle: nmq_meter) -> None:
        """Take the reference."""
        self._handle = ffi.gc(handle, lib.nmq_meter_unref)
        self._raw = ffi.new("nmq_meter_counts *")

    def read(self) -> MeterCounts:
        raw = self._raw
        lib.nmq_meter_read(self._handle, raw)
        got, sent = raw.in_by_qos, raw.out_by_qos
        return MeterCounts(
            (got[0], got[1], got[2]), (sent[0], sent[1], sent[2]), raw.dropped
        )

    def reset(self) -> None:
        """Begin at 0 again."""
        lib.nmq_meter_reset(self._handle)
