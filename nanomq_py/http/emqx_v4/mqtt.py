"""Publish, subscribe and unsubscribe by v4, one at a time and many.

Source  http-dialects.md, "EMQX v4 and Cloud"; EMQX 4.4's publish properties
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, TypeVar

import msgspec

from nanomq_py.http.codes import Code
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx_v4.words import Refused, not_online
from nanomq_py.http.errors import BadParameter, HttpError, MissingParameter
from nanomq_py.http.rest.endpoint import Call, Endpoint
from nanomq_py.http.rest.parameters import Nothing, converted

MOST_TOPICS = 1000  # of one item
MOST_ITEMS = 10_000  # of one batch
AT_ONCE = 64  # messages or items before others get the loop
NOBODY = "http"  # publishes what names no client

T = TypeVar("T")


# Of a user property; a number is sent as its text (NanoMQ's and EMQX's examples have some).
Value = str | int | float


class Properties(msgspec.Struct, frozen=True):
    """Properties of a PUBLISH of MQTT 5.0 [MQTT-3.3.2-4] and those that follow it."""

    payload_format_indicator: Literal[0, 1] | None = None
    message_expiry_interval: int | None = None
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: str | None = None
    user_properties: dict[str, Value | list[Value]] = {}


class Topics(msgspec.Struct, frozen=True, kw_only=True):
    """``topic`` is one, ``topics`` some with commas between them: one of the two is needed."""

    topic: str | None = None
    topics: str | None = None

    @property
    def said(self) -> str:
        return self.topic if self.topic is not None else self.topics or ""

    def each(self) -> list[str]:
        """Raise MissingParameter, Refused."""
        if self.topic is None and self.topics is None:
            raise MissingParameter(["topic"])
        found = [self.topic] if self.topic is not None else (self.topics or "").split(",")
        if len(found) > MOST_TOPICS:
            raise BadParameter(f"topics: {len(found)}: expected {MOST_TOPICS} at most")
        return found


class Publish(Topics, frozen=True, kw_only=True):
    """A message.

    payload     text, or any JSON, which is sent as JSON
    check_acl   whether the access rules of ``clientid`` count; an addition of this broker
    """

    clientid: str | None = None
    payload: Any = ""
    encoding: Literal["plain", "base64"] = "plain"
    qos: int = 0
    retain: bool = False
    properties: Properties = Properties()
    user_properties: dict[str, Value | list[Value]] = {}
    check_acl: bool = False

    def content(self) -> bytes:
        """Raise BadParameter for what is no Base64."""
        if not isinstance(self.payload, str):
            return msgspec.json.encode(self.payload)
        if self.encoding == "plain":
            return self.payload.encode()
        try:
            return base64.b64decode(self.payload, validate=True)
        except ValueError:
            raise BadParameter("payload: expected Base64") from None

    def pairs(self) -> list[tuple[str, str]]:
        """Return the user properties; a list is one of several values under a name."""
        given = {**self.properties.user_properties, **self.user_properties}
        return [
            (name, str(each))
            for name, value in given.items()
            for each in (value if isinstance(value, list) else [value])
        ]


class Subscribe(Topics, frozen=True, kw_only=True):
    clientid: str
    qos: int = 0


class Unsubscribe(msgspec.Struct, frozen=True):
    clientid: str
    topic: str


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of an item of a batch; a message stands for one that cannot be read."""

    clientid: str | msgspec.UnsetType = msgspec.UNSET
    node: str | msgspec.UnsetType = msgspec.UNSET
    topic: str | msgspec.UnsetType = msgspec.UNSET
    qos: int | msgspec.UnsetType = msgspec.UNSET
    code: int
    message: str | msgspec.UnsetType = msgspec.UNSET


BAD_ITEM = Result(code=Code.REQ_PARAM_ERROR, message="bad_params")


def _check_qos(qos: int) -> None:
    if qos not in (0, 1, 2):
        raise Refused(Code.BAD_QOS, f"bad_qos: {qos}: expected 0, 1 or 2")


def _bad_topic(topic: str, why: object) -> Refused:
    return Refused(Code.ILLEGAL_SUBJECT, f"bad_topic: {topic[:256]!r}: {why}")


def _check_names(topics: Sequence[str]) -> None:
    """Raise Refused before anything is published. [MQTT-3.3.2-2], [MQTT-4.7.3-1]"""
    for topic in topics:
        if not topic or "#" in topic or "+" in topic or "\0" in topic:
            raise _bad_topic(topic, "expected a topic name without wildcards")


async def _breathe(at: int) -> None:
    """Give the loop to others, once for so many."""
    if at % AT_ONCE == 0:
        await asyncio.sleep(0)


