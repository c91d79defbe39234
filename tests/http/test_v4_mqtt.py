"""Publish, subscribe and unsubscribe by ``/api/v4`` and ``/api``.

Source  http-dialects.md, "EMQX v4 and Cloud"; EMQX 4.4's publish properties
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Process, StartBroker
from tests.http.v4 import PREFIXES, assert_refused, call, done, get, refusals, shows
from tests.raw import PUBLISH, Raw, publish, text


@pytest.fixture
def client(broker: Process, name: str) -> Iterator[Raw]:
    """Yield a client of MQTT 5.0 that is subscribed to what lies below its name."""
    with broker.raw(5) as raw:
        raw.connect(name)
        raw.subscribe((f"{name}/#", 2))
        yield raw


def got(client: Raw) -> tuple[str, bytes]:
    packet = client.expect(PUBLISH)
    return packet.topic, packet.payload


# --- publish


@shows(
    "POST /mqtt/publish",
)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_message_is_published(broker: Process, client: Raw, name: str, prefix: str) -> None:
    body = {"topic": f"{name}/a", "payload": "hé", "qos": 1, "clientid": "example"}
    said = call(broker, "POST", f"{prefix}/mqtt/publish", body)
    assert (said.status, said.json) == (200, {"code": 0})
    packet = client.expect(PUBLISH)
    assert (packet.topic, packet.payload) == (f"{name}/a", "hé".encode())
    assert (packet.qos, packet.retain, packet.properties) == (1, False, b"")


def test_message_goes_to_several_topics(broker: Process, client: Raw, name: str) -> None:
    topics = f"{name}/a,{name}/b"
    done(broker, "POST", "/mqtt/publish", {"topics": topics, "payload": "x"})
    assert [got(client), got(client)] == [(f"{name}/a", b"x"), (f"{name}/b", b"x")]


@pytest.mark.parametrize(
    ("said", "content"),
    [
        ({}, b""),
        ({"payload": ""}, b""),
        ({"payload": {"a": [1, "é"]}}, '{"a":[1,"é"]}'.encode()),
        ({"payload": [1, 2]}, b"[1,2]"),
        ({"payload": 7}, b"7"),
        ({"payload": "AAH/", "encoding": "base64"}, b"\0\1\xff"),
        ({"payload": "AAH/", "encoding": "plain"}, b"AAH/"),
    ],
)
def test_payload_is_text_json_or_base64(
    broker: Process, client: Raw, name: str, said: dict[str, Any], content: bytes
) -> None:
    done(broker, "POST", "/mqtt/publish", {"topic": f"{name}/a", **said})
    assert got(client) == (f"{name}/a", content)


def test_message_can_be_retained(broker: Process, name: str) -> None:
    body = {"topic": f"{name}/kept", "payload": "x", "retain": True}
    done(broker, "POST", "/mqtt/publish", body)
    with broker.raw() as late:
        late.connect()
        late.subscribe((f"{name}/kept", 0))
        packet = late.expect(PUBLISH)
        assert (packet.payload, packet.retain) == (b"x", True)
    done(broker, "POST", "/mqtt/publish", {"topic": f"{name}/kept", "retain": True})


def test_properties_of_mqtt_5_are_sent(broker: Process, client: Raw, name: str) -> None:
    body = {
        "topic": f"{name}/a",
        "properties": {
            "payload_format_indicator": 1,
            "message_expiry_interval": 3600,
            "content_type": "text/plain",
            "response_topic": "back",
            "correlation_data": "id",
            "user_properties": {"from": "inside"},
        },
        "user_properties": {"k": "v", "many": ["1", 2], "id": 10010, "f": 0.5},
    }
    done(broker, "POST", "/mqtt/publish", body)
    properties = client.expect(PUBLISH).properties
    pairs = [("from", "inside"), ("k", "v"), ("many", "1"), ("many", "2")]
    pairs += [("id", "10010"), ("f", "0.5")]
    for expected in (
        b"\x01\x01",
        b"\x02",
        b"\x03" + text("text/plain"),
        b"\x08" + text("back"),
        b"\x09" + text("id"),
        b"".join(b"\x26" + text(key) + text(value) for key, value in pairs),
    ):
        assert expected in properties


def test_publisher_is_the_client_that_is_named(
    broker: Process, client: Raw, name: str
) -> None:
    client.send(publish(f"{name}/own", b"", 5))  # No Local is not asked for: it comes back
    assert got(client)[0] == f"{name}/own"
    with broker.raw(5) as local:
        local.connect(f"{name}-local")
        local.subscribe((f"{name}/x", 4))  # No Local
        body = {"topic": f"{name}/x", "clientid": f"{name}-local"}
        done(broker, "POST", "/mqtt/publish", body)
        local.assert_silent()
        done(broker, "POST", "/mqtt/publish", {**body, "clientid": "another"})
        assert got(local) == (f"{name}/x", b"")


def test_access_rules_count_if_asked_for(start_broker: StartBroker) -> None:
    broker = start_broker(acl_nomatch="deny")
    body = {"topic": "a", "clientid": "device"}
    done(broker, "POST", "/mqtt/publish", body)
    said = call(broker, "POST", "/api/v4/mqtt/publish", {**body, "check_acl": True})
    assert_refused(said, 400, 102, "'a': ")
    items = [{**body, "check_acl": True}, body]
    said = call(broker, "POST", "/api/v4/mqtt/publish_batch", items)
    assert said.json["data"] == [{"topic": "a", "code": 102}, {"topic": "a", "code": 0}]


def test_topic_that_is_none_is_published_nowhere(
    broker: Process, client: Raw, name: str
) -> None:
    body = {"topics": f"{name}/good,{name}/+"}
    assert_refused(call(broker, "POST", "/api/v4/mqtt/publish", body), 400, 115, "/+'")
    client.assert_silent()


# --- subscribe and unsubscribe


@shows(
    "POST /mqtt/subscribe",
    "POST /mqtt/unsubscribe",
)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_client_is_subscribed_and_unsubscribed(
    broker: Process, name: str, prefix: str
) -> None:
    with broker.raw() as raw:
        raw.connect(name)
        body = {"topics": f"{name}/a,{name}/b", "clientid": name, "qos": 1}
        said = call(broker, "POST", f"{prefix}/mqtt/subscribe", body)
        assert (said.status, said.json) == (200, {"code": 0})
        raw.assert_silent()  # it has sent no SUBSCRIBE: it gets no SUBACK
        rows = get(broker, f"/subscriptions/{name}")["data"]
        assert [(row["topic"], row["qos"]) for row in rows] == [
            (f"{name}/a", 1),
            (f"{name}/b", 1),
        ]
        body = {"topic": f"{name}/a", "clientid": name}
        for _ in range(2):  # EMQX does not tell whether there was one
            said = call(broker, "POST", f"{prefix}/mqtt/unsubscribe", body)
            assert (said.status, said.json) == (200, {"code": 0})
        rows = get(broker, f"/subscriptions/{name}")["data"]
        assert [row["topic"] for row in rows] == [f"{name}/b"]


def test_client_keeps_what_it_was_subscribed_to(broker: Process, name: str) -> None:
    with broker.raw() as raw:
        raw.connect(name, clean=False)
        done(broker, "POST", "/mqtt/subscribe", {"topic": f"{name}/k", "clientid": name})
        raw.leave()
    with broker.raw() as again:
        assert again.connect(name, clean=False).flags == 1  # session present
        done(broker, "POST", "/mqtt/publish", {"topic": f"{name}/k", "payload": "x"})
        assert got(again) == (f"{name}/k", b"x")


def test_access_rules_count_for_a_subscription(start_broker: StartBroker) -> None:
    broker = start_broker(acl_nomatch="deny")
    with broker.raw() as raw:
        raw.connect("device")
        body = {"topic": "a", "clientid": "device"}
        said = call(broker, "POST", "/api/v4/mqtt/subscribe", body)
        assert_refused(said, 400, 102, "'a': an access rule denies it")


# --- batches


@shows(
    "POST /mqtt/publish_batch",
)
def test_each_message_of_a_batch_is_told(broker: Process, client: Raw, name: str) -> None:
    items = [
        {"topic": f"{name}/1", "payload": "x", "clientid": "c"},
        {"topic": "a/#"},
        {"topic": "a", "qos": 3},
        {"payload": "x"},
        7,
        {"topic": "a", "payload": "%", "encoding": "base64"},
        {"topic": "a", "properties": {"message_expiry_interval": -1}},
        {"topics": f"{name}/2,{name}/3", "qos": 2},
    ]
    said = call(broker, "POST", "/api/v4/mqtt/publish_batch", items)
    bad = {"code": 108, "message": "bad_params"}
    assert (said.status, list(said.json), said.json["code"]) == (200, ["data", "code"], 0)
    assert said.json["data"] == [
        {"topic": f"{name}/1", "code": 0},
        {"topic": "a/#", "code": 115},
        {"topic": "a", "code": 116},
        *[bad] * 4,
        {"topic": f"{name}/2,{name}/3", "code": 0},
    ]
    assert [got(client)[0] for _ in range(3)] == [f"{name}/{n}" for n in (1, 2, 3)]


@shows(
    "POST /mqtt/subscribe_batch",
    "POST /mqtt/unsubscribe_batch",
)
def test_each_subscription_of_a_batch_is_told(broker: Process, name: str) -> None:
    node = get(broker, "/brokers")["data"][0]["node"]
    with broker.raw() as raw:
        raw.connect(name)
        items: list[Any] = [
            {"topic": f"{name}/a", "qos": 1, "clientid": name},
            {"topic": f"{name}/b", "clientid": "nobody"},
            {"topic": f"{name}/#/b", "clientid": name},
            {"topic": "x", "clientid": name, "qos": 9},
            {"topic": "x"},
        ]
        bad = {"code": 108, "message": "bad_params"}

        def row(clientid: str, topic: str, qos: int, code: int) -> dict[str, Any]:
            told = {"clientid": clientid, "node": node, "topic": topic}
            return {**told, "qos": qos, "code": code}

        said = call(broker, "POST", "/api/v4/mqtt/subscribe_batch", items)
        assert said.json["data"] == [
            row(name, f"{name}/a", 1, 0),
            row("nobody", f"{name}/b", 0, 112),
            row(name, f"{name}/#/b", 0, 115),
            row(name, "x", 9, 116),
            bad,
        ]
        assert len(get(broker, f"/subscriptions/{name}")["data"]) == 1
        said = call(broker, "POST", "/api/v4/mqtt/unsubscribe_batch", items)
        told = [row(name, f"{name}/a", 1, 0), row("nobody", f"{name}/b", 0, 112)]
        told += [row(name, f"{name}/#/b", 0, 115), row(name, "x", 9, 0)]
        for each in told:
            del each["qos"]
        assert said.json["data"] == [*told, bad]
        assert get(broker, f"/subscriptions/{name}")["data"] == []


@pytest.mark.parametrize("kind", ["publish", "subscribe", "unsubscribe"])
def test_empty_batch_does_nothing(broker: Process, kind: str) -> None:
    said = call(broker, "POST", f"/api/v4/mqtt/{kind}_batch", [])
    assert (said.status, said.json) == (200, {"data": [], "code": 0})


# --- errors

LONG = "x" * 65_536
ONLINE = {"topic": "a", "clientid": "nobody"}
REFUSED = [
    ("POST", "/mqtt/publish", {"payload": "x"}, 400, 107, "topic"),
    ("POST", "/mqtt/publish", {"topic": ""}, 400, 115, "bad_topic: ''"),
    ("POST", "/mqtt/publish", {"topic": "a/#"}, 400, 115, "bad_topic: 'a/#'"),
    ("POST", "/mqtt/publish", {"topics": "a,,b"}, 400, 115, "bad_topic: ''"),
    ("POST", "/mqtt/publish", {"topics": ",".join("a" * 1001)}, 400, 108, "1001"),
    ("POST", "/mqtt/publish", {"topic": LONG}, 400, 108, "bad_params"),
    ("POST", "/mqtt/publish", {"topic": 7}, 400, 108, "topic: "),
    ("POST", "/mqtt/publish", {"topic": "a", "qos": 3}, 400, 116, "bad_qos: 3"),
    ("POST", "/mqtt/publish", {"topic": "a", "qos": "1"}, 400, 108, "qos: "),
    ("POST", "/mqtt/publish", {"topic": "a", "retain": "yes"}, 400, 108, "retain: "),
    ("POST", "/mqtt/publish", {"topic": "a", "encoding": "hex"}, 400, 108, "encoding: "),
    (
        "POST",
        "/mqtt/publish",
        {"topic": "a", "payload": "%", "encoding": "base64"},
        400,
        108,
        "Base64",
    ),
    (
        "POST",
        "/mqtt/publish",
        {"topic": "a", "properties": {"payload_format_indicator": 2}},
        400,
        108,
        "properties.payload_format_indicator: ",
    ),
    (
        "POST",
        "/mqtt/publish",
        {"topic": "a", "properties": {"message_expiry_interval": -1}},
        400,
        108,
        "bad_params: message_expiry_interval",
    ),
    (
        "POST",
        "/mqtt/publish",
        {"topic": "a", "properties": {"response_topic": "a/+"}},
        400,
        108,
        "bad_params: ",
    ),
    (
        "POST",
        "/mqtt/publish",
        {"topic": "a", "user_properties": {"k": None}},
        400,
        108,
        "user_properties",
    ),
    ("POST", "/mqtt/publish", {"topic": "a", "clientid": LONG}, 400, 108, "client_id"),
    ("POST", "/mqtt/publish", [1], 400, 108, ""),
    ("POST", "/mqtt/subscribe", {"topic": "a"}, 400, 107, "clientid"),
    ("POST", "/mqtt/subscribe", {"clientid": "nobody"}, 400, 107, "topic"),
    ("POST", "/mqtt/subscribe", {**ONLINE, "qos": 3}, 400, 116, "bad_qos: 3"),
    ("POST", "/mqtt/subscribe", {**ONLINE, "qos": None}, 400, 108, "qos: "),
    ("POST", "/mqtt/subscribe", ONLINE, 404, 112, "'nobody' is not online"),
    (
        "POST",
        "/mqtt/subscribe",
        {"topic": "a/#/b", "clientid": "ONE"},
        400,
        115,
        "bad_topic: 'a/#/b'",
    ),
    (
        "POST",
        "/mqtt/subscribe",
        {"topic": "", "clientid": "ONE"},
        400,
        115,
        "bad_topic: ''",
    ),
    ("POST", "/mqtt/unsubscribe", {"topic": "a"}, 400, 107, "clientid"),
    ("POST", "/mqtt/unsubscribe", {"clientid": "nobody"}, 400, 107, "topic"),
    ("POST", "/mqtt/unsubscribe", ONLINE, 404, 112, "'nobody' is not online"),
    (
        "POST",
        "/mqtt/unsubscribe",
        {"topic": "a#", "clientid": "ONE"},
        400,
        115,
        "bad_topic: 'a#'",
    ),
    ("POST", "/mqtt/publish_batch", {"topic": "a"}, 400, 108, ""),
    ("POST", "/mqtt/subscribe_batch", {"topic": "a"}, 400, 108, ""),
    ("POST", "/mqtt/unsubscribe_batch", 7, 400, 108, ""),
]


@refusals(REFUSED)
def test_wrong_request_is_told_what_is_wrong(
    broker: Process, client: Raw, name: str, method: str, path: str, body: Any,
    status: int, code: int, said: str,
) -> None:  # fmt: skip
    if isinstance(body, dict) and body.get("clientid") == "ONE":
        body = {**body, "clientid": name}
    answer = call(broker, method, f"/api/v4{path}", body)
    assert_refused(answer, status, code, said)


KINDS = ["publish", "subscribe", "unsubscribe"]
PATHS = [*KINDS, *(f"{kind}_batch" for kind in KINDS)]


@pytest.mark.parametrize("path", PATHS)
def test_other_method_is_405(broker: Process, path: str) -> None:
    assert_refused(call(broker, "GET", f"/api/v4/mqtt/{path}"), 405, 102)


def test_base64_is_what_it_was(broker: Process, client: Raw, name: str) -> None:
    content = bytes(range(256)) * 8
    encoded = base64.b64encode(content).decode()
    body = {"topic": f"{name}/b", "payload": encoded, "encoding": "base64"}
    done(broker, "POST", "/mqtt/publish", body)
    assert got(client) == (f"{name}/b", content)
