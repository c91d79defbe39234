"""Alarms of v2: what is wrong with the broker now.

Source  EMQX 2.3, emqttd_rest_api
"""

from __future__ import annotations

import msgspec

from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx.times import local_time
from nanomq_py.http.rest.endpoint import Endpoint, Plain

SEVERITY = "warning"  # the broker goes on, and has no other grades


class AlarmRow(msgspec.Struct, frozen=True):
    id: str
    severity: str
    title: str
    summary: str
    occurred_at: str


async def list_alarms(api: Api, call: Plain) -> list[AlarmRow]:
    api.check_node(call.path["node_name"])
    return [
        AlarmRow(
            id=alarm.name,
            severity=SEVERITY,
            title=alarm.name.replace("_", " "),
            summary=alarm.message,
            occurred_at=local_time(int(alarm.activated_at * 1000)),
        )
        for alarm in api.broker.alarms.active()
    ]


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/nodes/{node_name}/alarms",
        act=list_alarms,
        summary="Alarms that last.",
    ),
]
