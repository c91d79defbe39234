"""Sessions of one listener are in memory alone: ``listener.NAME.durability=off``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import raw
from tests.conftest import Process, free_port
from tests.journaled import Journaled, journaled, replayed, saved, state
from tests.lives import Lives
from tests.raw import CONNACK, PUBACK, PUBLISH, SUBACK, Raw
from tests.test_durability import KEPT, restart
from tests.test_journal import commit_until_heard

INHERIT, OFF = "url", "listener.mem.url"


# --- what waits; nothing is durable but by home.commit()


@pytest.fixture
def home() -> Iterator[Journaled]:
    with journaled(key=7) as made:
        yield made


def unlogged(home: Journaled, name: str, *filters: tuple[str, int]) -> Raw:
    """Come through a listener that is off: nothing waits for the journal."""
    home.set_mount("", unlogged=True)
    client = home.client()
    client.send(raw.connect(name, 5, clean=False, properties=KEPT))
    assert client.expect(CONNACK).reason == 0
    if filters:
        client.send(raw.subscribe(1, *filters, version=5))
        client.expect(SUBACK)
    return client


def logged(home: Journaled, name: str, *, present: bool = False) -> Raw:
    home.set_mount("")
    client = home.client()
    client.send(raw.connect(name, 5, clean=False, properties=KEPT))
    commit_until_heard(home, client)
    assert client.expect(CONNACK).flags == present
    return client


def sessions(home: Journaled) -> dict[bytes, object]:
    with replayed(home.log()) as broker:
        return dict(state(saved(broker)).sessions)


def test_what_comes_through_it_is_acknowledged_at_once_and_not_logged(
    home: Journaled,
) -> None:
    to = unlogged(home, "to", ("#", 2))
    to.publish("t", b"1", qos=1, packet_id=1, retain=False)
    assert {to.read().kind for _ in range(2)} == {PUBACK, PUBLISH}
    assert sessions(home) == {}


def test_its_publishers_wait_for_nothing_but_others_keep_what_they_publish(
    home: Journaled,
) -> None:
    to = logged(home, "to")
    to.send(raw.subscribe(1, ("#", 1), version=5))
    commit_until_heard(home, to)
    to.expect(SUBACK)
    to.leave()
    by = unlogged(home, "by")
    by.publish("t", b"1", qos=1, packet_id=1)
    by.expect(PUBACK)
    by.publish("r", b"2", qos=1, packet_id=2, retain=True)
    by.expect(PUBACK)
    with replayed(home.log()) as broker:
        kept = state(saved(broker))
        queue = [entry[-1][1] for entry in kept.sessions[b"to"]["queue"]]
        assert (queue, list(kept.sessions)) == ([b"1", b"2"], [b"to"])
        assert list(kept.retained) == [b"r"]


def test_a_session_that_comes_back_through_another_is_logged_whole(
    home: Journaled,
) -> None:
    unlogged(home, "to", ("t", 1)).leave()
    by = unlogged(home, "by")
    by.publish("t", b"1", qos=1, packet_id=1)
    by.expect(PUBACK)
    home.set_mount("")
    to = home.client()
    to.send(raw.connect("to", 5, clean=False, properties=KEPT))
    assert not to.hears_within(0.2)  # before its CONNACK
    commit_until_heard(home, to)
    assert to.expect(CONNACK).flags == 1
    assert to.expect(PUBLISH).payload == b"1"
    to.send(raw.subscribe(2, ("u", 1), version=5))
    assert not to.hears_within(0.2)
    commit_until_heard(home, to)
    to.expect(SUBACK)
    home.stop()
    before = state(saved(home.broker)).sessions[b"to"]
    after = sessions(home)
    assert list(after) == [b"to"]
    assert after[b"to"] == before
    assert len(before["subscription"]) == 2
    assert len(before["in flight"]) == 1


def test_a_session_that_is_taken_over_is_logged_whole(home: Journaled) -> None:
    old = unlogged(home, "to", ("t", 1))
    new = logged(home, "to", present=True)
    old.read_until_closed()
    new.ping()
    assert list(sessions(home)) == [b"to"]


def test_a_session_that_is_logged_stays_so(home: Journaled) -> None:
    logged(home, "to").leave()
    home.set_mount("", unlogged=True)
    to = home.client()
    to.send(raw.connect("to", 5, clean=False, properties=KEPT))
    assert not to.hears_within(0.2)
    commit_until_heard(home, to)
    assert to.expect(CONNACK).flags == 1
    to.send(raw.subscribe(1, ("t", 1), version=5))
    assert not to.hears_within(0.2)
    commit_until_heard(home, to)
    to.expect(SUBACK)
    assert list(sessions(home)) == [b"to"]


def test_a_session_of_an_hour_that_is_discarded_there_ends_in_the_log(
    home: Journaled,
) -> None:
    logged(home, "to").leave()
    home.set_mount("", unlogged=True)
    to = home.client()
    to.send(raw.connect("to", 5, clean=True, properties=KEPT))
    commit_until_heard(home, to)  # its end is to be durable
    assert to.expect(CONNACK).flags == 0
    to.send(raw.subscribe(1, ("t", 1), version=5))
    to.expect(SUBACK)
    assert sessions(home) == {}


def test_a_mount_point_moves_it_and_it_stays_in_memory(home: Journaled) -> None:
    unlogged(home, "to", ("t", 1)).leave()
    home.set_mount("m/", unlogged=True)
    to = home.client()
    to.send(raw.connect("to", 5, clean=False, properties=KEPT))
    assert to.expect(CONNACK).flags == 1
    to.publish("t", b"1", qos=1, packet_id=1)
    assert {to.read().kind for _ in range(2)} == {PUBACK, PUBLISH}
    assert sessions(home) == {}


# --- a broker of its own


def keys() -> dict[str, str]:
    return {
        "durability": "always",
        "listener__mem__url": f"nmq-tcp://127.0.0.1:{free_port()}",
        "listener__mem__durability": "off",
    }


def come(process: Process, name: str, through: str, *, present: bool = False) -> Raw:
    client = process.raw(5, through)
    client.send(raw.connect(name, 5, clean=False, properties=KEPT))
    assert client.expect(CONNACK).flags == present
    return client


def subscribe(process: Process, name: str, through: str) -> None:
    with come(process, name, through) as client:
        client.send(raw.subscribe(1, ("t", 1), version=5))
        client.expect(SUBACK)


def publish(process: Process, payload: bytes, through: str) -> None:
    with process.raw(5, through) as client:
        client.connect("by")
        client.publish("t", payload, qos=1, packet_id=1)
        client.expect(PUBACK)


def takes(process: Process, name: str, through: str, *payloads: bytes) -> None:
    with come(process, name, through, present=True) as client:
        for payload in payloads:
            got = client.expect(PUBLISH)
            assert got.payload == payload
            client.send(raw.ack(PUBACK, got.packet_id))
        client.ping()


def test_a_kill_takes_what_came_through_it_and_nothing_else(tmp_path: Path) -> None:
    with Lives(tmp_path, **keys()) as lives:
        subscribe(lives.process, "kept", INHERIT)
        subscribe(lives.process, "lost", OFF)
        subscribe(lives.process, "moved", OFF)
        publish(lives.process, b"1", OFF)
        come(lives.process, "moved", INHERIT, present=True).close()
        publish(lives.process, b"2", INHERIT)
        lives.kill()
        takes(lives.process, "kept", OFF, b"1", b"2")
        takes(lives.process, "moved", INHERIT, b"1", b"2")
        come(lives.process, "lost", OFF).close()


def test_a_restart_loses_nothing_and_leaves_it_in_memory(tmp_path: Path) -> None:
    with Lives(tmp_path, **keys()) as lives:
        subscribe(lives.process, "kept", INHERIT)
        subscribe(lives.process, "lost", OFF)
        publish(lives.process, b"1", INHERIT)
        restart(lives.process)
        publish(lives.process, b"2", INHERIT)
        restart(lives.process)
        publish(lives.process, b"3", INHERIT)
        takes(lives.process, "lost", OFF, b"1", b"2", b"3")
        publish(lives.process, b"4", INHERIT)
        lives.kill()
        takes(lives.process, "kept", INHERIT, b"1", b"2", b"3", b"4")
        come(lives.process, "lost", OFF).close()


def test_a_reload_counts_for_the_sessions_that_begin_then(tmp_path: Path) -> None:
    with Lives(tmp_path, **keys()) as lives:
        subscribe(lives.process, "before", OFF)
        lives.keys["listener__mem__durability"] = "inherit"
        lives.process.reload(listener__mem__durability="inherit")
        subscribe(lives.process, "after", OFF)
        lives.kill()
        takes(lives.process, "after", OFF)
        come(lives.process, "before", OFF).close()