async def _publish(api: Api, asked: Publish) -> None:
    topics = asked.each()
    _check_qos(asked.qos)
    _check_names(topics)
    content, pairs, about = asked.content(), asked.pairs(), asked.properties
    correlation = about.correlation_data
    for at, topic in enumerate(topics):
        if len(topics) > 1:
            await _breathe(at)
        try:
            await api.broker.publish_as(
                asked.clientid or NOBODY,
                topic,
                content,
                qos=asked.qos,
                retain=asked.retain,
                message_expiry_interval=about.message_expiry_interval,
                payload_format_indicator=about.payload_format_indicator,
                content_type=about.content_type,
                response_topic=about.response_topic,
                correlation_data=None if correlation is None else correlation.encode(),
                user_properties=pairs,
                check_access=asked.check_acl,
            )
        except PermissionError:
            message = f"{topic[:256]!r}: an access rule denies it"
            raise Refused(Code.UNKNOWN_MISTAKE, message) from None
        except ValueError as fault:
            raise BadParameter(f"bad_params: {fault}") from None
        except RuntimeError as fault:
            raise Refused(Code.UNKNOWN_MISTAKE, str(fault)) from None


def _check_online(api: Api, client_id: str) -> None:
    client = api.broker.client(client_id)
    if client is None or not client.connected:
        raise not_online(client_id)


async def _subscribe(api: Api, asked: Subscribe) -> None:
    filters = asked.each()
    _check_qos(asked.qos)
    _check_online(api, asked.clientid)
    for topic_filter in filters:
        try:
            await api.broker.subscribe_client(asked.clientid, topic_filter, qos=asked.qos)
        except KeyError:
            _check_online(api, asked.clientid)
        except ValueError as fault:
            raise _bad_topic(topic_filter, fault) from None
        except (PermissionError, RuntimeError) as fault:
            raise Refused(Code.UNKNOWN_MISTAKE, str(fault)) from None


async def _unsubscribe(api: Api, asked: Unsubscribe) -> None:
    _check_online(api, asked.clientid)
    try:
        await api.broker.unsubscribe_client(asked.clientid, asked.topic)
    except KeyError:
        _check_online(api, asked.clientid)
    except ValueError as fault:
        raise _bad_topic(asked.topic, fault) from None


async def publish(api: Api, call: Call[Nothing, Publish]) -> None:
    await _publish(api, call.body)


async def subscribe(api: Api, call: Call[Nothing, Subscribe]) -> None:
    await _subscribe(api, call.body)


async def unsubscribe(api: Api, call: Call[Nothing, Unsubscribe]) -> None:
    await _unsubscribe(api, call.body)


async def _batch(
    items: Sequence[Any],
    shape: type[T],
    act: Callable[[T], Awaitable[None]],
    told: Callable[[T, int], Result],
) -> list[Result]:
    """Do what each item says, whatever became of those before it.

    Raises   BadParameter for too many, and nothing is done
    """
    if len(items) > MOST_ITEMS:
        raise BadParameter(f"{len(items)} items: expected {MOST_ITEMS} at most")
    results: list[Result] = []
    for at, item in enumerate(items):
        await _breathe(at)
        try:
            asked = converted(item, shape)
        except HttpError:
            results.append(BAD_ITEM)
            continue
        try:
            await act(asked)
        except Refused as refused:
            results.append(told(asked, refused.code))
        except HttpError:
            results.append(BAD_ITEM)
        else:
            results.append(told(asked, 0))
    return results


async def publish_batch(api: Api, call: Call[Nothing, list[Any]]) -> list[Result]:
    return await _batch(
        call.body,
        Publish,
        lambda asked: _publish(api, asked),
        lambda asked, code: Result(topic=asked.said, code=code),
    )


async def subscribe_batch(api: Api, call: Call[Nothing, list[Any]]) -> list[Result]:
    return await _batch(
        call.body,
        Subscribe,
        lambda asked: _subscribe(api, asked),
        lambda asked, code: Result(
            clientid=asked.clientid,
            node=api.node,
            topic=asked.said,
            qos=asked.qos,
            code=code,
        ),
    )


async def unsubscribe_batch(api: Api, call: Call[Nothing, list[Any]]) -> list[Result]:
    return await _batch(
        call.body,
        Unsubscribe,
        lambda asked: _unsubscribe(api, asked),
        lambda asked, code: Result(
            clientid=asked.clientid, node=api.node, topic=asked.topic, code=code
        ),
    )


ENDPOINTS = [
    Endpoint(
        method="POST",
        path="/mqtt/publish",
        act=publish,
        summary="Publish a message, to one topic or to several.",
    ),
    Endpoint(
        method="POST",
        path="/mqtt/subscribe",
        act=subscribe,
        summary="Subscribe a client that is connected.",
    ),
    Endpoint(
        method="POST",
        path="/mqtt/unsubscribe",
        act=unsubscribe,
        summary="Unsubscribe a client that is connected.",
    ),
    Endpoint(
        method="POST",
        path="/mqtt/publish_batch",
        act=publish_batch,
        summary="Publish messages.",
    ),
    Endpoint(
        method="POST",
        path="/mqtt/subscribe_batch",
        act=subscribe_batch,
        summary="Subscribe clients.",
    ),
    Endpoint(
        method="POST",
        path="/mqtt/unsubscribe_batch",
        act=unsubscribe_batch,
        summary="Unsubscribe clients.",
    ),
]
