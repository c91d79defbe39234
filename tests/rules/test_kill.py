"""Rules of a broker that is killed: what its publishers were told is kept goes through them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import raw
from tests.http.v4 import call
from tests.lives import Lives
from tests.raw import PUBACK, PUBLISH, SUBACK, Raw
from tests.webhook.flood import CONSTANTS, PUBLISHERS, InThread, Mood, flood

pytestmark = pytest.mark.plain

MESSAGES = 4000
KEPT = b"\x11\xff\xff\xff\xff"  # a session without end
RESOURCE = {"type": "web_hook", "id": "server"}
ACTIONS = [
    {"name": "data_to_webserver", "params": {"$resource": "server"}},
    {
        "name": "republish",
        "params": {
            "target_topic": "again/${topic}",
            "target_qos": 1,
            "payload_tmpl": "${payload}",
        },
    },
]


@pytest.fixture
def receiver() -> Iterator[InThread]:
    made = InThread(Mood())
    yield made
    made.end()


def come(port: int) -> Raw:
    client = Raw(port, 5)
    client.send(raw.connect("away", 5, clean=False, properties=KEPT))
    client.expect(raw.CONNACK)
    return client


def collected(port: int, count: int) -> dict[str, list[int]]:
    """Return the numbers that come by topic, the first time, until all have come."""
    made: dict[str, list[int]] = {}
    seen: set[tuple[str, int]] = set()
    with come(port) as client:
        while len(seen) < count:
            got = client.expect(PUBLISH)
            client.send(raw.ack(PUBACK, got.packet_id))
            key = got.topic, int(got.payload.partition(b" ")[0])
            if key not in seen:
                seen.add(key)
                made.setdefault(got.topic, []).append(key[1])
    return made


def test_two_kills_lose_no_row_of_a_rule(tmp_path: Path, receiver: InThread) -> None:
    """They reach the web hook and who is subscribed to what is published again, in order."""
    keys = {"plugins__load": "rules", "durability": "always", "msq_len": "65535"}
    with Lives(tmp_path, CONSTANTS, **keys) as lives:
        config = {"url": receiver.receiver.url}
        made = call(
            lives.process, "POST", "/api/v4/resources", {**RESOURCE, "config": config}
        )
        assert made.status == 200, made
        rule = {"id": "all", "rawsql": 'SELECT * FROM "t/#"', "actions": ACTIONS}
        made = call(lives.process, "POST", "/api/v4/rules", rule)
        assert made.status == 200, made
        with come(lives.process.port) as client:
            client.send(raw.subscribe(1, ("again/#", 1), version=5))
            client.expect(SUBACK)
        flood(lives, receiver, MESSAGES, kills=2, seed=20261130, moods=("good",))
        again = collected(lives.process.port, MESSAGES)
    tally = receiver.mood.tally
    assert len(tally.count) == MESSAGES // PUBLISHERS * PUBLISHERS
    assert tally.out_of_order == 0
    assert all(numbers == sorted(numbers) for numbers in again.values())
