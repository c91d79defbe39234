"""Events: each kind, each reason, and nothing for which nobody has asked."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from nanomq_py import Broker, Config, Identity
from nanomq_py.config.keys.access import AclRule, User
from nanomq_py.config.keys.listeners import Listener, WebSocket
from nanomq_py.core.declared_events import KINDS, Why
from nanomq_py.events import (
    AccessDenied,
    Acked,
    AuthFailed,
    Connected,
    Delivered,
    Disconnected,
    Dropped,
    Event,
    Events,
    Expired,
    FirstSubscription,
    LastSubscription,
    SessionEnded,
    Subscribed,
    Unsubscribed,
)
from tests.raw import (
    CONNACK,
    DISCONNECT,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    UNSUBACK,
    Raw,
    ack,
    disconnect,
    unsubscribe,
)

LOCAL = Config(url="nmq-tcp://127.0.0.1:0", websocket=WebSocket(enable=False))
KEPT: dict[str, Any] = {"clean": False, "properties": b"\x11\xff\xff\xff\xff"}
E = TypeVar("E", bound=Event)


async def of(events: Events[E]) -> E:
    """Return the next one."""
    return await asyncio.wait_for(anext(events), 20)


async def rest_of(events: Events[E]) -> list[E]:
    """Return those that are left, and close."""
    events.close()
    return [event async for event in events]


def who(client: Raw, client_id: str, user_name: str | None = None) -> Identity:
    address = f"127.0.0.1:{client.sock.getsockname()[1]}"
    return Identity(client_id, user_name, address, "tcp")


# --- connected, disconnected


@pytest.mark.parametrize("version", [3, 4, 5])
async def test_connected(version: int) -> None:
    async with Broker(LOCAL) as broker, broker.events([Connected]) as events:
        with Raw(broker.ports["url"], version) as c:
            c.connect("c", user="u", keep_alive=33)
            event = await of(events)
            assert event.client == who(c, "c", "u")
            assert (event.version, event.keep_alive_s) == (version, 33)
            assert (event.clean_start, event.session_present) == (True, False)


async def test_connected_says_whether_a_session_was_taken_up() -> None:
    async with Broker(LOCAL) as broker, broker.events([Connected]) as events:
        for present in (False, True):
            with Raw(broker.ports["url"], 5) as c:
                c.connect("c", **KEPT)
                event = await of(events)
                assert (event.session_present, event.clean_start) == (present, False)
                assert event.expiry_interval_s == 0xFFFFFFFF
                await asyncio.to_thread(c.leave)


def take_over(broker: Broker, client: Raw) -> None:
    with Raw(broker.ports["url"], 5) as other:
        other.connect("c")
        client.read_until_closed()


Ends = Callable[[Broker, Raw], None]
ENDS: list[tuple[str, Why, int, Ends]] = [
    ("it sent DISCONNECT", Why.CLIENT, 0, lambda b, c: c.send(disconnect(5))),
    ("it sent DISCONNECT", Why.CLIENT, 4, lambda b, c: c.send(disconnect(5, 4))),
    ("", Why.NETWORK, 0, lambda b, c: c.sock.shutdown(2)),
    ("administrative action", Why.BROKER, 0x98, lambda b, c: b.kick("c")),
    (
        "more PUBLISH|Protocol|type not allowed",
        Why.BROKER,
        0x82,
        lambda b, c: c.send(b"\x10\0"),
    ),
    (
        "taken over",
        Why.BROKER,
        0x8E,
        take_over,
    ),
]


@pytest.mark.parametrize(("reason", "ended_by", "code", "end"), ENDS)
async def test_disconnected_says_who_ended_it_and_why(
    reason: str, ended_by: Why, code: int, end: Ends
) -> None:
    async with Broker(LOCAL) as broker, broker.events([Disconnected]) as events:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c")
            me = who(c, "c")
            await asyncio.to_thread(end, broker, c)
            while (event := await of(events)).client != me:  # of another connection
                pass
        assert (event.client, event.ended_by, event.reason_code) == (me, ended_by, code)
        assert any(word in event.reason for word in reason.split("|"))


async def test_disconnected_of_a_client_that_is_silent() -> None:
    async with Broker(LOCAL) as broker, broker.events([Disconnected]) as events:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c", keep_alive=1)
            event = await of(events)
            assert (event.ended_by, event.reason_code) == (Why.BROKER, 0x8D)


async def test_disconnected_when_the_broker_stops() -> None:
    async with Broker(LOCAL) as broker:
        events = broker.events([Disconnected])
        c = Raw(broker.ports["url"], 5)
        c.connect("c")
    (event,) = [event async for event in events]
    assert (event.ended_by, event.reason_code) == (Why.BROKER, 0x8B)
    c.close()


# --- subscribed, unsubscribed


async def test_subscribed_and_unsubscribed_by_the_client() -> None:
    async with Broker(LOCAL) as broker:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c")
            async with broker.events([Subscribed, Unsubscribed]) as events:
                c.subscribe(("a/#", 1 | 4 | 8 | 2 << 4), properties=b"\x0b\x07")
                event = await of(events)
                assert isinstance(event, Subscribed)
                assert (event.client, event.topic_filter) == (who(c, "c"), "a/#")
                assert (event.qos, event.no_local, event.retain_as_published) == (1, 1, 1)
                assert (event.retain_handling, event.identifier) == (2, 7)
                c.send(unsubscribe(1, "a/#", "never", version=5))
                c.expect(UNSUBACK)
                gone = await of(events)
                assert isinstance(gone, Unsubscribed)
                assert (gone.client, gone.topic_filter) == (who(c, "c"), "a/#")
                assert gone.why is Why.CLIENT
                assert await rest_of(events) == []


async def test_subscriptions_that_a_program_makes_are_told_too() -> None:
    async with Broker(LOCAL) as broker:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c")
            async with broker.events([Subscribed, Unsubscribed]) as events:
                await broker.subscribe_client("c", "$share/g/a", qos=2)
                await broker.unsubscribe_client("c", "$share/g/a")
                made, gone = await of(events), await of(events)
        assert isinstance(made, Subscribed)
        assert isinstance(gone, Unsubscribed)
        assert (made.topic_filter, made.qos) == ("$share/g/a", 2)
        assert gone.why is Why.PROGRAM


async def test_subscriptions_end_with_their_session_and_with_their_right() -> None:
    async with Broker(LOCAL) as broker, broker.events([Unsubscribed]) as events:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c")
            c.subscribe(("a", 0), ("b", 0))
            rule = AclRule(permit="deny", topics=("a",))
            await broker.reconfigure(replace(LOCAL, acl_rules=(rule,)))
            assert ((event := await of(events)).topic_filter, event.why) == ("a", Why.RULES)
            await asyncio.to_thread(c.leave)
            event = await of(events)
            assert (event.topic_filter, event.why) == ("b", Why.SESSION_ENDED)


async def test_a_subscription_that_only_moves_is_not_told() -> None:
    async with Broker(LOCAL) as broker:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c", **KEPT)
            c.subscribe(("a", 0))
            await asyncio.to_thread(c.leave)
        events = broker.events([Subscribed, Unsubscribed])
        moved = replace(LOCAL, listeners=(Listener(name="tcp", mountpoint="m/"),))
        await broker.reconfigure(moved)
        assert [s.topic_filter for s in (await broker.subscriptions()).rows] == ["m/a"]
        assert broker.publish("m/a", b"") == 0  # QoS 0, away
        assert await rest_of(events) == []


# --- delivered, acked


async def test_delivered_and_acked_at_each_qos() -> None:
    async with Broker(LOCAL) as broker:
        with Raw(broker.ports["url"], 5) as c, Raw(broker.ports["url"], 5) as p:
            c.connect("c")
            c.subscribe(("#", 2))
            p.connect("p", user="u")
            async with broker.events([Delivered, Acked]) as events:
                for qos in (0, 1, 2):
                    p.publish("a", b"%d" % qos, qos=qos, packet_id=1)
                    got = c.expect(PUBLISH)
                    event = await of(events)
                    assert isinstance(event, Delivered)
                    assert (event.client, event.qos) == (who(c, "c"), qos)
                    assert (event.retain, event.dup) == (False, False)
                    assert event.message.publisher == who(p, "p", "u")
                    assert (event.message.topic_name, event.message.payload) == (
                        "a",
                        b"%d" % qos,
                    )
                    if qos == 1:
                        c.send(ack(PUBACK, got.packet_id))
                    if qos == 2:
                        p.expect(PUBREC)
                        p.send(ack(PUBREL, 1))
                        p.expect(PUBCOMP)
                        c.send(ack(PUBREC, got.packet_id))
                        c.expect(PUBREL)
                        c.send(ack(PUBCOMP, got.packet_id))
                    if qos > 0:
                        done = await of(events)
                        assert isinstance(done, Acked)
                        assert (done.client, done.reason_code) == (who(c, "c"), 0)
                        assert done.message.payload == b"%d" % qos
                    if qos == 1:
                        p.expect(PUBACK)
                c.ping()
                assert await rest_of(events) == []  # PUBCOMP acknowledges no message


async def test_acked_says_that_the_client_did_not_take_it() -> None:
    async with Broker(LOCAL) as broker, broker.events([Acked]) as events:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c")
            c.subscribe(("a", 2))
            for qos, kind in ((1, PUBACK), (2, PUBREC)):
                broker.publish("a", b"", qos=qos)
                c.send(ack(kind, c.expect(PUBLISH).packet_id, 0x99))
                assert (await of(events)).reason_code == 0x99


async def test_what_waits_and_what_is_retained_is_delivered_when_it_is_sent() -> None:
    async with Broker(LOCAL) as broker:
        broker.publish("a", b"kept", qos=1, retain=True)
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c", **KEPT)
            events = broker.events([Delivered])
            c.subscribe(("a", 1))
            c.expect(PUBLISH)
            event = await of(events)
            assert (event.message.payload, event.retain) == (b"kept", True)
            await asyncio.to_thread(c.leave)
        broker.publish("a", b"later", qos=1)
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c", **KEPT)
            again, later = await of(events), await of(events)
            assert (again.message.payload, again.dup) == (b"kept", True)
            assert (later.message.payload, later.dup) == (b"later", False)
            assert later.client == who(c, "c")
        events.close()


# --- dropped


async def lost(config: Config, act: Callable[[Broker], Awaitable[None]]) -> Dropped:
    """Return the one event of what happens there."""
    async with Broker(config) as broker:
        events = broker.events([Dropped])
        await act(broker)
        event = await of(events)
        assert await rest_of(events) == []
        return event


async def test_dropped_because_the_queue_is_full() -> None:
    async def act(broker: Broker) -> None:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c", **KEPT)
            c.subscribe(("a", 1))
            await asyncio.to_thread(c.leave)
        for n in range(3):
            broker.publish("a", b"%d" % n, qos=1)

    event = await lost(replace(LOCAL, msq_len=2), act)
    assert event.client is not None
    assert (event.client.client_id, event.why) == ("c", Why.QUEUE_FULL)
    assert event.message.payload == b"2"


async def test_dropped_because_the_client_is_away() -> None:
    async def act(broker: Broker) -> None:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c", **KEPT)
            c.subscribe(("a", 0))
            await asyncio.to_thread(c.leave)
        broker.publish("a", b"")

    assert (await lost(LOCAL, act)).why is Why.AWAY


@pytest.mark.parametrize("qos", [0, 1])
async def test_dropped_because_it_is_too_large(qos: int) -> None:
    async def act(broker: Broker) -> None:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c", properties=b"\x27\0\0\0\x40")  # Maximum Packet Size 64
            c.subscribe(("a", 1))
            broker.publish("a", bytes(100), qos=qos)

    assert (await lost(LOCAL, act)).why is Why.TOO_LARGE


async def test_dropped_when_it_leaves_the_queue_because_it_is_too_large_by_then() -> None:
    async with Broker(LOCAL) as broker:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c", **KEPT)
            c.subscribe(("a", 1))
            await asyncio.to_thread(c.leave)
        broker.publish("a", bytes(100), qos=1)
        async with broker.events([Dropped]) as events:
            with Raw(broker.ports["url"], 5) as c:
                small = KEPT["properties"] + b"\x27\0\0\0\x40"
                c.connect("c", clean=False, properties=small)
                assert (await of(events)).why is Why.TOO_LARGE


async def test_dropped_because_nobody_subscribed() -> None:
    async def act(broker: Broker) -> None:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c")
            c.publish("a", b"x", qos=1, packet_id=1)
            assert c.expect(PUBACK).reason == 0x10

    event = await lost(LOCAL, act)
    assert (event.client, event.why) == (None, Why.NO_SUBSCRIBER)
    assert event.message.publisher is not None
    assert event.message.publisher.client_id == "c"


async def test_dropped_because_the_session_ends() -> None:
    async def act(broker: Broker) -> None:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c", **KEPT)
            c.subscribe(("a", 1))
            await asyncio.to_thread(c.leave)
        broker.publish("a", b"waits", qos=1)
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c")  # a clean start

    event = await lost(LOCAL, act)
    assert (event.why, event.message.payload) == (Why.SESSION_ENDED, b"waits")


async def test_dropped_because_the_rules_do_not_allow_it_any_more() -> None:
    async def act(broker: Broker) -> None:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c", **KEPT)
            c.subscribe(("a", 1))
            await asyncio.to_thread(c.leave)
        broker.publish("a", b"waits", qos=1)
        rule = AclRule(permit="deny", topics=("a",))
        await broker.reconfigure(replace(LOCAL, acl_rules=(rule,)))

    assert (await lost(LOCAL, act)).why is Why.RULES


async def test_dropped_because_as_much_is_retained_as_may_be() -> None:
    async def act(broker: Broker) -> None:
        with Raw(broker.ports["url"], 5) as c, Raw(broker.ports["url"], 5) as s:
            s.connect("s")
            s.subscribe(("#", 0))
            c.connect("c")
            for n in range(2):
                c.publish(f"a/{n}", b"x", qos=1, packet_id=n + 1, retain=True)
                c.expect(PUBACK)

    event = await lost(replace(LOCAL, max_retained_messages=1), act)
    assert (event.client, event.why) == (None, Why.RETAINED_FULL)


async def test_dropped_because_the_client_reads_too_slowly() -> None:
    config = replace(LOCAL, max_outgoing_size=1 << 16, slow_consumer_time=200)
    async with Broker(config) as broker, broker.events([Dropped]) as events:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c")
            c.subscribe(("a", 0))

            async def flood() -> None:
                while True:
                    broker.publish("a", bytes(1 << 16))
                    await asyncio.sleep(0)

            task = asyncio.create_task(flood())
            event = await of(events)
            task.cancel()
        assert (event.client and event.client.client_id, event.why) == (
            "c",
            Why.SLOW_READER,
        )


# --- expired


async def a_second_passes(broker: Broker) -> None:
    """Return when a will is sent that waited for a second of the broker's clock."""
    async with broker.subscribe("passed") as tap:
        with Raw(broker.ports["url"], 5) as c:
            will = ("passed", b"", 0, False)
            c.connect("clock", **KEPT, will=will, will_properties=b"\x18\0\0\0\x01")
        await asyncio.wait_for(anext(tap), 20)


