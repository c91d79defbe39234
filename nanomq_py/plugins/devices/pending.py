"""What was heard of devices and is not written yet: the latest of each."""

from __future__ import annotations

import msgspec

from nanomq_py.plugins.devices.reports import (
    BadReport,
    Moment,
    PeripheralReport,
    Report,
    StateReport,
    Why,
)


class Seen(msgspec.Struct):
    """What was heard of one device. Times are seconds since 1970.

    active_at   of its latest message; 0: there was none, so it may be no device
    via         the gateway that spoke for it
    online      whether its connection is there; None: nothing has happened
    """

    active_at: int = 0
    via: str = ""
    states: dict[str, StateReport] = msgspec.field(default_factory=dict)
    online: bool | None = None
    online_at: int = 0
    offline_at: int = 0

    def came(self, at: int) -> None:
        self.online, self.online_at = True, at

    def went(self, at: int) -> None:
        self.online, self.offline_at = False, at


class SeenPeripheral(msgspec.Struct):
    """What was heard of one peripheral: the latest, and since when it is so."""

    gateway: str
    online: bool
    active_at: int
    moment: Moment
    msg: str | None

    def follow(self, report: PeripheralReport) -> None:
        if report.moment.is_older(self.moment):
            raise older(report.moment, self.moment)
        self.gateway = report.gateway or self.gateway
        self.moment = report.moment
        if report.msg is not None:
            self.msg = report.msg
        if report.online is not None:
            self.online = report.online
        if self.online:
            self.active_at = report.moment.rev


def older(new: Moment, old: Moment) -> BadReport:
    return BadReport(
        Why.OLDER,
        f"older than the one before: time {new.time:.15g} at {new.rev}, after"
        f" {old.time:.15g} at {old.rev}",
    )


class Pending(msgspec.Struct):
    """All of it.

    gone   when gateways have left
    """

    devices: dict[str, Seen] = msgspec.field(default_factory=dict)
    peripherals: dict[tuple[str, str], SeenPeripheral] = msgspec.field(default_factory=dict)
    gone: dict[str, int] = msgspec.field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.devices or self.gone)

    def __len__(self) -> int:
        return len(self.devices) + len(self.peripherals)

    def of(self, sn: str) -> Seen:
        seen = self.devices.get(sn)
        if seen is None:
            seen = self.devices[sn] = Seen()
        return seen

    def hear(self, sn: str, via: str, at: int) -> Seen:
        """Take note of a message of that device."""
        seen = self.of(sn)
        seen.active_at = max(seen.active_at, at)
        seen.via = via
        return seen

    def add(self, report: Report, client_id: str, via: str) -> None:
        """Keep a report in place of the one before. Raises BadReport for an older one.

        client_id  who has sent it: the device, if the report does not say which
        via        the gateway, if one has sent it
        """
        sn = report.sn or client_id
        seen = self.hear(sn, via, report.moment.rev)
        if isinstance(report, PeripheralReport):
            self._add_peripheral(sn, report)
            return
        before = seen.states.get(report.kind)
        if before is not None and report.moment.is_older(before.moment):
            raise older(report.moment, before.moment)
        seen.states[report.kind] = report

    def _add_peripheral(self, sn: str, report: PeripheralReport) -> None:
        key = (sn, report.nid)
        before = self.peripherals.get(key)
        if before is not None:
            before.follow(report)
            return
        online = report.online is not False
        active_at = report.moment.rev if online else 0
        self.peripherals[key] = SeenPeripheral(
            report.gateway, online, active_at, report.moment, report.msg
        )
