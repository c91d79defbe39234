"""Whatever kept sessions do, the log of it makes the broker that would have been handed over.

This is what finds a change of kept state that nobody logs.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests import raw
from tests._core_test import lib
from tests.journaled import (
    Journaled,
    end_of,
    journaled,
    new_broker,
    replayed,
    saved,
    state,
)
from tests.raw import CONNACK, PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Raw

STEPS = 60
SMALL = 100  # bytes: the largest packet to some clients
BOUNDS = {"window": 3, "queue_max": 6, "retained_max": 30}
NAMES = ["a", "b", "c", "fleeting"]
TOPICS = ["t", "t/1", "t/2", "u", "$share"]
MANY = 24  # retained messages that do not go out at once
FILTERS = [
    "t",
    "t/+",
    "#",
    "many/#",
    "many/+",
    "u",
    "$share/g/t",
    "$share/g/#",
    "$share/h/t/+",
]


@dataclass
class Client:
    """One client of the model, with what it may still acknowledge."""

    home: Journaled
    name: str
    link: Raw | None = None
    owes: list[bytes] = field(default_factory=list)
    ids: int = 0
    unreleased: list[int] = field(default_factory=list)

    def hear(self) -> None:
        """Take all that has come, before and after what is held goes."""
        for _ in range(2):
            assert self.link is not None
            self.link.send(raw.packet(raw.PINGREQ))
            while (got := self.link.read()).kind != PINGRESP:
                self.take(got)
            self.home.commit()

    def take(self, got: raw.Packet) -> None:
        if got.kind == PUBLISH and got.qos > 0:
            self.owes.append(raw.ack(PUBACK if got.qos == 1 else PUBREC, got.packet_id))
        elif got.kind == PUBREL:
            self.owes.append(raw.ack(PUBCOMP, got.packet_id))

    def come(self, rng: random.Random) -> None:
        before = self.link
        if before is not None and rng.random() < 0.5:  # else it is taken over
            before.close()
        kept = self.name != "fleeting" and rng.random() < 0.9
        expiry = rng.choice([3600, 0xFFFFFFFF]) if kept else 0
        will, about_will = None, b""
        if rng.random() < 0.4:
            payload = rng.randbytes(3)
            will = (rng.choice(TOPICS), payload, rng.randrange(3), rng.random() < 0.3)
            if rng.random() < 0.5:
                about_will = b"\x18" + (600).to_bytes(4, "big")
        properties = b"\x11" + expiry.to_bytes(4, "big")
        properties += b"\x21" + rng.choice([2, 20]).to_bytes(2, "big")
        if rng.random() < 0.3:
            properties += b"\x27" + SMALL.to_bytes(4, "big")
        self.link = self.home.client()
        packet = raw.connect(
            self.name, 5, clean=rng.random() < 0.3, properties=properties,
            will=will, will_properties=about_will, keep_alive=rng.randrange(60, 90),
        )  # fmt: skip
        self.link.send(packet)
        while not self.link.hears_within(0.01):
            self.home.commit()
        assert self.link.expect(CONNACK).reason == 0
        if before is not None:
            before.close()
        self.owes, self.unreleased = [], []

    def leave(self, rng: random.Random) -> None:
        assert self.link is not None
        properties = b""
        if rng.random() < 0.3 and self.name != "fleeting":
            properties = b"\x11" + (7200).to_bytes(4, "big")
        if rng.random() < 0.7:
            reason = rng.choice([0, 4])
            self.link.send(raw.disconnect(5, reason, properties))
            self.link.read_until_closed()
        self.link.close()
        self.link = None

    def publish(self, rng: random.Random) -> None:
        assert self.link is not None
        self.ids = self.ids % 1000 + 1
        qos = rng.randrange(3)
        if qos == 2:
            self.unreleased.append(self.ids)
        properties = b""
        if rng.random() < 0.2:
            properties = b"\x02" + (3600).to_bytes(4, "big")
        self.link.publish(
            rng.choice(TOPICS), rng.randbytes(rng.choice([0, 4, 4, 4, SMALL])),
            qos=qos, packet_id=self.ids, retain=rng.random() < 0.3, properties=properties,
        )  # fmt: skip

    def act(self, rng: random.Random) -> None:
        """Do one thing at random."""
        if self.link is None or rng.random() < 0.06:
            self.come(rng)
            return
        what = rng.choices(
            ["publish", "subscribe", "unsubscribe", "ack", "release", "leave"],
            [8, 4, 1, 8, 3, 1],
        )[0]
        if what == "publish":
            self.publish(rng)
        elif what == "subscribe":
            filter_ = rng.choice(FILTERS)
            options = rng.randrange(3) | rng.choice([0, 8]) | rng.choice([0, 16, 32])
            number = bytes([11, rng.randrange(1, 5)]) if rng.random() < 0.5 else b""
            packet = raw.subscribe(9, (filter_, options), version=5, properties=number)
            self.link.send(packet)
        elif what == "unsubscribe":
            self.link.send(raw.unsubscribe(9, rng.choice(FILTERS), version=5))
        elif what == "ack" and self.owes:
            for _ in range(rng.choice([1, 1, 9])):
                if self.owes:
                    self.link.send(self.owes.pop(rng.randrange(len(self.owes))))
                    self.hear()
        elif what == "release" and self.unreleased:
            self.link.send(raw.ack(PUBREL, self.unreleased.pop(0)))
        elif what == "leave":
            self.leave(rng)
        if self.link is not None:
            self.hear()


def play(
    home: Journaled, seed: int, between: Callable[[int], None] = lambda _: None
) -> None:
    rng = random.Random(seed)  # a run that can be had again
    clients = [Client(home, name) for name in NAMES]
    with home.client() as seeder:
        seeder.connect("seeder")
        for n in range(MANY):
            seeder.publish(f"many/{n}", b"x", qos=1, packet_id=n + 1, retain=True)
        seeder.ping()
    for step in range(STEPS):
        between(step)
        rng.choice(clients).act(rng)


KEPT = b"\x11" + (3600).to_bytes(4, "big")


def cuts(log: bytes) -> list[int]:
    """Return where records end."""
    ends, at = [], 0
    while at < len(log):
        at += 4 + int.from_bytes(log[at : at + 4], "little")
        ends.append(at)
    return ends


@pytest.mark.parametrize("seed", range(40))
def test_a_log_makes_the_broker_that_wrote_it(seed: int) -> None:
    with journaled(**BOUNDS) as home:
        play(home, seed)
        home.stop()
        with replayed(home.log(), **BOUNDS) as broker:
            then, now = state(saved(home.broker)), state(saved(broker))
        assert now.retained == then.retained
        assert now.sessions == then.sessions


class Anew:
    """Has the journal begin anew, and tell what was before, while clients go on."""

    def __init__(self, home: Journaled, seed: int) -> None:
        self.home = home
        self.rng = random.Random(seed)
        self.begun: int | None = None  # where in the log, while not all is told
        self.enough = 0  # the log can be read from there
        self.in_parts = 0  # how often what is enough became less before all was told

    def __call__(self, step: int) -> None:
        if self.begun is None and self.rng.random() < 0.1:
            self.begun = self.home.begin_anew()
        elif self.rng.random() < 0.2:
            self.home.begin_anew(is_round=False)
        elif self.begun is not None:
            self.retell(self.begun)

    def retell(self, begun: int) -> None:
        if self.home.retell(self.rng.randrange(6)):
            self.enough, self.begun = begun, None
        elif (less := min(self.home.needed_from(), begun)) > self.enough:
            self.enough = less
            self.in_parts += 1


@pytest.mark.parametrize("seed", range(200, 240))
def test_a_log_that_has_begun_anew_needs_nothing_of_before(seed: int) -> None:
    with journaled(**BOUNDS) as home:
        anew = Anew(home, seed)
        play(home, seed, anew)
        home.stop()
        if not anew.enough:
            anew.enough = anew.begun or home.begin_anew()
            assert home.retell()
        check(home, home.log(), home.log()[anew.enough :])


@pytest.mark.parametrize("seed", range(300, 330))
def test_a_log_goes_on_in_the_next_process(seed: int) -> None:
    log, enough = None, 0
    for life in range(3):
        with journaled(log=log, **BOUNDS) as home:
            anew = Anew(home, seed + life)
            play(home, seed + life, anew)
            if life == 1:
                home.stop()  # else it is killed
            log = home.log()
            enough = anew.enough or enough
            if life == 2:
                home.stop()
                then, log = state(saved(home.broker)), home.log()
    assert log is not None
    for rest in (log, log[enough:]):
        with replayed(rest, **BOUNDS) as broker:
            now = state(saved(broker))
        assert now.retained == then.retained
        assert now.sessions == then.sessions


@pytest.mark.parametrize("seed", range(100, 104))
def test_a_log_that_ends_anywhere_can_be_taken_over(seed: int) -> None:
    with journaled(**BOUNDS) as home:
        play(home, seed)
        log = home.log()
    for end in cuts(log)[::7]:
        broker = new_broker(**BOUNDS)
        whole = log[:end] + end_of(log[:end])
        assert lib.nmq_broker_restore(broker, whole, len(whole)) >= 0, end
        lib.nmq_broker_free(broker)


def check(home: Journaled, *logs: bytes) -> None:
    then = state(saved(home.broker))
    for log in logs:
        with replayed(log, **BOUNDS) as broker:
            now = state(saved(broker))
        assert now.retained == then.retained
        assert now.sessions == then.sessions


def test_a_log_may_end_while_sessions_are_told_in_pieces() -> None:
    in_parts = 0
    for seed in range(400, 440):
        rng = random.Random(seed)
        with journaled(**BOUNDS) as home:
            anew = Anew(home, seed)
            play(home, seed, anew)
            home.stop()
            check(home, home.log(), home.log()[anew.enough :])
            in_parts += anew.in_parts
            home.begin_anew()
            home.retell(rng.randrange(MANY + 20))
            check(home, home.log(), home.log()[anew.enough :])
            begun = home.begin_anew()  # the round before is given up
            assert home.retell()
            check(home, home.log(), home.log()[begun:])
    assert in_parts > 5


def test_the_oldest_epoch_is_needed_no_more_before_all_is_told() -> None:
    """Each piece of three long queues lets go of what was logged longest ago."""
    with journaled(queue_max=1000) as home:
        names = ["a", "b", "c"]
        for name in names:
            with home.client() as client:
                client.send(raw.connect(name, 5, clean=True, properties=KEPT))
                while not client.hears_within(0.01):
                    home.commit()
                client.expect(CONNACK)
                client.send(raw.subscribe(1, ("t", 1), version=5))
                client.ping()
        by = home.client()
        by.connect("by")
        for epoch in range(12):
            for n in range(5):
                by.publish("t", b"%d %d" % (epoch, n), qos=1, packet_id=n + 1)
            by.send(raw.packet(raw.PINGREQ))
            while by.read().kind != PINGRESP:
                pass
            home.commit()
            home.begin_anew(is_round=False)
        home.stop()
        begun = home.begin_anew()
        places = []
        while not home.retell(1):
            places.append(home.needed_from())
            if len(places) < 2 or places[-1] > places[-2]:
                check(home, home.log()[places[-1] :])
        assert places == sorted(places)
        assert len(set(places)) > 8
        assert places[-1] <= begun
        check(home, home.log()[begun:])


def come(home: Journaled, name: str, properties: bytes = KEPT) -> Raw:
    client = home.client()
    client.send(raw.connect(name, 5, clean=False, properties=properties))
    while not client.hears_within(0.01):
        home.commit()
    assert client.expect(CONNACK).reason == 0
    return client


def test_what_is_dropped_is_known_though_its_publisher_was_logged_before() -> None:
    """It was told again meanwhile, with who published it: it is the same message."""
    with journaled(queue_max=1000) as home:
        for name in ("a", "b"):
            with come(home, name) as client:
                client.send(raw.subscribe(1, (f"{name}/#", 1), version=5))
                client.ping()
        by = home.client()
        by.connect("by")

        def publish(topic: str, payload: bytes) -> None:
            by.publish(topic, payload, qos=1, packet_id=1, retain=True)
            by.send(raw.packet(raw.PINGREQ))
            while by.read().kind != PINGRESP:
                pass
            home.commit()

        publish("first", b"x")  # which has logged who publishes
        for n in range(6):
            home.begin_anew(is_round=False)
            publish(f"a/{n}", b"x" * SMALL)
            publish("b", b"x")
        begun = home.begin_anew()
        while home.log()[begun:].count(b"a/#") == 0:  # its subscription
            assert not home.retell(1)
        small = b"\x27" + SMALL.to_bytes(4, "big")
        come(home, "a", KEPT + small).ping()
        while not home.needed_from():
            assert not home.retell(1)
        home.stop()
        check(home, home.log()[home.needed_from() :])