async def test_expired_before_it_came_and_while_it_waited() -> None:
    async with Broker(LOCAL) as broker, broker.events([Expired]) as events:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c", **KEPT)
            c.subscribe(("a", 1))
            broker.publish("a", b"at once", qos=1, message_expiry_interval=0)
            event = await of(events)
            assert (event.client, event.message.payload) == (who(c, "c"), b"at once")
            await asyncio.to_thread(c.leave)
        broker.publish("a", b"waits", qos=1, message_expiry_interval=1)
        await a_second_passes(broker)
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c", **KEPT)
            event = await of(events)
            assert (event.client, event.message.payload) == (who(c, "c"), b"waits")
            assert event.message.message_expiry_interval == 0


async def test_expired_tells_of_a_retained_message_that_the_broker_gives_up() -> None:
    async with Broker(LOCAL) as broker, broker.events([Expired]) as events:
        broker.publish("a", b"kept", retain=True, message_expiry_interval=1)
        broker.publish("b", b"longer", retain=True, message_expiry_interval=100)
        event = await of(events)
        assert (event.client, event.message.payload) == (None, b"kept")
        assert event.message.retain
        page = await broker.retained(limit=1000)
        assert {row.topic_name for row in page.rows} & {"a", "b"} == {"b"}
        assert await rest_of(events) == []


