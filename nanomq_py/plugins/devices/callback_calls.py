"""Callbacks as the platform lists and sets them.

Source  iot-platform-api-v1.txt, "device status change callbacks", "callbacks statistics"
"""

from __future__ import annotations

from typing import Literal

import msgspec

from nanomq_py.http.errors import NotFound
from nanomq_py.http.rest.endpoint import Call, Endpoint, Plain
from nanomq_py.http.rest.parameters import Nothing
from nanomq_py.plugins.devices.api import Api
from nanomq_py.plugins.devices.callbacks import KINDS, Callback
from nanomq_py.plugins.devices.paging import Id
from nanomq_py.plugins.devices.words import Refused, store_faults


class NewCallback(msgspec.Struct, frozen=True):
    type: Literal["device", "peripheral"]
    url: str
    enabled: bool = True


class Switch(msgspec.Struct, frozen=True):
    id: Id
    enabled: bool


class CallbackRow(msgspec.Struct, frozen=True):
    id: int
    type: str
    url: str
    enabled: bool
    made_at: int = msgspec.field(name="createTime")
    changed_at: int = msgspec.field(name="updateTime")


class CountedRow(CallbackRow, frozen=True):
    """One with what became of it: posts that were taken, and attempts that failed."""

    succeeded: int = msgspec.field(name="succCount")
    failed: int = msgspec.field(name="failedCount")


class CallbackRows(msgspec.Struct, frozen=True):
    count: int
    rows: list[CountedRow] = msgspec.field(name="list")


class Statistics(msgspec.Struct, frozen=True):
    failed: int
    succ: int


def _is_on(api: Api, callback: Callback) -> bool:
    """Return whether its target is told: it is enabled, and has not answered 410."""
    counts = api.targets.counts(callback.target)
    return callback.enabled and not (counts is not None and counts.is_off)


def _row(api: Api, of: Callback) -> CallbackRow:
    return CallbackRow(of.id, of.kind, of.url, _is_on(api, of), of.made_at, of.changed_at)


def _counted(api: Api, of: Callback) -> CountedRow:
    succeeded, failed = api.targets.sums(of.target)
    return CountedRow(
        id=of.id,
        type=of.kind,
        url=of.url,
        enabled=_is_on(api, of),
        made_at=of.made_at,
        changed_at=of.changed_at,
        succeeded=succeeded,
        failed=failed,
    )


async def list_callbacks(api: Api, call: Plain) -> CallbackRows:
    with store_faults():
        found = await api.callbacks.all()
    rows = [_counted(api, each) for each in found]
    return CallbackRows(len(rows), rows)


async def set_callback(api: Api, call: Call[Nothing, NewCallback]) -> CallbackRow:
    body = call.body
    with store_faults():
        made = await api.callbacks.set(body.type, body.url, enabled=body.enabled)
    api.audit(call.who, f"set the callback of type '{made.kind}'")
    return _row(api, made)


async def enable_callback(api: Api, call: Call[Nothing, Switch]) -> CallbackRow:
    id, enabled = call.body.id, call.body.enabled
    with store_faults():
        made = await api.callbacks.enable(id, enabled=enabled)
    if made is None:
        raise Refused("no_such_callback", f"there is no callback {id}", 404)
    api.audit(call.who, f"{'enabled' if enabled else 'disabled'} callback {id}")
    return _row(api, made)


async def get_statistics(api: Api, call: Plain) -> Statistics:
    kind = call.path["type"]
    if kind not in KINDS:
        raise NotFound(f"{kind[:64]!r}: expected {' or '.join(KINDS)}")
    with store_faults():
        callback = await api.callbacks.of(kind)
    succeeded, failed = (0, 0) if callback is None else api.targets.sums(callback.target)
    return Statistics(failed, succeeded)


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/monitor/devices/callbacks",
        act=list_callbacks,
        summary="Who is told that devices and peripherals come and go.",
    ),
    Endpoint(
        method="POST",
        path="/monitor/devices/callbacks",
        act=set_callback,
        summary="Tell a URL of devices, or peripherals, in place of the one before.",
    ),
    Endpoint(
        method="POST",
        path="/monitor/devices/callbacks/enable",
        act=enable_callback,
        summary="Switch a callback on or off.",
    ),
    Endpoint(
        method="GET",
        path="/monitor/devices/callbacks/{type}/stats",
        act=get_statistics,
        summary="How often a callback has succeeded, and failed.",
    ),
]
