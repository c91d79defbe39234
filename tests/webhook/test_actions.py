"""What is told of each event, field by field: NanoMQ's JSON, and EMQX 4's."""

from __future__ import annotations

import base64
import json
from typing import Any

import orjson
import pytest

from nanomq_py.core.message import Identity
from nanomq_py.events import (
    Acked,
    AuthFailed,
    Connected,
    Delivered,
    Disconnected,
    Event,
    SessionEnded,
    Subscribed,
    Unsubscribed,
    Why,
)
from nanomq_py.plugins.topics import matcher
from nanomq_py.plugins.webhook.actions import (
    MAKERS,
    Actions,
    message_publish,
)
from nanomq_py.plugins.webhook.payloads import MOST_BASE62_BYTES, WRITERS, base62

pytestmark = pytest.mark.plain

ANN = Identity("c1", "ann", "10.0.0.7:5000", "tcp")
NOBODY = Identity("nanomq-6ecb0b61", None, "[::1]:5000", "tcp")
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Message:
    """What is asked of a message of the broker."""

    def __init__(
        self,
        topic_name: str = "webhook/msg/123",
        payload: bytes = b"hello",
        publisher: Identity | None = NOBODY,
    ) -> None:
        self.topic_name, self.payload, self.publisher = topic_name, payload, publisher
        self.time, self.retain, self.qos = 1650609267.0, False, 0


def published(message: Message, encoding: str = "plain") -> dict[str, Any]:
    fields = message_publish(message, WRITERS[encoding])  # type: ignore[arg-type]
    made: dict[str, Any] = json.loads(orjson.dumps(fields))
    return made


def told(event: Event, *names: str, **filters: tuple[str, ...]) -> list[dict[str, Any]]:
    wanted = {name: filters.get(name.replace(".", "_"), ()) for name in names or MAKERS}
    actions = Actions(wanted, WRITERS["plain"])
    return [dict(each.fields) for each in actions.of(event)]


# The examples of NanoMQ's own announcement of web hooks, as they stand there.
NANOMQ = {
    "publish": (
        '{"ts":1650609267000,"topic":"webhook/msg/123","retain":false,"qos":0,'
        '"action":"message_publish","from_username":"undefined",'
        '"from_client_id":"nanomq-6ecb0b61","payload":"hello"}'
    ),
    "connack": (
        '{"proto_ver":4,"keepalive":60,"conn_ack":"success","username":"undefined",'
        '"clientid":"nanomq-6ecb0b61","action":"client_connack"}'
    ),
    "disconnected": (
        '{"reason":"normal","username":"undefined","clientid":"nanomq-6ecb0b61",'
        '"action":"client_disconnected"}'
    ),
}


def test_what_nanomq_tells_is_told_letter_for_letter() -> None:
    message = message_publish(Message(), WRITERS["plain"])  # type: ignore[arg-type]
    assert orjson.dumps(message).decode() == NANOMQ["publish"]
    (connack,) = told(Connected(1.0, NOBODY, 4, 60, 0, True, False), "client.connack")
    assert orjson.dumps(connack).decode() == NANOMQ["connack"]
    ended = Disconnected(1.0, NOBODY, Why.CLIENT, 0, "")
    (disconnected,) = told(ended, "client.disconnected")
    assert orjson.dumps(disconnected).decode() == NANOMQ["disconnected"]


@pytest.mark.parametrize(
    ("ended_by", "code", "reason"),
    [
        (Why.CLIENT, 0, "normal"),
        (Why.CLIENT, 4, "abnormal"),
        (Why.NETWORK, 0, "abnormal"),
        (Why.BROKER, 0x8B, "abnormal"),
    ],
)
def test_reason_of_a_disconnection(ended_by: Why, code: int, reason: str) -> None:
    (fields,) = told(Disconnected(1.0, ANN, ended_by, code, ""))
    assert fields["reason"] == reason