# --- sessions


async def test_session_ended_says_why() -> None:
    async with Broker(LOCAL) as broker, broker.events([SessionEnded]) as events:
        port = broker.ports["url"]
        with Raw(port, 5) as c:
            c.connect("normal", clean=True)
        with Raw(port, 5) as c:
            c.connect("expired", properties=b"\x11" + (1).to_bytes(4, "big"))
        with Raw(port, 5) as c:
            c.connect("discarded", properties=b"\x11" + (100).to_bytes(4, "big"))
        with Raw(port, 5) as c:
            c.connect("kept", properties=b"\x11" + (100).to_bytes(4, "big"))
        with Raw(port, 5) as c:
            c.connect("discarded", properties=b"\x11" + (100).to_bytes(4, "big"))
            ended = [await of(events) for _ in range(3)]
            found = {(event.client.client_id, event.reason) for event in ended}
        assert found == {(word, word) for word in ("normal", "expired", "discarded")}
        await broker.discard("kept")
        assert (await of(events)).reason == "kicked"


# --- who may not


async def test_auth_failed_says_who_it_was_said_to_be() -> None:
    config = replace(
        LOCAL, users=(User(login="ann", password="right"),), allow_anonymous=False
    )
    async with Broker(config) as broker, broker.events([AuthFailed]) as events:
        for user, password in (("ann", b"wrong"), (None, None)):
            with Raw(broker.ports["url"], 5) as c:
                got = await asyncio.to_thread(
                    c.connect, "c", user=user, password=password, keep_alive=7
                )
                event = await of(events)
                assert event.client == who(c, "c", user)
                assert event.reason_code == got.reason
                assert event.reason
                assert (event.version, event.keep_alive_s) == (5, 7)
        with Raw(broker.ports["url"], 5) as c:
            got = await asyncio.to_thread(c.connect, "c", user="ann", password=b"right")
            assert got.reason == 0
        assert await rest_of(events) == []


