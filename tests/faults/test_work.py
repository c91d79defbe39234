"""Work that one client can cause is bounded: nobody's round trip waits long for it.

Sizes are small here, and bounds those that a loaded machine keeps; ``bench/attacks.py`` has
the whole.
"""

from __future__ import annotations

import os

import pytest

from tests import raw
from tests.conftest import Process, StartBroker
from tests.faults import attacks
from tests.faults.attacks import Measured, measure
from tests.raw import PUBLISH, SUBACK

pytestmark = pytest.mark.alone

SANITIZED = "LD_PRELOAD" in os.environ
BOUND_MS = 1500 if SANITIZED else 250
KIB = bytes(1024)


def assert_nobody_waited(m: Measured) -> None:
    """Within the bound, but for what the machine itself made everybody wait."""
    assert m.beside.worst_ms <= BOUND_MS + 2 * m.beside.late_ms, m
    # A SUBSCRIBE waits for the lanes of those who publish, each its part.
    assert m.beside.change_ms <= 4 * BOUND_MS + 2 * m.beside.late_ms, m


def assert_memory_grew_by_at_most(m: Measured, mib: int) -> None:
    if not SANITIZED:  # ASan needs its memory
        assert m.grown_kib <= mib * 1024, m


def retain_numbered(process: Process, count: int) -> None:
    attacks.retain(process, [f"kept/{n}" for n in range(count)], KIB)


@pytest.mark.parametrize("times", [9000, 60_000])
def test_filter_that_a_packet_repeats_counts_once(
    start_broker: StartBroker, times: int
) -> None:
    process = start_broker()
    retain_numbered(process, 1000)
    m = measure(process, lambda: attacks.all_retained_again_and_again(process, times, 1000))
    assert_nobody_waited(m)
    assert_memory_grew_by_at_most(m, 64)
    if times > 10_000:  # max_filters_per_packet
        assert m.seen["refused"], m
    else:
        assert m.seen == {"refused": 0, "messages": 1000, "most_copies": 1}


@pytest.mark.parametrize("publishers", [1, 4])
def test_overlapping_filters_hold_nobody_up(
    start_broker: StartBroker, publishers: int
) -> None:
    process = start_broker()
    m = measure(process, lambda: attacks.overlapping(process, 65_536, publishers, 2.0))
    assert_nobody_waited(m)
    assert_memory_grew_by_at_most(m, 128)


def test_walks_of_what_is_retained_hold_nobody_up(start_broker: StartBroker) -> None:
    process = start_broker()
    attacks.retain(process, attacks.retained_topics(100_000), b"x")
    assert_nobody_waited(measure(process, lambda: attacks.fruitless_walks(process, 100)))


def test_filter_costs_the_same_however_many_the_session_has(
    start_broker: StartBroker,
) -> None:
    process = start_broker()
    few = attacks.repeated_filters(process, 200, 20_000)
    many = measure(process, lambda: attacks.repeated_filters(process, 20_000, 20_000))
    assert many.seen["us_each"] < 6 * few["us_each"] + 1
    assert_nobody_waited(many)


def test_subscriber_costs_the_same_however_many_the_filter_has(
    start_broker: StartBroker,
) -> None:
    process = start_broker()
    alone_us = attacks.in_and_out(process, 2000)
    attacks.crowd(process, 0, 8000, stays=True)
    crowded_us = attacks.in_and_out(process, 2000)
    assert crowded_us < 3 * alone_us


def test_client_with_many_filters_leaves_unnoticed(start_broker: StartBroker) -> None:
    process = start_broker()
    m = measure(process, lambda: attacks.leaves_with_many(process, 60_000))
    assert_nobody_waited(m)


@pytest.mark.skipif(SANITIZED, reason="ASan needs its memory")
def test_retained_messages_go_to_a_slow_reader_in_bounded_memory(
    start_broker: StartBroker,
) -> None:
    process = start_broker()
    retain_numbered(process, 40_000)
    m = measure(process, lambda: attacks.slow_reader_of_retained(process, 40_000, 1.0))
    assert m.seen == {"received": 40_000, "twice": 0, "cut": 0}
    assert_memory_grew_by_at_most(m, 20)
    assert_nobody_waited(m)


def identifiers(properties: bytes) -> list[int]:
    found, at = [], 0
    while at < len(properties):
        assert properties[at] == 0x0B
        value, at = raw.read_varint(properties, at + 1)
        found.append(value)
    return found


@pytest.mark.spec("MQTT-3.3.4-3")
@pytest.mark.parametrize("count", [64, 65, 100])
def test_message_carries_the_identifier_of_every_matching_subscription(
    broker: Process, name: str, count: int
) -> None:
    levels = [name, *"abcdef"]
    filters = {
        "/".join("+" if n >> at & 1 else level for at, level in enumerate(levels))
        for n in range(1, 2 ** len(levels))
    }
    with broker.raw(5) as client:
        client.connect(name)
        for number, chosen in enumerate(sorted(filters)[:count], 1):
            properties = b"\x0b" + raw.varint(number)
            client.send(raw.subscribe(1, (chosen, 0), version=5, properties=properties))
            client.expect(SUBACK)
        client.publish("/".join(levels), b"x")
        got: list[int] = []
        while len(got) < count:  # in one packet or in several
            got += identifiers(client.expect(PUBLISH).properties)
        assert sorted(got) == list(range(1, count + 1))
        client.assert_silent()
