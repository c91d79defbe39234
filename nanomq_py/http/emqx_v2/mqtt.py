"""Publish, subscribe and unsubscribe of v2.

Source  EMQX 2.3, emqttd_mgmt: 102 and who or what is wrong
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from nanomq_py.http.codes import Code
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx_v2.words import Refused, bad_topic
from nanomq_py.http.errors import BadParameter
from nanomq_py.http.rest.endpoint import Call, Endpoint
from nanomq_py.http.rest.parameters import Nothing

Qos = Annotated[int, msgspec.Meta(ge=0, le=2)]


class Publication(msgspec.Struct, frozen=True):
    topic: str
    payload: str = ""
    qos: Qos = 0
    retain: bool = False
    client_id: str = "http"


class Subscribing(msgspec.Struct, frozen=True):
    topic: str
    client_id: str
    qos: Qos = 0


class Unsubscribing(msgspec.Struct, frozen=True):
    topic: str
    client_id: str


async def publish(api: Api, call: Call[Nothing, Publication]) -> None:
    body = call.body
    try:
        await api.broker.publish_as(
            body.client_id, body.topic, body.payload, qos=body.qos, retain=body.retain
        )
    except ValueError as fault:
        if str(fault).startswith("client_id"):
            raise BadParameter(str(fault)) from None
        raise bad_topic(body.topic) from None
    except RuntimeError as fault:  # the text names the topic
        raise Refused(Code.UNKNOWN_MISTAKE, str(fault)) from None


async def subscribe(api: Api, call: Call[Nothing, Subscribing]) -> None:
    body = call.body
    try:
        await api.broker.subscribe_client(body.client_id, body.topic, qos=body.qos)
    except KeyError:
        raise _no_client(body.client_id) from None
    except ValueError:
        raise bad_topic(body.topic) from None
    except (PermissionError, RuntimeError) as fault:  # the text names the topic
        raise Refused(Code.UNKNOWN_MISTAKE, str(fault)) from None


async def unsubscribe(api: Api, call: Call[Nothing, Unsubscribing]) -> None:
    body = call.body
    try:
        await api.broker.unsubscribe_client(body.client_id, body.topic)
    except KeyError:
        raise _no_client(body.client_id) from None
    except ValueError:
        raise bad_topic(body.topic) from None


def _no_client(client_id: str) -> Refused:
    return Refused(Code.UNKNOWN_MISTAKE, f"Clientid: {client_id[:200]} not found")


ENDPOINTS = [
    Endpoint(
        method="POST",
        path="/mqtt/publish",
        act=publish,
        summary="Publish a message.",
    ),
    Endpoint(
        method="POST",
        path="/mqtt/subscribe",
        act=subscribe,
        summary="Subscribe a client, connected or away, as if it had asked for it.",
    ),
    Endpoint(
        method="POST",
        path="/mqtt/unsubscribe",
        act=unsubscribe,
        summary="End a subscription of a client.",
    ),
]