OF_ANN = {"clientid": "c1", "username": "ann"}
OF_CONNECT = {**OF_ANN, "ipaddress": "10.0.0.7", "keepalive": 7, "proto_ver": 5}
OPTS = {"qos": 1, "nl": 1, "rap": 0, "rh": 2}
OF_MESSAGE = {
    **OF_ANN,
    "from_client_id": "nanomq-6ecb0b61",
    "from_username": "undefined",
    "topic": "webhook/msg/123",
    "qos": 0,
    "retain": False,
    "payload": "hello",
    "ts": 1650609267000,
}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            Connected(2.5, ANN, 5, 7, 0, True, False),
            [
                {"action": "client_connect", **OF_CONNECT},
                {
                    "action": "client_connack",
                    **OF_ANN,
                    "keepalive": 7,
                    "proto_ver": 5,
                    "conn_ack": "success",
                },
                {"action": "client_connected", **OF_CONNECT, "connected_at": 2500},
            ],
        ),
        (
            AuthFailed(2.5, ANN, 0x86, "no", 5, 7),
            [
                {"action": "client_connect", **OF_CONNECT},
                {
                    "action": "client_connack",
                    **OF_ANN,
                    "keepalive": 7,
                    "proto_ver": 5,
                    "conn_ack": "fail",
                },
            ],
        ),
        (AuthFailed(2.5, ANN, 0x86, "no", 0, 0), []),
        (
            Subscribed(1.0, ANN, "a/#", 1, True, False, 2, 0),
            [
                {"action": "client_subscribe", **OF_ANN, "topic": "a/#", "opts": OPTS},
                {"action": "session_subscribed", **OF_ANN, "topic": "a/#", "opts": OPTS},
            ],
        ),
        (
            Unsubscribed(1.0, ANN, "a/#", Why.CLIENT),
            [
                {"action": "client_unsubscribe", **OF_ANN, "topic": "a/#", "opts": {}},
                {"action": "session_unsubscribed", **OF_ANN, "topic": "a/#"},
            ],
        ),
        (
            Unsubscribed(1.0, ANN, "a/#", Why.PROGRAM),
            [{"action": "session_unsubscribed", **OF_ANN, "topic": "a/#"}],
        ),
        (Unsubscribed(1.0, ANN, "a/#", Why.SESSION_ENDED), []),
        (
            SessionEnded(1.0, ANN, "expired"),
            [{"action": "session_terminated", **OF_ANN, "reason": "expired"}],
        ),
        (
            Delivered(1.0, ANN, Message(), 1, False, False),  # type: ignore[arg-type]
            [{"action": "message_delivered", **OF_MESSAGE}],
        ),
        (
            Acked(1.0, ANN, Message(), 0),  # type: ignore[arg-type]
            [{"action": "message_acked", **OF_MESSAGE}],
        ),
        (
            Delivered(1.0, ANN, Message("$SYS/x"), 1, False, False),  # type: ignore[arg-type]
            [],
        ),
    ],
)
def test_what_is_told_of_each_event(event: Event, expected: list[dict[str, Any]]) -> None:
    assert told(event) == expected


def test_topic_filters_choose_what_is_told() -> None:
    event = Subscribed(1.0, ANN, "a/b", 0, False, False, 0, 0)
    assert told(event, "client.subscribe", client_subscribe=("x", "a/+"))
    assert not told(event, "client.subscribe", client_subscribe=("x", "a"))
    # what has no topic is told whatever the filter
    ended = SessionEnded(1.0, ANN, "normal")
    assert told(ended, "session.terminated", session_terminated=("x",))


@pytest.mark.parametrize(
    ("topic", "topic_filter", "is_match"),
    [
        ("a/b", "a/b", True),
        ("a/b", "+/b", True),
        ("a/b/c", "a/#", True),
        ("a", "a/#", True),
        ("ab", "a/#", False),
        ("a/b", "a", False),
        ("a", "a/+", False),
        ("a/", "a/+", True),
        ("$SYS/a", "#", False),
        ("$SYS/a", "+/a", False),
        ("$SYS/a", "$SYS/#", True),
    ],
)
def test_topic_matches_a_filter(topic: str, topic_filter: str, is_match: bool) -> None:
    assert matcher(topic_filter)(topic) == is_match


# --- payloads


def test_payload_that_is_not_utf8_goes_as_base64_and_says_so() -> None:
    fields = published(Message(payload=b"\xff\x00"))
    assert (fields["payload"], fields["payload_encoding"]) == ("/wA=", "base64")
    assert "payload_encoding" not in published(Message(payload="é\0".encode()))


def test_payload_is_encoded_as_the_key_says() -> None:
    assert published(Message(), "base64")["payload"] == base64.b64encode(b"hello").decode()
    assert (
        published(Message(payload=b"messagei+/"), "base62")["payload"] == "2a7oZkl5ty6sG7"
    )
    for encoding in ("base64", "base62"):
        assert published(Message(payload=b""), encoding)["payload"] is None
    assert published(Message(payload=b""))["payload"] == ""


def from_base62(text: str) -> bytes:
    zeros = len(text) - len(text.lstrip("0"))
    number = 0
    for letter in text:
        number = number * 62 + DIGITS.index(letter)
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


@pytest.mark.parametrize(
    "payload",
    [b"", b"\0", b"\0\0a", b"\xff" * 50, bytes(range(256)) * 40, b"\1" + bytes(3000)],
)
def test_base62_can_be_read_back(payload: bytes) -> None:
    assert from_base62(base62(payload)) == payload


def test_base62_of_a_large_payload_would_take_long_and_is_base64() -> None:
    fields = published(Message(payload=bytes(MOST_BASE62_BYTES + 1)), "base62")
    assert fields["payload_encoding"] == "base64"


def test_message_of_the_program_has_no_publisher() -> None:
    fields = published(Message(publisher=None))
    assert (fields["from_client_id"], fields["from_username"]) == (None, "undefined")
