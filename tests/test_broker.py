"""Broker as a library: embedded in a Python program."""

from __future__ import annotations

import asyncio

import pytest

from nanomq_py import Broker, Config, ConfigError
from nanomq_py.auth.enhanced import CONTINUE_AUTHENTICATION, Step
from nanomq_py.config.keys.access import User
from nanomq_py.config.keys.listeners import WebSocket
from tests import raw
from tests.raw import DISCONNECT, PUBACK, PUBLISH, Raw, ack

LOCAL = Config(url="nmq-tcp://127.0.0.1:0", websocket=WebSocket(enable=False))


async def test_publish_reaches_an_mqtt_client() -> None:
    async with Broker(LOCAL) as broker:
        with Raw(broker.ports["url"]) as c:
            c.connect("c")
            c.subscribe(("a/#", 1))
            assert broker.publish("a/b", "text", qos=1) == 1
            assert broker.publish("nobody", b"x") == 0
            got = c.expect(PUBLISH)
            assert (got.topic, got.payload, got.qos) == ("a/b", b"text", 1)


async def test_tap_hears_clients_and_retained_messages() -> None:
    async with Broker(LOCAL) as broker:
        broker.publish("a/kept", b"1", retain=True)
        async with broker.subscribe("a/#") as tap:
            with Raw(broker.ports["url"]) as c:
                c.connect("c")
                c.publish("a/live", b"2", qos=2, packet_id=1)
                c.expect(5)
            got = [await asyncio.wait_for(anext(tap), 20) for _ in range(2)]
        assert [(m.topic_name, m.payload, m.qos, m.retain, m.retained) for m in got] == [
            ("a/kept", b"1", 0, True, True),
            ("a/live", b"2", 2, False, False),
        ]
        broker.publish("a/after", b"3")
        assert [m async for m in tap] == []  # closed: the iteration ends


async def test_many_messages_come_through_a_tap_in_order() -> None:
    async with Broker(LOCAL) as broker, broker.subscribe("n") as tap:
        for n in range(5000):
            broker.publish("n", b"%d" % n)
        for n in range(5000):
            message = await asyncio.wait_for(anext(tap), 20)
            assert message.payload == b"%d" % n
        assert tap.dropped == 0


async def test_clients_subscriptions_stats_and_kick() -> None:
    async with Broker(LOCAL) as broker:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("me", user="u", keep_alive=33)
            c.subscribe(("a/+", 1), ("$share/g/b", 2))
            client = broker.client("me")
            assert client is not None
            assert (client.client_id, client.user_name) == ("me", "u")
            assert (await broker.clients()).rows == [client]
            assert (client.version, client.keep_alive_s, client.connected) == (5, 33, True)
            assert client.peer == f"127.0.0.1:{c.sock.getsockname()[1]}"
            subscriptions = (await broker.subscriptions()).rows
            assert [(s.topic_filter, s.qos, s.group) for s in subscriptions] == [
                ("a/+", 1, None),
                ("$share/g/b", 2, "g"),
            ]
            stats = broker.stats()
            assert (stats.clients, stats.connected, stats.subscriptions) == (1, 1, 2)
            broker.kick("me")
            (got,) = await asyncio.to_thread(c.read_until_closed)
            assert (got.kind, got.reason) == (DISCONNECT, 0x98)
        with pytest.raises(KeyError):
            broker.kick("never")
        assert broker.client("never") is None


async def test_queued_messages_count_as_delivered_when_they_are_sent() -> None:
    async with Broker(LOCAL) as broker:
        options = {"clean": False, "properties": b"\x11\x00\x00\x01\x00\x21\x00\x02"}
        with Raw(broker.ports["url"], 5) as c:  # Receive Maximum 2
            c.connect("kept", **options)
            c.subscribe(("a", 1))
            await asyncio.to_thread(c.leave)
        for n in range(5):
            broker.publish("a", b"%d" % n, qos=1)
        assert broker.stats().messages_out == 0
        with Raw(broker.ports["url"], 5) as c:
            c.connect("kept", **options)
            got = [c.expect(PUBLISH) for _ in range(2)]
            assert broker.stats().messages_out == 2
            for _ in range(3):
                c.send(ack(PUBACK, got.pop(0).packet_id))
                got.append(c.expect(PUBLISH))
            assert broker.stats().messages_out == 5
            client = broker.client("kept")
            assert client is not None
            assert client.messages_sent == 5


@pytest.mark.parametrize("topic", ["", "a/+", "a/#", "a\x00", "x" * 70000])
async def test_bad_topic_is_a_value_error(topic: str) -> None:
    async with Broker(LOCAL) as broker:
        with pytest.raises(ValueError, match="not a valid topic name"):
            broker.publish(topic, b"")


async def test_bad_filter_and_qos_are_value_errors() -> None:
    async with Broker(LOCAL) as broker:
        with pytest.raises(ValueError, match="not a valid topic filter"):
            broker.subscribe("a/#/b")
        with pytest.raises(ValueError, match="expected 0, 1 or 2"):
            broker.publish("a", b"", qos=3)


