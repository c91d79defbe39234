"""Folders with a journal in them, written by a broker of this process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests import raw
from tests._core_test import ffi, lib
from tests.committed import Committed, committed
from tests.journaled import saved, state
from tests.raw import CONNACK, PUBACK, SUBACK, Raw

KEPT = b"\x11\x00\x00\x0e\x10"  # a session of an hour
PAYLOAD = 5000  # two pages for a commit


@contextlib.contextmanager
def broker_on(folder: Path) -> Iterator[Committed]:
    """Yield a broker that logs to that folder, and became what is in it."""
    made, error = ffi.new("nmq_disk **"), ffi.new("int *")
    status = lib.nmq_disk_folder_open(str(folder).encode(), made, error)
    assert status == 0, (status, error[0])
    try:
        with committed(made[0]) as home:
            yield home
    finally:
        lib.nmq_disk_folder_close(made[0])


def come(home: Committed, name: str) -> Raw:
    client = home.client()
    client.send(raw.connect(name, 5, clean=False, properties=KEPT))
    assert client.expect(CONNACK).reason == 0
    return client


def subscribe(client: Raw, filter_: str) -> None:
    client.send(raw.subscribe(1, (filter_, 1), version=5))
    assert client.expect(SUBACK).codes == [1]


def publish(client: Raw, n: int, *, retain: bool = False, topic: str = "t") -> None:
    """Publish a message that says its number; return once it is on the disk."""
    data = b"%d " % n + bytes(PAYLOAD)
    client.send(raw.publish(topic, data, 5, qos=1, packet_id=n + 1, retain=retain))
    assert client.expect(PUBACK).packet_id == n + 1


def fill(folder: Path, count: int = 60) -> None:
    """Have a session of a client that is away, messages that wait for it, and one retained."""
    with broker_on(folder) as home:
        away = come(home, "away")
        subscribe(away, "t")
        away.send(raw.disconnect(5))
        by = home.client()
        by.connect("by")
        publish(by, 0, retain=True, topic="kept")
        for n in range(1, count):
            publish(by, n)


def numbers(home: Committed, name: str = "away") -> list[int]:
    """End the broker's connections; return which messages wait for that client, in order."""
    home.stop()
    its = state(saved(home.broker)).sessions.get(name.encode(), {})
    waits = [*its.get("in flight", []), *its.get("queue", [])]
    return [int(delivery[-1][1].split(b" ")[0]) for delivery in waits]


def numbers_in(folder: Path, name: str = "away") -> list[int]:
    """Return the same of a broker that starts on the folder."""
    with broker_on(folder) as home:
        return numbers(home, name)
