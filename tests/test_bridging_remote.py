"""The other broker of a bridge, by hand: its limits are kept, its faults are told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from nanomq_py import Broker
from nanomq_py.core.bridging import BridgeState, Cause, Rule
from tests import raw
from tests.bridges import BOTH, BRIDGE, Bridge, Remote, read, take
from tests.eventually import eventually_on_loop
from tests.raw import (
    CONNACK,
    DISCONNECT,
    PINGREQ,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    SUBSCRIBE,
    UNSUBSCRIBE,
    Raw,
)
from tests.test_broker import LOCAL

NO_RULES = replace(BRIDGE, forwards=(), subscriptions=())
SENDS = replace(BRIDGE, subscriptions=())
RECEIVE_MAXIMUM = b"\x21"
MAXIMUM_QOS = b"\x24"
RETAIN_AVAILABLE = b"\x25"
MAXIMUM_PACKET_SIZE = b"\x27"


@pytest.fixture
async def edge() -> AsyncIterator[Broker]:
    async with Broker(LOCAL) as running:
        yield running


@pytest.fixture
def remotes() -> Iterator[list[Remote]]:
    made: list[Remote] = []
    yield made
    for remote in made:
        remote.close()


@pytest.fixture
def remote(remotes: list[Remote]) -> Remote:
    remotes.append(Remote(5))
    return remotes[-1]


@pytest.fixture
def remote_of(remotes: list[Remote], version: int) -> Remote:
    remotes.append(Remote(version))
    return remotes[-1]


async def subscribed(conn: Raw) -> raw.Packet:
    """Answer the SUBSCRIBE that comes."""
    got = await read(conn, SUBSCRIBE)
    body = got.body[:2] + raw.props(conn.version) + b"\2"
    conn.send(raw.packet(SUBACK, body))
    return got


# --- what it says


async def test_a_bridge_of_3_1_1_says_so_in_its_protocol_level(
    edge: Broker, remotes: list[Remote]
) -> None:
    for bit, level in ((True, 0x84), (False, 4)):
        remotes.append(Remote(4))
        name = f"bit-{bit}"
        bridge = Bridge(edge, replace(NO_RULES, name=name, version=4, bridge_bit=bit))
        bridge.dial(remotes[-1].port)
        _, connect = await remotes[-1].accept()
        assert connect.body[:7] == b"\0\4MQTT" + bytes([level])


async def test_subscriptions_of_5_0_get_nothing_back_and_retain_as_published(
    edge: Broker, remote: Remote
) -> None:
    bridge = Bridge(edge, BRIDGE)
    bridge.dial(remote.port)
    conn = await remote.let_in()
    got = await subscribed(conn)
    assert got.body[3:] == raw.text("cmd/#") + bytes([2 | 4 | 8 | 1 << 4])
    bridge.put(replace(BRIDGE, subscriptions=(Rule("x"),)))
    ended = await read(conn, UNSUBSCRIBE)
    assert ended.body[3:] == raw.text("cmd/#")
    got = await read(conn, SUBSCRIBE)
    assert got.body[3:] == raw.text("x") + bytes([4 | 8])


async def test_a_subscription_that_is_refused_is_told(edge: Broker, remote: Remote) -> None:
    bridge = Bridge(edge, BRIDGE)
    bridge.dial(remote.port)
    conn = await remote.let_in()
    got = await read(conn, SUBSCRIBE)
    conn.send(raw.packet(SUBACK, got.body[:2] + b"\0\x87"))
    await eventually_on_loop(
        lambda: (news := bridge.look()) and (news.cause, news.code),
        (Cause.SUBACK, 0x87),
    )
    assert bridge.stats.state == BridgeState.UP


async def test_keep_alive_is_kept_and_silence_ends_it(edge: Broker, remote: Remote) -> None:
    """[MQTT-3.1.2-20]: PINGREQ goes; who does not answer for 1.5 times is given up."""
    bridge = Bridge(edge, replace(NO_RULES, keep_alive_s=1))
    bridge.dial(remote.port)
    conn = await remote.let_in()
    await read(conn, PINGREQ)
    news = await bridge.down()
    assert (news.cause, news.code) == (Cause.US, 0x8D)
    assert news.why == "the other broker is silent"


# --- its limits


async def test_no_more_is_in_flight_than_receive_maximum_says(
    edge: Broker, remote: Remote
) -> None:
    """[MQTT-4.9.0-1]."""
    bridge = Bridge(edge, SENDS)
    for n in range(10):
        edge.publish("out/x", b"%d" % n, qos=1)
    bridge.dial(remote.port)
    conn = await remote.let_in(properties=RECEIVE_MAXIMUM + b"\0\3")
    first = [await read(conn, PUBLISH) for _ in range(3)]
    assert [p.payload for p in first] == [b"0", b"1", b"2"]
    assert not conn.hears_within(0.1)
    assert bridge.stats.in_flight == 3
    conn.send(raw.ack(PUBACK, first[0].packet_id))
    assert (await read(conn, PUBLISH)).payload == b"3"


async def test_what_is_too_large_for_it_is_dropped_and_counted(
    edge: Broker, remote: Remote
) -> None:
    """[MQTT-3.1.2-24]."""
    bridge = Bridge(edge, SENDS)
    edge.publish("out/x", bytes(2000), qos=1)
    edge.publish("out/x", b"small", qos=1)
    bridge.dial(remote.port)
    conn = await remote.let_in(properties=MAXIMUM_PACKET_SIZE + b"\0\0\4\0")
    assert (await read(conn, PUBLISH)).payload == b"small"
    assert bridge.stats.dropped == 1


async def test_its_maximum_qos_and_retain_available_are_met(
    edge: Broker, remote: Remote
) -> None:
    """[MQTT-3.2.2-11] [MQTT-3.2.2-14]: of what waits, and of what comes."""
    bridge = Bridge(edge, SENDS)
    edge.publish("out/x", b"waits", qos=2, retain=True)
    bridge.dial(remote.port)
    conn = await remote.let_in(properties=MAXIMUM_QOS + b"\1" + RETAIN_AVAILABLE + b"\0")
    got = await read(conn, PUBLISH)
    assert (got.payload, got.qos, got.retain) == (b"waits", 1, False)
    conn.send(raw.ack(PUBACK, got.packet_id))
    edge.publish("out/x", b"comes", qos=2)
    got = await read(conn, PUBLISH)
    assert (got.payload, got.qos) == (b"comes", 1)
    conn.send(raw.ack(PUBACK, got.packet_id))
    await bridge.rests()


async def test_one_that_takes_qos_0_alone_is_not_used_for_more(
    edge: Broker, remote: Remote
) -> None:
    bridge = Bridge(edge, SENDS)
    bridge.dial(remote.port)
    await remote.let_in(properties=MAXIMUM_QOS + b"\0")
    news = await bridge.down()
    assert (news.cause, news.code) == (Cause.US, 0x9B)
    edge.publish("out/x", b"waits", qos=1)
    bridge.put(NO_RULES)
    bridge.dial(remote.port)
    await remote.let_in(properties=MAXIMUM_QOS + b"\0")
    assert (await bridge.down(2)).code == 0x9B
    assert bridge.stats.waiting == 1


# --- again


@BOTH
async def test_what_was_not_acknowledged_goes_again_in_order(
    edge: Broker, remote_of: Remote, version: int
) -> None:
    """[MQTT-4.4.0-1] [MQTT-4.6.0-1]; after PUBREC it is PUBREL [MQTT-4.3.3-6]."""
    bridge = Bridge(edge, replace(SENDS, version=version))
    bridge.dial(remote_of.port)
    conn = await remote_of.let_in()
    for n in range(4):
        edge.publish("out/x", b"%d" % n, qos=2 if n == 1 else 1)
    first = [await read(conn, PUBLISH) for _ in range(4)]
    conn.send(raw.ack(PUBACK, first[0].packet_id), raw.ack(PUBREC, first[1].packet_id))
    await read(conn, PUBREL)
    conn.sock.close()
    await bridge.down()
    edge.publish("out/x", b"4", qos=1)
    bridge.dial(remote_of.port)
    conn = await remote_of.let_in(session_present=True)
    released = await read(conn, PUBREL)
    assert released.packet_id == first[1].packet_id
    again = [await read(conn, PUBLISH) for _ in range(3)]
    assert [(p.payload, p.dup, p.packet_id) for p in again[:2]] == [
        (p.payload, True, p.packet_id) for p in first[2:]
    ]
    assert (again[2].payload, again[2].dup) == (b"4", False)
    conn.send(raw.ack(PUBCOMP, released.packet_id))
    conn.send(*(raw.ack(PUBACK, p.packet_id) for p in again))
    await bridge.rests()


@BOTH
async def test_one_that_has_lost_the_session_gets_it_as_new_but_what_it_had(
    edge: Broker, remote_of: Remote, version: int
) -> None:
    """Session Present 0: no DUP, and what PUBREC came for is not sent once more."""
    bridge = Bridge(edge, replace(SENDS, version=version))
    bridge.dial(remote_of.port)
    conn = await remote_of.let_in()
    for n in range(3):
        edge.publish("out/x", b"%d" % n, qos=2)
    first = [await read(conn, PUBLISH) for _ in range(3)]
    conn.send(raw.ack(PUBREC, first[0].packet_id))
    await read(conn, PUBREL)
    conn.sock.close()
    await bridge.down()
    bridge.dial(remote_of.port)
    conn = await remote_of.let_in()
    again = [await read(conn, PUBLISH) for _ in range(2)]
    assert [(p.payload, p.dup) for p in again] == [(b"1", False), (b"2", False)]
    assert bridge.stats.in_flight == 2


async def test_a_message_at_qos_2_that_comes_again_is_taken_once(
    edge: Broker, remote: Remote
) -> None:
    """[MQTT-4.3.3-10]: over a connection that was cut too."""
    bridge = Bridge(edge, BRIDGE)
    message = raw.publish("cmd/x", b"once", 5, qos=2, packet_id=7)
    again = raw.publish("cmd/x", b"once", 5, qos=2, packet_id=7, dup=True)
    async with edge.subscribe("from/#", qos=2) as here:
        bridge.dial(remote.port)
        conn = await remote.let_in()
        await subscribed(conn)
        conn.send(message, again)
        await read(conn, PUBREC)
        await read(conn, PUBREC)
        conn.sock.close()
        await bridge.down()
        bridge.dial(remote.port)
        conn = await remote.let_in(session_present=True)
        await subscribed(conn)
        conn.send(again, raw.ack(PUBREL, 7))
        await read(conn, PUBREC)
        assert (await read(conn, PUBCOMP)).reason == 0
        conn.send(message)  # its identifier means a new one now
        await read(conn, PUBREC)
        edge.publish("from/end", b"end")
        got = [m.payload for m in await take(here, 3)]
    assert got == [b"once", b"once", b"end"]


async def test_messages_that_have_no_place_here_are_acknowledged_and_counted(
    edge: Broker, remote: Remote
) -> None:
    rules = (Rule("cmd/#", "cmd/", ""), Rule("sys", fixed=True, put_on="$SYS/x"))
    bridge = Bridge(edge, replace(BRIDGE, subscriptions=rules))
    bridge.dial(remote.port)
    conn = await remote.let_in()
    await read(conn, SUBSCRIBE)
    for at, topic in enumerate(("other", "sys", "cmd"), 1):
        conn.send(raw.publish(topic, b"", 5, qos=1, packet_id=at))
        assert (await read(conn, PUBACK)).packet_id == at
    assert (bridge.stats.received, bridge.stats.refused) == (3, 3)


# --- its faults

ACK_BEFORE = raw.ack(PUBACK, 1)
FAULTS = {
    "no packet": b"\xff\xff\xff\xff\xff\xff",
    "a server of HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "PUBLISH before CONNACK": raw.publish("a", b"", 5),
    "CONNACK with bad flags": raw.packet(CONNACK, b"\xfe\0\0"),
    "CONNACK that is cut": raw.packet(CONNACK, b"\0"),
    "Session Present and a fault": raw.packet(CONNACK, b"\1\x87\0"),
    "an unknown code": raw.packet(CONNACK, b"\0\x42\0"),
    "SUBACK before CONNACK": raw.packet(SUBACK, b"\0\1\0\0"),
    "DISCONNECT before CONNACK": raw.packet(DISCONNECT),
    "a huge packet": b"\x20\xff\xff\xff\x7f",
    "a property twice": raw.packet(CONNACK, b"\0\0\6\x21\0\1\x21\0\1"),
    "Receive Maximum 0": raw.packet(CONNACK, b"\0\0\3\x21\0\0"),
}


@pytest.mark.parametrize("fault", list(FAULTS))
async def test_a_fault_before_it_is_up_is_told(
    edge: Broker, remote: Remote, fault: str
) -> None:
    bridge = Bridge(edge, BRIDGE)
    bridge.dial(remote.port)
    conn, _ = await remote.accept()
    conn.send(FAULTS[fault])
    news = await bridge.down()
    assert (news.ups, news.cause) == (0, Cause.US)
    assert news.why
    assert news.code >= 0x80


LATER_FAULTS = {
    "a second CONNACK": raw.packet(CONNACK, b"\0\0\0"),
    "CONNECT": raw.connect("x", 5),
    "SUBSCRIBE": raw.subscribe(1, ("a", 0), version=5),
    "a Topic Alias": raw.publish("a", b"", 5, properties=b"\x23\0\1"),
    "no topic": raw.publish("", b"", 5),
    "a wildcard": raw.publish("a/#", b"", 5),
    "QoS 3": raw.packet(PUBLISH, b"\0\1a\0\1\0", 6),
    "packet identifier 0": raw.publish("a", b"", 5, qos=1, packet_id=0),
    "bad UTF-8": raw.publish(b"\xff", b"", 5),
    "AUTH": raw.packet(raw.AUTH),
    "PUBREL with bad flags": raw.packet(PUBREL, b"\0\1", 0),
    "an empty SUBACK": raw.packet(SUBACK, b"\0\1\0"),
}


@pytest.mark.parametrize("fault", list(LATER_FAULTS))
async def test_a_fault_once_it_is_up_is_told_to_both(
    edge: Broker, remote: Remote, fault: str
) -> None:
    """[MQTT-4.13.1-1]."""
    bridge = Bridge(edge, NO_RULES)
    bridge.dial(remote.port)
    conn = await remote.let_in()
    conn.send(LATER_FAULTS[fault])
    said = await read(conn, DISCONNECT)
    news = await bridge.down()
    assert (news.ups, news.cause, news.code) == (1, Cause.US, said.reason)
    assert said.reason >= 0x80


async def test_an_acknowledgement_of_the_wrong_kind_ends_it(
    edge: Broker, remote: Remote
) -> None:
    bridge = Bridge(edge, SENDS)
    bridge.dial(remote.port)
    conn = await remote.let_in()
    conn.send(raw.ack(PUBACK, 99))  # for nothing: no fault (4.3.2)
    edge.publish("out/x", b"", qos=2)
    got = await read(conn, PUBLISH)
    conn.send(raw.ack(PUBACK, got.packet_id))
    assert (await read(conn, DISCONNECT)).reason == 0x82
    assert (await bridge.down()).code == 0x82
    assert bridge.stats.in_flight == 1


async def test_more_at_qos_2_than_our_receive_maximum_ends_it(
    edge: Broker, remote: Remote
) -> None:
    """[MQTT-3.3.4-7]."""
    bridge = Bridge(edge, BRIDGE)
    bridge.dial(remote.port)
    conn, connect = await remote.accept()
    maximum = int.from_bytes(
        connect.body[connect.body.index(RECEIVE_MAXIMUM, 11) + 1 :][:2]
    )
    conn.send(remote.connack())
    await read(conn, SUBSCRIBE)
    conn.send(
        *(
            raw.publish("cmd/x", b"", 5, qos=2, packet_id=n)
            for n in range(1, min(maximum + 2, 65536))
        )
    )
    for _ in range(maximum):
        await read(conn, PUBREC)
    assert (await read(conn, DISCONNECT)).reason == 0x93
    assert (await bridge.down()).code == 0x93


@pytest.mark.parametrize("says_something", [True, False])
async def test_one_that_does_not_answer_connect_is_given_up(
    edge: Broker, remote: Remote, says_something: bool
) -> None:
    bridge = Bridge(edge, BRIDGE)
    bridge.dial(remote.port, timeout_ms=300)
    conn, _ = await remote.accept()
    if says_something:
        conn.send(remote.connack()[:2])
    news = await bridge.down()
    assert (news.cause, news.why) == (Cause.US, "no CONNACK came in time")


@BOTH
async def test_a_refusal_is_told_by_its_words(
    edge: Broker, remote_of: Remote, version: int
) -> None:
    bridge = Bridge(edge, replace(BRIDGE, version=version))
    bridge.dial(remote_of.port)
    conn, _ = await remote_of.accept()
    reason = b"\x1f" + raw.text("go away")
    conn.send(remote_of.connack(code=0x87 if version == 5 else 5, properties=reason))
    news = await bridge.down()
    assert (news.cause, news.code, news.ups) == (Cause.PEER, 0x87, 0)
    assert news.why == ("refused: go away" if version == 5 else "refused: not authorized")


async def test_its_disconnect_is_told_by_its_words(edge: Broker, remote: Remote) -> None:
    bridge = Bridge(edge, BRIDGE)
    bridge.dial(remote.port)
    conn = await remote.let_in()
    conn.send(raw.disconnect(5, 0x8B, b"\x1f" + raw.text("x" * 1000)))
    news = await bridge.down()
    assert (news.cause, news.code) == (Cause.PEER, 0x8B)
    assert news.why == ("ended: " + "x" * 1000)[:199]