RULES = (AclRule(permit="deny", clientid="c", topics=("no/#",)),)


@pytest.mark.parametrize("action", ["ignore", "disconnect"])
async def test_access_denied_says_what_was_tried(action: str) -> None:
    config = replace(LOCAL, acl_rules=RULES, acl_deny_action=action)
    async with Broker(config) as broker, broker.events([AccessDenied]) as events:
        for tried in (Why.PUBLISH, Why.SUBSCRIBE, Why.WILL):
            with Raw(broker.ports["url"], 5) as c:
                if tried is Why.WILL:
                    assert c.connect("c", will=("no/x", b"", 0, False)).kind == CONNACK
                else:
                    c.connect("c")
                if tried is Why.PUBLISH:
                    c.publish("no/x", b"", qos=1, packet_id=1)
                    c.read()
                if tried is Why.SUBSCRIBE and action == "ignore":
                    assert c.subscribe(("no/x", 0), ("yes", 0)) == [0x87, 0]
                elif tried is Why.SUBSCRIBE:
                    with pytest.raises(
                        AssertionError, match=f"got Packet.kind={DISCONNECT}"
                    ):
                        c.subscribe(("no/x", 0))
                event = await of(events)
                assert (event.client, event.topic) == (who(c, "c"), "no/x")
                assert event.action is tried
        assert await rest_of(events) == []


