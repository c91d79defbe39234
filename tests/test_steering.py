"""What a program changes of clients while they talk: tests of ``nanomq_py/steering.py``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from nanomq_py import Broker, Config
from nanomq_py.config.keys.listeners import WebSocket
from tests import raw
from tests.answering import NO, OK, Answering, answering
from tests.conformance.flows import kept, modern
from tests.eventually import eventually
from tests.raw import DISCONNECT, PUBACK, Raw
from tests.test_limits import limited

pytestmark = pytest.mark.timeout(60)

LOCAL = Config(url="nmq-tcp://127.0.0.1:0", websocket=WebSocket(enable=False))
HURRY = 1000  # a rate that nobody reaches here


@pytest.mark.spec("MQTT-3.1.2-22")
async def test_keep_alive_counts_from_the_moment_it_is_set() -> None:
    async with Broker(LOCAL) as broker:
        port = broker.ports["url"]
        with Raw(port, 5) as longer, Raw(port, 5) as shorter, Raw(port, 5) as never:
            longer.connect("longer", keep_alive=1)
            never.connect("never", keep_alive=1)
            shorter.connect("shorter", keep_alive=0)
            broker.set_keep_alive("longer", 65535)
            broker.set_keep_alive("never", 0)
            broker.set_keep_alive("shorter", 1)
            told = [
                client.keep_alive_s
                for name in ("longer", "never", "shorter")
                if (client := broker.client(name)) is not None
            ]
            assert told == [65535, 0, 1]
            assert shorter.expect(DISCONNECT).reason == 0x8D
            longer.ping()  # both were silent for longer than their own allowed
            never.ping()
        assert broker.stats().keep_alive_timeouts == 1


async def test_keep_alive_of_the_next_connection_is_its_own() -> None:
    async with Broker(LOCAL) as broker:
        port = broker.ports["url"]
        with Raw(port, 5) as c, Raw(port, 5) as again:
            c.connect("c", keep_alive=10)
            broker.set_keep_alive("c", 20)
            again.connect("c", keep_alive=10)
            client = broker.client("c")
            assert client is not None
            assert client.keep_alive_s == 10


@modern
async def test_who_is_not_connected_cannot_be_steered(version: int) -> None:
    async with Broker(LOCAL) as broker:
        with Raw(broker.ports["url"], version) as c:
            c.connect("away", **kept(version))
            await asyncio.to_thread(c.leave)
        for client_id in ("away", "nobody"):
            with pytest.raises(KeyError, match=client_id):
                broker.set_keep_alive(client_id, 1)
            with pytest.raises(KeyError, match=client_id):
                broker.set_rate(client_id, 1)
            with pytest.raises(KeyError, match=client_id):
                broker.access_cache(client_id)
            with pytest.raises(KeyError, match=client_id):
                await broker.drop_access_cache(client_id)


async def test_values_out_of_range_are_named() -> None:
    async with Broker(LOCAL) as broker:
        with Raw(broker.ports["url"]) as c:
            c.connect("c")
            with pytest.raises(ValueError, match=r"seconds=65536: .* from 0 to 65535"):
                broker.set_keep_alive("c", 65536)
            with pytest.raises(ValueError, match="messages_per_s=-1: expected a whole"):
                broker.set_rate("c", -1)
            with pytest.raises(ValueError, match="bytes_per_s=4294967296: expected"):
                broker.set_rate("c", None, 2**32)


def sends(c: Raw, messages: int) -> None:
    """Publish so many, and return when all are acknowledged."""
    c.send(*(raw.publish("t", b"", 5, qos=1, packet_id=n + 1) for n in range(messages)))
    for _ in range(messages):
        c.expect(PUBACK)


async def test_rate_of_one_client_bounds_no_other() -> None:
    async with Broker(LOCAL) as broker:
        port = broker.ports["url"]
        with Raw(port, 5) as bound, Raw(port, 5) as free:
            bound.connect("bound")
            free.connect("free")
            broker.set_rate("bound", 1)
            sends(free, 4)
            assert broker.stats().rate_waits == 0
            sends(bound, 2)
            waits = broker.stats().rate_waits
            assert waits > 0
            broker.set_rate("bound")  # as the configuration says: no bound
            sends(bound, 4)
            assert broker.stats().rate_waits == waits


async def test_bytes_of_one_client_are_bounded() -> None:
    async with Broker(LOCAL) as broker:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c")
            broker.set_rate("c", bytes_per_s=20)
            sends(c, 4)
            assert broker.stats().rate_waits > 0


async def test_client_may_have_a_rate_above_that_of_the_configuration() -> None:
    async with limited(max_message_rate="1") as (broker, port):
        with Raw(port, 5) as c, Raw(port, 5) as free:
            c.connect("c")
            free.connect("free")
            broker.set_rate("c", HURRY)
            broker.set_rate("free", 0)
            sends(c, 4)
            sends(free, 4)
            assert broker.stats().rate_waits == 0


async def test_what_was_sent_without_a_rate_is_not_owed_later() -> None:
    async with Broker(LOCAL) as broker:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c")
            broker.set_rate("c", None, 10_000_000)
            sends(c, 200)
            broker.set_rate("c", 1)
            sends(c, 2)  # within seconds, and not after 200


# --- answers that count for a while


@pytest.fixture
def server() -> Iterator[Answering]:
    says = {"yes": OK, "no": NO}
    with answering(lambda asked, sock: says[asked.form["topic"]]) as made:
        yield made


def asking(server: Answering) -> dict[str, str]:
    return {
        "auth__http__enable": "true",
        "auth__http__cache_ttl": "1000s",
        "auth__http__acl_req__url": f"{server.url}/acl",
        "auth__http__acl_req__params": "topic=%t,clientid=%c",
    }


def tries(c: Raw, topic: str) -> int:
    c.publish(topic, qos=1, packet_id=1)
    return c.expect(PUBACK).reason


async def test_answers_that_are_kept_can_be_seen_and_dropped(server: Answering) -> None:
    async with limited(**asking(server)) as (broker, port):
        with Raw(port, 5) as c, Raw(port, 5) as other:
            c.connect("c")
            other.connect("other")
            assert broker.access_cache("c") == []
            assert await asyncio.to_thread(tries, c, "yes") == 0x10  # nobody subscribes
            assert await asyncio.to_thread(tries, c, "no") == 0x87
            assert await asyncio.to_thread(tries, other, "yes") == 0x10
            for _ in range(2):  # the second time of what is kept
                assert await asyncio.to_thread(tries, c, "yes") == 0x10
            assert len(server.asked) == 3
            cached = {one.topic: one for one in broker.access_cache("c")}
            assert {t: (a.access, a.result) for t, a in cached.items()} == {
                "yes": ("publish", "allow"),
                "no": ("publish", "deny"),
            }
            assert all(990 < one.expires_in_s <= 1000 for one in cached.values())
            client = broker.client("c")
            assert client is not None
            assert cached["yes"].updated_at * 1000 >= client.connected_at_ms

            await broker.drop_access_cache("c")
            assert broker.access_cache("c") == []
            assert [one.topic for one in broker.access_cache("other")] == ["yes"]
            assert await asyncio.to_thread(tries, c, "yes") == 0x10
            assert len(server.asked) == 4  # it was asked again

            await broker.drop_access_cache()
            assert broker.access_cache("c") == broker.access_cache("other") == []


# --- the end of a session


@modern
async def test_discarded_session_is_gone_with_all_it_held(version: int) -> None:
    async with Broker(LOCAL) as broker:
        port = broker.ports["url"]
        with Raw(port, version) as watcher:
            watcher.connect("watcher")
            watcher.subscribe(("will", 0))
            with Raw(port, version) as c:
                c.connect("c", will=("will", b"gone", 0, False), **kept(version))
                c.subscribe(("a", 1))
                await broker.discard("c")
                if version == 5:
                    assert c.expect(DISCONNECT).reason == 0x98
                assert c.read_until_closed() == []
            assert watcher.expect(raw.PUBLISH).payload == b"gone"  # [MQTT-3.1.2-8]
            assert broker.client("c") is None
            assert broker.publish("a", b"1", qos=1) == 0
            with Raw(port, version) as c:
                assert c.connect("c", **kept(version)).flags == 0  # no session present
        with pytest.raises(KeyError, match="nobody"):
            await broker.discard("nobody")


@modern
async def test_session_of_a_client_that_is_away_is_discarded(version: int) -> None:
    async with Broker(LOCAL) as broker:
        with Raw(broker.ports["url"], version) as c:
            c.connect("c", **kept(version))
            c.subscribe(("a", 1))
            await asyncio.to_thread(c.leave)
        assert broker.publish("a", b"1", qos=1) == 1
        await broker.discard("c")
        assert broker.publish("a", b"1", qos=1) == 0
        eventually(lambda: broker.stats().clients == 0)


async def test_next_member_of_a_group_gets_what_a_discarded_one_left() -> None:
    async with Broker(LOCAL) as broker:
        port = broker.ports["url"]
        with Raw(port, 5) as c, Raw(port, 5) as member:
            c.connect("c", **kept(5))
            c.subscribe(("$share/g/a", 1))
            await asyncio.to_thread(c.leave)
            assert broker.publish("a", b"1", qos=1) == 1
            member.connect("member")
            member.subscribe(("$share/g/a", 1))
            await broker.discard("c")
            assert member.expect(raw.PUBLISH).payload == b"1"
