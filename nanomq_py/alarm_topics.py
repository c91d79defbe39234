"""Alarms as EMQX 4 tells of them: fields, and messages when one begins and when one is over.

::

    $SYS/brokers/NODE/alarms/activate      at QoS 0, not retained
    $SYS/brokers/NODE/alarms/deactivate

Source  EMQX 4.4, emqx_alarm: microseconds since 1970, ``infinity``
"""

from __future__ import annotations

import json
import logging
from typing import Literal, TypedDict

from nanomq_py.core.binding import Core, CoreError
from nanomq_py.core.properties import Properties
from nanomq_py.store.alarms import Alarm

log = logging.getLogger("nanomq")

INFINITY: Literal["infinity"] = "infinity"


class Fields(TypedDict):
    """An alarm that lasts is ``activated``, and over at ``infinity``."""

    name: str
    details: dict[str, object]
    message: str
    activate_at: int
    deactivate_at: int | Literal["infinity"]
    activated: bool


def fields_of(alarm: Alarm) -> Fields:
    ended = alarm.deactivated_at
    return {
        "name": alarm.name,
        "details": dict(alarm.details),
        "message": alarm.message,
        "activate_at": int(alarm.activated_at * 1e6),
        "deactivate_at": INFINITY if ended is None else int(ended * 1e6),
        "activated": ended is None,
    }


def publish(core: Core, node: str, alarm: Alarm) -> None:
    """Tell clients that subscribe to it that an alarm has begun, or is over."""
    what = "activate" if alarm.deactivated_at is None else "deactivate"
    topic = f"$SYS/brokers/{node}/alarms/{what}"
    payload = json.dumps(fields_of(alarm)).encode()
    properties = Properties(content_type="application/json").encoded()
    try:
        core.publish(topic, payload, qos=0, retain=False, properties=properties)
    except CoreError as fault:
        log.warning("%s: not published: %s", topic, fault)