async def test_access_denied_to_topics_of_the_broker() -> None:
    async with Broker(LOCAL) as broker, broker.events([AccessDenied]) as events:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c")
            c.publish("$SYS/x", b"")
            event = await of(events)
            assert (event.topic, event.action) == ("$SYS/x", Why.PUBLISH)


# --- asking


async def test_what_nobody_asks_for_is_not_recorded() -> None:
    async with Broker(LOCAL) as broker:
        one = broker.events([Connected])
        two = broker.events([Connected, Disconnected])
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c")
            c.subscribe(("a", 1))
            c.publish("a", b"", qos=0)
            c.expect(PUBLISH)
            await asyncio.to_thread(c.leave)
        kinds = [type(event) for event in await rest_of(two)]
        assert kinds == [Connected, Disconnected]
        with Raw(broker.ports["url"], 5) as c:
            c.connect("d")
            await asyncio.to_thread(c.leave)
        assert [event.client.client_id for event in await rest_of(one)] == ["c", "d"]
        with Raw(broker.ports["url"], 5) as c:
            c.connect("e")
        assert broker.stats().events_dropped == 0


async def test_what_finds_no_room_is_counted_and_told() -> None:
    async with Broker(LOCAL) as broker:
        events = broker.events([Delivered])
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c")
            c.subscribe(("a", 0))
            for _ in range(20):
                broker.publish("a", bytes(1 << 20))
                await asyncio.to_thread(c.expect, PUBLISH)
        assert 0 < events.dropped < 20
        assert len(await rest_of(events)) == 20 - events.dropped


