"""What a Python program tells a broker to do: messages, and subscriptions of clients."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanomq_py import Broker, Config
from nanomq_py.config.keys.access import AclRule
from nanomq_py.config.keys.listeners import Listener, WebSocket
from nanomq_py.core.properties import Properties, decoded
from tests.raw import PUBLISH, Raw, text

pytestmark = pytest.mark.plain

LOCAL = Config(url="nmq-tcp://127.0.0.1:0", websocket=WebSocket(enable=False))
EXPIRES = b"\x02" + (100).to_bytes(4, "big")
TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"))
KEPT: dict[str, Any] = {"clean": False, "properties": b"\x11\xff\xff\xff\xff"}


async def test_every_property_of_a_message_reaches_a_client() -> None:
    async with Broker(LOCAL) as broker:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c")
            c.subscribe(("a", 0))
            broker.publish(
                "a",
                b"x",
                message_expiry_interval=100,
                payload_format_indicator=1,
                content_type="text/plain",
                response_topic="r/ö",
                correlation_data=b"\0\xff",
                user_properties=[("k", "1"), ("k", "2"), ("", "")],
            )
            got = c.expect(PUBLISH).properties
        users = b"".join(b"\x26" + text(k) + text(v) for k, v in ["k1", "k2"])
        assert got == (
            EXPIRES
            + b"\x01\x01\x03"
            + text("text/plain")
            + b"\x08"
            + text("r/ö")
            + b"\x09"
            + text(b"\0\xff")
            + users
            + b"\x26"
            + text("") * 2
        )


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"qos": 3}, "qos=3: expected 0, 1 or 2"),
        ({"message_expiry_interval": -1}, "message_expiry_interval=-1: expected a whole"),
        (
            {"message_expiry_interval": 2**32},
            "expected a whole number from 0 to 4294967295",
        ),
        ({"message_expiry_interval": 1.5}, "message_expiry_interval=1.5: expected a whole"),
        ({"payload_format_indicator": 2}, "payload_format_indicator=2: expected 0 or 1"),
        ({"content_type": "a\0b"}, "content_type=.*U.0000"),
        ({"content_type": "\ud800"}, "surrogates not allowed"),
        ({"response_topic": "a/+"}, "response_topic='a/.': expected a topic name"),
        ({"response_topic": ""}, "response_topic='': expected a topic name"),
        ({"correlation_data": bytes(65536)}, "correlation_data: 65536 bytes"),
        ({"user_properties": [("k", 1)]}, "user_properties: .*expected a pair of texts"),
        ({"user_properties": [("k", "\0")]}, "user_properties=.*U.0000"),
        ({"user_properties": ["ab"]}, "user_properties: 'ab': expected a pair"),
    ],
)
async def test_a_message_that_mqtt_does_not_allow_is_refused(
    wrong: dict[str, Any], why: str
) -> None:
    async with Broker(LOCAL) as broker:
        with pytest.raises(ValueError, match=why):
            broker.publish("a", b"", **wrong)


async def test_an_expired_message_is_not_delivered() -> None:
    async with Broker(LOCAL) as broker:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c")
            c.subscribe(("a", 0))
            broker.publish("a", b"gone", message_expiry_interval=0)
            broker.publish("a", b"here")
            assert c.expect(PUBLISH).payload == b"here"


# --- subscriptions of clients


async def test_a_client_is_subscribed_as_if_it_had_sent_subscribe() -> None:
    async with Broker(LOCAL) as broker:
        broker.publish("a/kept", b"1", retain=True)
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c")
            granted = await broker.subscribe_client("c", "a/#", "b", qos=1, identifier=7)
            assert granted == [1, 1]
            got = c.expect(PUBLISH)
            assert (got.payload, got.retain, got.properties) == (b"1", True, b"\x0b\x07")
            broker.publish("b", b"2", qos=2)
            got = c.expect(PUBLISH)
            assert (got.payload, got.qos, got.retain) == (b"2", 1, False)
            assert c.subscribe(("c", 2)) == [2]  # its own SUBACK says what it asked for
            assert [s.topic_filter for s in (await broker.subscriptions()).rows] == [
                "a/#",
                "b",
                "c",
            ]


async def test_a_client_is_unsubscribed_as_if_it_had_sent_unsubscribe() -> None:
    async with Broker(LOCAL) as broker:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c")
            c.subscribe(("a", 0), ("b", 0))
            assert await broker.unsubscribe_client("c", "a", "never") == [True, False]
            assert broker.publish("a", b"") == 0
            assert broker.publish("b", b"x") == 1
            assert c.expect(PUBLISH).topic == "b"


async def test_a_client_that_is_away_finds_what_it_was_subscribed_to() -> None:
    async with Broker(LOCAL) as broker:
        broker.publish("a/kept", b"1", retain=True, qos=1)
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c", **KEPT)
            await asyncio.to_thread(c.leave)
        assert await broker.subscribe_client("c", "a/#", qos=1) == [1]
        broker.publish("a/live", b"2", qos=1)
        with Raw(broker.ports["url"], 5) as c:
            assert c.connect("c", **KEPT).flags & 1 == 1
            got = {c.expect(PUBLISH).payload for _ in range(2)}
        assert got == {b"1", b"2"}


async def test_subscribing_a_client_says_why_it_cannot_be() -> None:
    config = Config(
        url="nmq-tcp://127.0.0.1:0",
        max_subscriptions=1,
        max_topic_levels=3,
        websocket=WebSocket(enable=False),
    )
    async with Broker(config) as broker:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c")

            async def refuses(
                kind: type[Exception], why: str, *filters: str, **how: Any
            ) -> None:
                with pytest.raises(kind, match=why):
                    await broker.subscribe_client("c", *filters, **how)

            with pytest.raises(KeyError, match="nobody"):
                await broker.subscribe_client("nobody", "a")
            with pytest.raises(KeyError, match="nobody"):
                await broker.unsubscribe_client("nobody", "a")
            for bad in ("", "a/#/b", "a\0", "$share", "$share/g", "1/2/3/4"):
                await refuses(ValueError, "not a valid topic filter", bad)
            with pytest.raises(ValueError, match="not a valid topic filter"):
                await broker.unsubscribe_client("c", "a+")
            await refuses(ValueError, "qos=3: expected", "a", qos=3)
            await refuses(ValueError, "retain_handling=3: expected", "a", retain_handling=3)
            await refuses(ValueError, "identifier=-1: expected", "a", identifier=-1)
            await refuses(ValueError, "argument out of range", "$share/g/a", no_local=True)
            await refuses(RuntimeError, "'b': the client has as many subscr", "a", "b")
            assert [s.topic_filter for s in (await broker.subscriptions()).rows] == ["a"]


async def test_the_mount_point_counts_for_who_is_subscribed() -> None:
    config = replace(LOCAL, listeners=(Listener(name="tcp", mountpoint="site/"),))
    async with Broker(config) as broker:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c")
            await broker.subscribe_client("c", "a", "$share/g/b")
            assert broker.publish("a", b"") == 0
            broker.publish("site/a", b"1")
            assert c.expect(PUBLISH).topic == "a"
            broker.publish("site/b", b"2")
            assert c.expect(PUBLISH).topic == "b"


async def test_what_rules_deny_is_not_subscribed_for_a_client() -> None:
    rule = AclRule(permit="deny", action="subscribe", clientid="c", topics=("a/#",))
    async with Broker(replace(LOCAL, acl_rules=(rule,))) as broker:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c")
            with pytest.raises(PermissionError, match="'a/b': an access rule denies it"):
                await broker.subscribe_client("c", "a/b")
            assert await broker.subscribe_client("c", "b") == [0]


@given(
    st.builds(
        Properties,
        st.none() | st.integers(0, 1),
        st.none() | TEXT,
        st.none() | st.text("ab/$", min_size=1),
        st.none() | st.binary(),
        st.lists(st.tuples(TEXT, TEXT)).map(tuple),
    )
)
def test_properties_are_read_as_they_were_written(properties: Properties) -> None:
    block = properties.encoded()
    while block and block[0] & 128:
        block = block[1:]
    assert decoded(block[1:]) == properties
