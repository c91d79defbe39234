"""Devices and peripherals as the platform lists and counts them.

Source  iot-platform-api-v1.txt, "Device Monitoring"
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nanomq_py.http.rest.endpoint import Call, Endpoint, Plain
from nanomq_py.http.rest.parameters import Nothing
from nanomq_py.plugins.devices.api import Api
from nanomq_py.plugins.devices.paging import PageQuery
from nanomq_py.plugins.devices.reports import BELOW, Why
from nanomq_py.plugins.devices.words import store_faults
from nanomq_py.store.moment import wall_s

if TYPE_CHECKING:
    from sqlite3 import Connection


class DeviceRow(msgspec.Struct, frozen=True):
    """A device. Times are seconds since 1970, 0 for never.

    active   its latest message; since: seconds since then
    boot     -1: not known
    """

    active: int = msgspec.field(name="activeTime")
    boot: int = msgspec.field(name="bootTime")
    since: int = msgspec.field(name="dur")
    offline_at: int = msgspec.field(name="offlineTime")
    online: bool
    online_at: int = msgspec.field(name="onlineTime")
    procs: str
    sn: str
    sys: str
    versions: str


class PeripheralRow(msgspec.Struct, frozen=True):
    nid: str = msgspec.field(name="nId")
    gateway: str = msgspec.field(name="gwId")
    sn: str
    online: bool
    active: int = msgspec.field(name="activeTime")
    rev: int = msgspec.field(name="revTime")
    msg: str


class Devices(msgspec.Struct, frozen=True):
    count: int
    limit: int
    rows: list[DeviceRow] = msgspec.field(name="list")
    page: int
    total: int


class Peripherals(msgspec.Struct, frozen=True):
    count: int
    limit: int
    rows: list[PeripheralRow] = msgspec.field(name="list")
    page: int
    total: int


class Count(msgspec.Struct, frozen=True):
    offline: int
    online: int
    total: int


class Stats(msgspec.Struct, frozen=True):
    """Reports since the start."""

    reports: int
    by_topic: dict[str, int] = msgspec.field(name="byTopic")
    refused: dict[str, int]


# The index alone is read up to the offset: it holds none of the texts.
_DEVICES = (
    "SELECT active_at, boot_at, offline_at, online, online_at, procs, sn, sys, versions"
    " FROM devices_device WHERE rowid IN (SELECT rowid FROM devices_device ORDER BY sn"
    " LIMIT ? OFFSET ?) ORDER BY sn"
)
_PERIPHERALS = (
    "SELECT nid, gateway, sn, online, active_at, rev, msg FROM devices_peripheral"
    " WHERE rowid IN (SELECT rowid FROM devices_peripheral ORDER BY sn, nid"
    " LIMIT ? OFFSET ?) ORDER BY sn, nid"
)


def _count(connection: Connection, table: str) -> Count:
    by_state = dict(
        connection.execute(
            f"SELECT online, count(*) FROM {table} GROUP BY online"  # noqa: S608
        ).fetchall()
    )
    offline, online = by_state.get(0, 0), by_state.get(1, 0)
    return Count(offline, online, offline + online)


async def list_devices(api: Api, call: Call[PageQuery, Nothing]) -> Devices:
    query, now = call.query, int(wall_s())

    def act(connection: Connection) -> Devices:
        rows = [
            DeviceRow(active, boot, max(now - active, 0), offline, bool(online), *rest)
            for active, boot, offline, online, *rest in connection.execute(
                _DEVICES, (query.limit, query.offset)
            )
        ]
        total = _count(connection, "devices_device").total
        return Devices(len(rows), query.limit, rows, query.page, total)

    with store_faults():
        return await api.broker.store.read(act)


async def count_devices(api: Api, call: Plain) -> Count:
    with store_faults():
        return await api.broker.store.read(lambda it: _count(it, "devices_device"))


async def list_peripherals(api: Api, call: Call[PageQuery, Nothing]) -> Peripherals:
    query = call.query

    def act(connection: Connection) -> Peripherals:
        rows = [
            PeripheralRow(nid, gateway, sn, bool(online), *rest)
            for nid, gateway, sn, online, *rest in connection.execute(
                _PERIPHERALS, (query.limit, query.offset)
            )
        ]
        total = _count(connection, "devices_peripheral").total
        return Peripherals(len(rows), query.limit, rows, query.page, total)

    with store_faults():
        return await api.broker.store.read(act)


async def count_peripherals(api: Api, call: Plain) -> Count:
    with store_faults():
        return await api.broker.store.read(lambda it: _count(it, "devices_peripheral"))


async def get_stats(api: Api, call: Plain) -> Stats:
    taken, refused = api.inventory.counts, api.inventory.refusals.counts
    return Stats(
        reports=taken.total(),
        by_topic={topic.removeprefix(BELOW): count for topic, count in taken.items()},
        refused={why.value: refused[why] for why in Why},
    )


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/monitor/devices/stats",
        act=get_stats,
        summary="How many reports were taken since the start, and how many refused, and why.",
    ),
    Endpoint(
        method="GET",
        path="/monitor/devices",
        act=list_devices,
        summary="Devices by their serial number, a page at a time.",
    ),
    Endpoint(
        method="GET",
        path="/monitor/devices/count",
        act=count_devices,
        summary="How many devices are connected, and how many are not.",
    ),
    Endpoint(
        method="GET",
        path="/monitor/devices/peripherals",
        act=list_peripherals,
        summary="Peripherals of devices, a page at a time.",
    ),
    Endpoint(
        method="GET",
        path="/monitor/devices/peripherals/count",
        act=count_peripherals,
        summary="How many peripherals are on, and how many are not.",
    ),
]