async def test_kinds_that_are_none_are_refused() -> None:
    async with Broker(LOCAL) as broker:
        with pytest.raises(ValueError, match="expected one or more"):
            broker.events([])
        with pytest.raises(ValueError, match="expected a kind of event"):
            broker.events([Event])
        with pytest.raises(ValueError, match="expected a kind of event"):
            broker.events([int])  # type: ignore[type-var]


async def test_every_kind_can_be_asked_for_at_once() -> None:
    async with Broker(LOCAL) as broker, broker.events(KINDS) as events:
        with Raw(broker.ports["url"], 4) as c:
            c.connect("c")
            c.subscribe(("a", 0))
            c.publish("a", b"")
            c.expect(PUBLISH)
            await asyncio.to_thread(c.leave)
        first = [FirstSubscription, Subscribed]
        last = [Disconnected, SessionEnded, Unsubscribed, LastSubscription]
        got = [type(await of(events)) for _ in range(8)]
        assert got == [Connected, *first, Delivered, *last]


def test_who_asks_for_no_events_does_not_load_them() -> None:
    code = "import nanomq_py.broker, sys; print([m for m in sys.modules if 'event' in m])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "nanomq_py" not in done.stdout


async def test_each_message_is_delivered_or_dropped() -> None:
    """What happens to messages adds up, whatever the client does meanwhile."""
    count = 300
    async with Broker(replace(LOCAL, msq_len=20)) as broker:
        kinds: list[type[Event]] = [Delivered, Dropped, Acked]
        events = broker.events(kinds)
        heard = 0
        with Raw(broker.ports["url"], 5) as p:
            p.connect("p")
            for round_ in range(6):
                with Raw(broker.ports["url"], 5) as c:
                    c.connect("c", **KEPT)
                    if round_ == 0:
                        c.subscribe(("a", 1))
                    for _ in range(round_ * 3):
                        c.send(ack(PUBACK, c.expect(PUBLISH).packet_id))
                        heard += 1
                    await asyncio.to_thread(c.leave)
                for n in range(count // 6):
                    p.publish("a", b"%d-%d" % (round_, n), qos=1, packet_id=n + 1)
                    assert p.expect(PUBACK).reason == 0
            with Raw(broker.ports["url"], 5) as c:  # the rest
                c.connect("c")
        told = await rest_of(events)
        acked = [e.message.payload for e in told if isinstance(e, Acked)]
        dropped = [e.message.payload for e in told if isinstance(e, Dropped)]
        sent = {e.message.payload for e in told if isinstance(e, Delivered)}
        assert len(acked) == len(set(acked)) == heard
        assert set(acked) <= sent
        assert len(sent | set(dropped)) == count
        assert len(dropped) == len(set(dropped))
        assert {e.why for e in told if isinstance(e, Dropped)} == {
            Why.QUEUE_FULL,
            Why.SESSION_ENDED,
        }