async def test_two_brokers_in_one_process_do_not_meet() -> None:
    async with Broker(LOCAL) as one, Broker(LOCAL) as two:
        with Raw(two.ports["url"]) as c:
            c.connect("c")
            c.subscribe(("#", 0))
            assert (one.publish("a", b"x"), two.publish("a", b"x")) == (0, 1)


async def test_broker_opens_what_it_was_given_and_nothing_else() -> None:
    async with Broker(Config(url="nmq-tcp://127.0.0.1:0")) as broker:
        assert list(broker.ports) == ["url"]
        assert list(broker.listeners()) == ["tcp"]
    web = WebSocket(url="nmq-ws://127.0.0.1:0/mqtt")
    async with Broker(Config(url=None, websocket=web)) as broker:
        assert list(broker.ports) == ["websocket.url"]


def test_configuration_that_cannot_be_is_refused_when_it_is_made() -> None:
    with pytest.raises(
        ConfigError, match="url='bogus': expected a URL nmq-tcp://HOST:PORT"
    ):
        Config(url="bogus")


async def test_taken_port_leaves_nothing_running() -> None:
    async with Broker(LOCAL) as broker:
        port = broker.ports["url"]
        other = Broker(Config(url=f"nmq-tcp://127.0.0.1:{port}"))
        with pytest.raises(
            ConfigError, match=r"url=\S+: cannot listen: Address already in use"
        ):
            await other.start()
        with pytest.raises(RuntimeError, match="not running"):
            other.stats()


async def test_broker_can_start_again() -> None:
    broker = Broker(LOCAL)
    for _ in range(3):
        await broker.start()
        with Raw(broker.ports["url"]) as c:
            c.connect("c")
        await broker.stop()
    await broker.stop()  # nothing to do


async def test_users_are_asked_for_without_blocking_others() -> None:
    config = Config(
        url="nmq-tcp://127.0.0.1:0",
        websocket=WebSocket(enable=False),
        users=(User(login="u", password="p"),),
        allow_anonymous=False,
    )
    async with Broker(config) as broker:
        clients = [Raw(broker.ports["url"]) for _ in range(50)]
        codes = await asyncio.gather(
            *(
                asyncio.to_thread(
                    c.connect, f"c{n}", user="u", password=b"p" if n % 2 else b"x"
                )
                for n, c in enumerate(clients)
            )
        )
        assert [p.reason for p in codes] == [0 if n % 2 else 4 for n in range(50)]
        for c in clients:
            c.close()


async def test_stop_wakes_a_waiting_tap() -> None:
    broker = Broker(LOCAL)
    await broker.start()
    tap = broker.subscribe("a")
    waiting = asyncio.create_task(anext(tap, None))
    await asyncio.sleep(0)
    await broker.stop()
    assert await asyncio.wait_for(waiting, 20) is None


class Ticket:
    """A method of enhanced authentication as docs/api/python.md shows it."""

    name = "TICKET"

    def begin(self, client_id: str) -> Ticket:
        return self

    def step(self, data: bytes | None) -> Step:
        if data is None:
            return Step(CONTINUE_AUTHENTICATION, b"your ticket, please")
        return Step(0, user_name="guest") if data == b"42" else Step(0x87)


@pytest.mark.parametrize(("ticket", "reason"), [(b"42", 0), (b"43", 0x87)])
async def test_method_of_the_programs_own_lets_clients_in(
    ticket: bytes, reason: int
) -> None:
    method = b"\x15" + raw.text("TICKET")
    answer = method + b"\x16" + raw.text(ticket)

    def client(port: int) -> int:
        with Raw(port, 5) as c:
            c.send(raw.connect("c", 5, properties=method))
            asked = c.expect(raw.AUTH)
            assert asked.properties == method + b"\x16" + raw.text("your ticket, please")
            c.send(raw.packet(raw.AUTH, b"\x18" + raw.varint(len(answer)) + answer))
            got = c.expect(raw.CONNACK)
            if got.reason == 0:
                c.ping()
                c.leave()
            return got.reason

    async with Broker(LOCAL, methods=[Ticket()]) as broker:
        assert await asyncio.to_thread(client, broker.ports["url"]) == reason


async def test_logins_that_are_refused_are_counted() -> None:
    method = b"\x15" + raw.text("TICKET")

    def auth(step: bytes, ticket: bytes) -> bytes:
        answer = method + b"\x16" + raw.text(ticket)
        return raw.packet(raw.AUTH, step + raw.varint(len(answer)) + answer)

    def client(port: int, ticket: bytes, again: bytes) -> int:
        """Log in with one ticket, and anew with the other; return the last Reason Code."""
        with Raw(port, 5) as c:
            c.send(raw.connect("c", 5, properties=method))
            c.expect(raw.AUTH)
            c.send(auth(b"\x18", ticket))
            if reason := c.expect(raw.CONNACK).reason:
                return reason
            c.send(auth(b"\x19", again))
            return c.read().reason

    async with Broker(LOCAL, methods=[Ticket()]) as broker:
        port = broker.ports["url"]
        for ticket, again, reason, refused in (
            (b"42", b"42", 0, 0),
            (b"43", b"", 0x87, 1),
            (b"42", b"43", 0x87, 2),
        ):
            assert await asyncio.to_thread(client, port, ticket, again) == reason
            assert broker.stats().logins_refused == refused
