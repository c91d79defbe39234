"""Writes what was heard of devices: one transaction for many.

Threads  that of the store
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nanomq_py.plugins.devices.pending import Pending, Seen, SeenPeripheral, older
from nanomq_py.plugins.devices.reports import (
    MOST_PERIPHERALS,
    STATES,
    BadReport,
    Moment,
    Why,
)

if TYPE_CHECKING:
    from sqlite3 import Connection

_READ = (
    "SELECT via, online, online_at, offline_at, active_at, boot_at, procs_rev, procs_time,"
    " sys_rev, sys_time, versions_rev, versions_time FROM devices_device WHERE sn = ?"
)
_MAKE = "INSERT INTO devices_device (sn) VALUES (?)"
_CHANGE = (
    "UPDATE devices_device SET via = ?, online = ?, online_at = ?, offline_at = ?,"
    " active_at = ?, boot_at = ?, procs = coalesce(?, procs), procs_rev = ?,"
    " procs_time = ?, sys = coalesce(?, sys), sys_rev = ?, sys_time = ?,"
    " versions = coalesce(?, versions), versions_rev = ?, versions_time = ? WHERE sn = ?"
)
_NEW = ("", 0, 0, 0, 0, -1, 0, 0.0, 0, 0.0, 0, 0.0)
_READ_PERIPHERAL = (
    "SELECT gateway, online, active_at, rev, time, msg FROM devices_peripheral"
    " WHERE sn = ? AND nid = ?"
)
_PUT_PERIPHERAL = (
    "INSERT INTO devices_peripheral VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (sn, nid) DO UPDATE SET gateway = excluded.gateway,"
    " online = excluded.online, active_at = excluded.active_at, rev = excluded.rev,"
    " time = excluded.time, msg = excluded.msg"
)

_Row = tuple[str, int, int, int, int, int, int, float, int, float, int, float]


class DeviceChanged(msgspec.Struct, frozen=True):
    """What the target of a callback is told of a device."""

    type: str
    sn: str
    online: bool
    time: int


class PeripheralChanged(msgspec.Struct, frozen=True):
    """What the target of a callback is told of a peripheral."""

    type: str
    sn: str
    gateway: str = msgspec.field(name="gwId")
    nid: str = msgspec.field(name="nId")
    online: bool
    time: int


class Outcome(msgspec.Struct):
    """What became of it.

    refused    reports that are older than what is there, and of one peripheral too many: by
               whom, on which topic
    unsure     devices that send and are held to be away: it may not be so; and through which
               client each speaks
    changed    whether there is something to tell targets of callbacks
    """

    refused: list[tuple[str, str, BadReport]] = []
    unsure: list[tuple[str, str]] = []
    changed: bool = False


class _Writing:
    """One transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.outcome = Outcome()
        self._known: dict[str, int] = {}  # peripherals of devices that have new ones
        self._told = {
            kind
            for (kind,) in connection.execute(
                "SELECT kind FROM devices_callback WHERE enabled"
            )
        }

    def device(self, sn: str, seen: Seen) -> None:
        row: _Row | None = self._connection.execute(_READ, (sn,)).fetchone()
        if row is None:
            if not seen.active_at:
                return  # a client that has never reported is no device
            self._connection.execute(_MAKE, (sn,))
            row = _NEW
        via, was_online, online_at, offline_at, active_at, boot_at, *_ = row
        if seen.active_at:
            via = seen.via
            if not was_online and seen.active_at >= offline_at and seen.online is None:
                self.outcome.unsure.append((sn, via or sn))
        online = bool(was_online) if seen.online is None else seen.online
        online_at = seen.online_at or online_at
        offline_at = seen.offline_at or offline_at
        moments = dict(zip(STATES, zip(row[6::2], row[7::2], strict=True), strict=True))
        states = self._states(sn, seen, moments)
        if "sys" in seen.states and states[3] is not None:
            moment = seen.states["sys"].moment
            boot_at = max(moment.rev - int(moment.time), -1)
        self._connection.execute(
            _CHANGE,
            (
                *(via, online, online_at, offline_at),
                *(max(active_at, seen.active_at, seen.online_at, seen.offline_at), boot_at),
                *states,
                sn,
            ),
        )
        if online != bool(was_online):
            at = online_at if online else offline_at
            self._tell("device", sn, DeviceChanged("device", sn, online, at))

    def _states(
        self, sn: str, seen: Seen, moments: dict[str, tuple[int, float]]
    ) -> list[str | int | float | None]:
        """Return text, rev and time of each kind; the text is None where it stays."""
        made: list[str | int | float | None] = []
        for kind in STATES:
            rev, time = moments[kind]
            report = seen.states.get(kind)
            if report is not None and report.moment.is_older(before := Moment(rev, time)):
                fault = older(report.moment, before)
                self.outcome.refused.append((sn, f"report/{kind}", fault))
                report = None
            if report is None:
                made += [None, rev, time]
            else:
                made += [report.text, report.moment.rev, report.moment.time]
        return made

    def peripheral(self, sn: str, nid: str, seen: SeenPeripheral) -> None:
        row = self._connection.execute(_READ_PERIPHERAL, (sn, nid)).fetchone()
        gateway, was_online, active_at, rev, time, msg = row or ("", 0, 0, 0, 0.0, "")
        before = Moment(rev, time)
        if row is not None and seen.moment.is_older(before):
            fault = older(seen.moment, before)
            self.outcome.refused.append((sn, "report/periph", fault))
            return
        if row is None and not self._has_room(sn):
            text = f"{MOST_PERIPHERALS} peripherals of {sn[:64]!r} are known already"
            fault = BadReport(Why.TOO_LARGE, text)
            self.outcome.refused.append((sn, "report/periph", fault))
            return
        gateway = seen.gateway or gateway or sn
        self._connection.execute(
            _PUT_PERIPHERAL,
            (
                *(sn, nid, gateway, seen.online, seen.active_at or active_at),
                *(seen.moment.rev, seen.moment.time),
                msg if seen.msg is None else seen.msg,
            ),
        )
        if seen.online != bool(was_online):
            changed = PeripheralChanged(
                "peripheral", sn, gateway, nid, seen.online, seen.moment.rev
            )
            self._tell("peripheral", sn, changed)

    def _has_room(self, sn: str) -> bool:
        """Count one peripheral more, if there may be one: a device must not fill the store."""
        known = self._known.get(sn)
        if known is None:
            (known,) = self._connection.execute(
                "SELECT count(*) FROM devices_peripheral WHERE sn = ?", (sn,)
            ).fetchone()
        self._known[sn] = min(known + 1, MOST_PERIPHERALS)
        return int(known) < MOST_PERIPHERALS

    def _tell(self, kind: str, sn: str, changed: msgspec.Struct) -> None:
        if kind in self._told:
            self._connection.execute(
                "INSERT INTO devices_change (kind, sn, body) VALUES (?, ?, ?)",
                (kind, sn, msgspec.json.encode(changed)),
            )
            self.outcome.changed = True


def write(connection: Connection, pending: Pending, now: int) -> Outcome:
    """Write all of it. now: seconds since 1970."""
    for gateway, at in pending.gone.items():
        for (sn,) in connection.execute(
            "SELECT sn FROM devices_device WHERE via = ? AND online", (gateway,)
        ).fetchall():
            pending.of(sn).went(at)
    writing = _Writing(connection)
    for sn, seen in pending.devices.items():
        writing.device(sn, seen)
    for (sn, nid), peripheral in pending.peripherals.items():
        writing.peripheral(sn, nid, peripheral)
    connection.execute(
        "INSERT OR REPLACE INTO devices_state VALUES ('written_at', ?)", (now,)
    )
    return writing.outcome
