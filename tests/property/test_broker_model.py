"""Several clients against a model of the broker: every packet that comes is the one expected.

The tests drive it for some seconds; ``make machine`` for ten minutes.
"""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests import raw
from tests.conftest import Process, running_broker
from tests.raw import (
    PINGRESP,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    UNSUBACK,
    Packet,
    Raw,
)

CLIENTS = ["x", "y", "z"]
TOPICS = ["a", "a/b", "a/c", "b", "$d/b"]
FILTERS = ["a", "a/b", "a/+", "a/#", "+/b", "#", "+", "$d/#"]
NO_LOCAL, AS_PUBLISHED = 4, 8
runs = itertools.count()

# What is drawn never depends on what the broker did: Hypothesis must be able to replay it.
NAMES = st.sampled_from(CLIENTS)
WHICH = st.integers(0, 1 << 16)


def matches(filter_: str, topic: str) -> bool:
    """Say whether the filter matches, by the words of 4.7."""
    want, got = filter_.split("/"), topic.split("/")
    for n, level in enumerate(want):
        if level == "#":
            return True
        if n >= len(got) or level not in ("+", got[n]):
            return False
    return len(want) == len(got)


@dataclass(frozen=True)
class Message:
    topic: str
    payload: bytes
    qos: int
    retain: bool


Pool = list[Message]  # messages of which one is meant; retained ones come in any order


@dataclass(eq=False)
class Flight:
    """One message at QoS 1 or 2 that the broker has sent, until its flow is over."""

    pool: Pool  # one message once it was seen
    packet_id: int = 0  # 0: not seen yet
    released: bool = False  # PUBREC has come: PUBREL is what the broker sends
    counted: bool = False  # against the Receive Maximum of this connection


@dataclass(eq=False)
class Due:
    """A packet that is to come."""

    kind: int
    pool: Pool = field(default_factory=list)
    flight: Flight | None = None
    dup: bool = False

    def is_met_by(self, got: Packet) -> bool:
        if got.kind != self.kind or got.dup != self.dup:
            return False
        if self.flight is not None and self.flight.packet_id not in (0, got.packet_id):
            return False
        return got.kind == PUBREL or message_of(got) in self.pool


def message_of(got: Packet) -> Message:
    return Message(got.topic, got.payload, got.qos, got.retain)


@dataclass
class Session:
    kept: bool
    window: int
    subscriptions: dict[str, int] = field(default_factory=dict)  # filter -> options
    queue: list[Pool] = field(default_factory=list)
    flights: list[Flight] = field(default_factory=list)  # in the order of first sending
    resend: list[Flight] = field(default_factory=list)  # not yet sent on this connection
    unreleased: set[int] = field(default_factory=set)  # QoS 2 from the client

    def has_room(self) -> bool:
        return sum(flight.counted for flight in self.flights) < self.window

    def take_up(self) -> list[Due]:
        """A new connection: everything in flight is due again."""
        self.resend = list(self.flights)
        for flight in self.flights:
            flight.counted = False
        return self.pump()

    def pump(self) -> list[Due]:
        """Return what the window lets go out now, in order."""
        due = []
        while self.resend and (self.resend[0].released or self.has_room()):
            flight = self.resend.pop(0)
            flight.counted = not flight.released
            if flight.released:
                due.append(Due(PUBREL, flight=flight))
            else:
                due.append(Due(PUBLISH, flight.pool, flight, dup=True))
        while not self.resend and self.queue and self.has_room():
            flight = Flight(self.queue.pop(0), counted=True)
            self.flights.append(flight)
            due.append(Due(PUBLISH, flight.pool, flight))
        return due

    def offer(self, pool: Pool, qos: int, *, connected: bool) -> list[Due]:
        if qos == 0:
            return [Due(PUBLISH, pool)] if connected else []
        self.queue.append(pool)
        return self.pump() if connected else []


class Client:
    """A connected client: its socket, what has arrived, what is to arrive."""

    def __init__(self, socket_: Raw, will: Message | None) -> None:
        self.socket = socket_
        self.will = will
        self.inbox: list[Packet] = []
        self.due: list[list[Due]] = []  # bags, in order; the packets of a bag in any order

    @property
    def version(self) -> int:
        return self.socket.version

    def expect_in_order(self, due: list[Due]) -> None:
        self.due += [[one] for one in due]

    def wait_for(self, kind: int) -> Packet:
        """Return the next packet of that kind; keep the others."""
        while True:
            got = self.socket.read()
            if got.kind == kind:
                return got
            self.inbox.append(got)

    def sync(self) -> None:
        """Take everything that the broker has sent by now."""
        self.socket.send(raw.packet(raw.PINGREQ))
        self.wait_for(PINGRESP)

    def check(self) -> None:
        """Compare what has arrived with what was due."""
        for got in self.inbox:
            assert self.due, f"nothing was due, but {got} came"
            bag = self.due[0]
            met = next((one for one in bag if one.is_met_by(got)), None)
            assert met is not None, f"{got} came, due was one of {bag}"
            bag.remove(met)
            if not bag:
                self.due.pop(0)
            if got.kind == PUBLISH:
                met.pool.remove(message_of(got))
            if met.flight is not None and got.kind == PUBLISH:
                met.flight.packet_id = got.packet_id
                met.flight.pool = [message_of(got)]
        self.inbox.clear()
        assert not self.due, f"did not come: {self.due}"


class BrokerMachine(RuleBasedStateMachine):
    process: Process

    @initialize(
        windows=st.lists(st.sampled_from([1, 2, 100]), min_size=3, max_size=3),
        filters=st.lists(st.sampled_from(FILTERS), min_size=3, max_size=3),
        qos=st.lists(st.integers(0, 2), min_size=3, max_size=3),
    )
    def begin(self, windows: list[int], filters: list[str], qos: list[int]) -> None:
        self.prefix = f"m{next(runs):07}"
        self.numbers = itertools.count(1)
        self.sessions: dict[str, Session] = {}
        self.clients: dict[str, Client] = {}
        self.retained: dict[str, tuple[Message, str]] = {}  # topic -> message, publisher
        for n, name in enumerate(CLIENTS):
            self.come_in(
                name, version=5, clean=True, kept=n > 0, window=windows[n], will=None
            )
            self.subscribe_to(name, filters[n], qos[n])
            self.subscribe_to(name, "#", qos[n - 1])

    def pick(self, which: int) -> tuple[str, Client]:
        names = sorted(self.clients)
        name = names[which % len(names)]
        return name, self.clients[name]

    def named(self, topic: str) -> str:
        """Give each run topics of its own, in the same shape."""
        if topic.startswith("$"):
            return f"${self.prefix}/{topic[1:]}"
        return f"{self.prefix}/{topic}"

    # --- the broker

    def route(self, message: Message, publisher: str) -> None:
        if message.retain and message.payload:
            self.retained[message.topic] = (message, publisher)
        elif message.retain:
            self.retained.pop(message.topic, None)
        for name, session in self.sessions.items():
            options = [
                options
                for filter_, options in session.subscriptions.items()
                if matches(filter_, message.topic)
                and not (options & NO_LOCAL and name == publisher)
            ]
            if options:
                qos = min(message.qos, max(o & 3 for o in options))
                retain = message.retain and any(o & AS_PUBLISHED for o in options)
                copy = Message(message.topic, message.payload, qos, retain)
                client = self.clients.get(name)
                due = session.offer([copy], qos, connected=client is not None)
                if client is not None:
                    client.expect_in_order(due)

    def send_retained(self, name: str, filter_: str, options: int) -> None:
        """Messages in any order: those at QoS 0 at once, the others as the window allows."""
        pools: dict[bool, Pool] = {False: [], True: []}
        for message, publisher in self.retained.values():
            if matches(filter_, message.topic) and not (
                options & NO_LOCAL and publisher == name
            ):
                qos = min(message.qos, options & 3)
                pools[qos > 0].append(Message(message.topic, message.payload, qos, True))
        session, client = self.sessions[name], self.clients[name]
        bag = [Due(PUBLISH, pools[False]) for _ in pools[False]]
        for _ in list(pools[True]):
            bag += session.offer(pools[True], 1, connected=True)
        if bag:
            client.due.append(bag)

    def depart(self, name: str, *, send_will: bool) -> None:
        gone = self.clients.pop(name)
        gone.socket.close()
        if not self.sessions[name].kept:
            del self.sessions[name]
        if send_will and gone.will is not None:
            self.route(gone.will, name)

    # --- what clients do

    @rule(
        name=NAMES,
        version=st.sampled_from([4, 5]),
        clean=st.booleans(),
        kept=st.booleans(),
        window=st.sampled_from([1, 2, 100]),
        will=st.none()
        | st.tuples(st.sampled_from(TOPICS), st.integers(0, 2), st.booleans()),
    )
    def connect(
        self,
        name: str,
        version: int,
        clean: bool,
        kept: bool,
        window: int,
        will: tuple[str, int, bool] | None,
    ) -> None:
        self.come_in(
            name, version=version, clean=clean, kept=kept, window=window, will=will
        )

    def come_in(
        self,
        name: str,
        *,
        version: int,
        clean: bool,
        kept: bool,
        window: int,
        will: tuple[str, int, bool] | None,
    ) -> None:
        if version == 4:
            kept, window = not clean, 100
        message = None
        if will is not None:
            payload = b"will %d" % next(self.numbers)
            message = Message(self.named(will[0]), payload, will[1], will[2])
        client = Client(self.process.raw(version), message)
        properties = b"\x11\x00\x00\x01\x2c" if kept else b""
        properties += b"\x21" + window.to_bytes(2, "big")
        got = client.socket.connect(
            self.prefix + name,
            clean=clean,
            properties=properties,
            will=message and (message.topic, message.payload, message.qos, message.retain),
        )
        old = self.clients.pop(name, None)
        if old is not None:
            old.socket.read_until_closed()
            old.socket.close()
        session = self.sessions.get(name)
        if session is None or clean or not session.kept:
            assert (got.reason, got.flags) == (0, 0)
            session = self.sessions[name] = Session(kept, window)
        else:
            assert (got.reason, got.flags) == (0, 1)
        session.kept, session.window = kept, window
        self.clients[name] = client
        client.expect_in_order(session.take_up())
        if old is not None and old.will is not None:
            self.route(old.will, name)

    @rule(name=NAMES, window=st.sampled_from([1, 2]))
    def come_back(self, name: str, window: int) -> None:
        """Take the session up again, the case with the most state behind it."""
        self.come_in(name, version=5, clean=False, kept=True, window=window, will=None)

    @rule(
        which=WHICH,
        topic=st.sampled_from(TOPICS),
        qos=st.integers(0, 2),
        retain=st.booleans(),
        empty=st.booleans(),
        release=st.booleans(),
    )
    def publish(
        self,
        which: int,
        topic: str,
        qos: int,
        retain: bool,
        empty: bool,
        release: bool,
    ) -> None:
        if not self.clients:
            return
        name, client = self.pick(which)
        unreleased = self.sessions[name].unreleased
        payload = b"" if empty and retain else b"%d" % next(self.numbers)
        packet_id = next(i for i in itertools.count(1) if i not in unreleased)
        message = Message(self.named(topic), payload, qos, retain)
        client.socket.publish(
            message.topic, payload, qos=qos, packet_id=packet_id, retain=retain
        )
        self.route(message, name)
        if qos == 0:
            client.sync()
        else:
            got = client.wait_for(PUBACK if qos == 1 else PUBREC)
            assert got.packet_id == packet_id
        if qos == 2:
            unreleased.add(packet_id)
            if release:
                self.release(name, packet_id)

    def release(self, name: str, packet_id: int) -> None:
        client = self.clients[name]
        client.socket.send(raw.ack(PUBREL, packet_id))
        got = client.wait_for(PUBCOMP)
        assert (got.packet_id, got.reason) == (packet_id, 0)
        self.sessions[name].unreleased.remove(packet_id)

    def unreleased(self) -> list[tuple[str, int]]:
        return [
            (n, i)
            for n in sorted(self.clients)
            for i in sorted(self.sessions[n].unreleased)
        ]

    @rule(which=WHICH, again=st.booleans())
    def go_on_with_qos2(self, which: int, again: bool) -> None:
        """Send the PUBLISH again, as if its PUBREC had been lost, or the PUBREL."""
        waiting = self.unreleased()
        if not waiting:
            return
        name, packet_id = waiting[which % len(waiting)]
        if not again:
            self.release(name, packet_id)
            return
        client = self.clients[name]
        client.socket.publish(
            self.named("a"), b"known", qos=2, packet_id=packet_id, dup=True
        )
        assert client.wait_for(PUBREC).packet_id == packet_id

    @rule(
        which=WHICH,
        filter_=st.sampled_from(FILTERS),
        qos=st.integers(0, 2),
        flags=st.sampled_from([0, NO_LOCAL, AS_PUBLISHED, NO_LOCAL | AS_PUBLISHED]),
        handling=st.integers(0, 2),
    )
    def subscribe(
        self, which: int, filter_: str, qos: int, flags: int, handling: int
    ) -> None:
        if not self.clients:
            return
        name, client = self.pick(which)
        if client.version == 4:
            flags = handling = 0
        self.subscribe_to(name, filter_, qos | flags | handling << 4)

    def subscribe_to(self, name: str, filter_: str, options: int) -> None:
        client, subscriptions = self.clients[name], self.sessions[name].subscriptions
        text = self.named(filter_)
        client.socket.send(raw.subscribe(9, (text, options), version=client.version))
        assert client.wait_for(SUBACK).codes == [options & 3]
        is_new = text not in subscriptions
        subscriptions[text] = options
        handling = options >> 4
        if handling == 0 or (handling == 1 and is_new):
            self.send_retained(name, text, options)

    @rule(which=WHICH, filter_=st.sampled_from(FILTERS))
    def unsubscribe(self, which: int, filter_: str) -> None:
        if not self.clients:
            return
        name, client = self.pick(which)
        text = self.named(filter_)
        client.socket.send(raw.unsubscribe(8, text, version=client.version))
        had = self.sessions[name].subscriptions.pop(text, None) is not None
        got = client.wait_for(UNSUBACK)
        assert client.version == 4 or got.codes == [0 if had else 0x11]

    def in_flight(self) -> list[tuple[str, Flight]]:
        """What clients have received on this connection and not acknowledged to the end."""
        return [
            (name, flight)
            for name in sorted(self.clients)
            for flight in self.sessions[name].flights
            if flight not in self.sessions[name].resend
        ]

    @rule(which=WHICH, refuse=st.sampled_from([False, False, False, True]))
    def acknowledge(self, which: int, refuse: bool) -> None:
        waiting = self.in_flight()
        if not waiting:
            return
        name, flight = waiting[which % len(waiting)]
        client, session = self.clients[name], self.sessions[name]
        reason = 0x80 if refuse and client.version == 5 else None
        if flight.released:
            client.socket.send(raw.ack(PUBCOMP, flight.packet_id))
        elif flight.pool[0].qos == 1:
            client.socket.send(raw.ack(PUBACK, flight.packet_id, reason))
        else:
            client.socket.send(raw.ack(PUBREC, flight.packet_id, reason))
            if reason is None:
                flight.released = True
                client.expect_in_order([Due(PUBREL, flight=flight)])
                return
        session.flights.remove(flight)
        client.expect_in_order(session.pump())

    @rule(which=WHICH, at=WHICH, packet=st.sampled_from(["publish", "subscribe", "puback"]))
    def drop_the_line(self, which: int, at: int, packet: str) -> None:
        """Cut the line after any byte of a packet, which then never was."""
        if not self.clients:
            return
        name, client = self.pick(which)
        whole = {
            "publish": raw.publish(
                self.named("a"), b"cut", client.version, qos=1, packet_id=1
            ),
            "subscribe": raw.subscribe(1, (self.named("#"), 1), version=client.version),
            "puback": raw.ack(PUBACK, 1),
        }[packet]
        client.socket.send(whole[: at % len(whole)])
        client.socket.sock.shutdown(socket.SHUT_WR)
        assert client.socket.read_until_closed() == []
        self.depart(name, send_will=True)

    @rule(which=WHICH, with_will=st.booleans())
    def disconnect(self, which: int, with_will: bool) -> None:
        if not self.clients:
            return
        name, client = self.pick(which)
        with_will = with_will and client.version == 5
        client.socket.send(raw.disconnect(client.version, 4 if with_will else 0))
        assert client.socket.read_until_closed() == []
        self.depart(name, send_will=with_will)

    @invariant()
    def everything_due_has_come(self) -> None:
        for client in getattr(self, "clients", {}).values():
            client.sync()
            client.check()

    def teardown(self) -> None:
        for client in getattr(self, "clients", {}).values():
            client.socket.close()
        for name in getattr(self, "sessions", {}):
            with self.process.raw(5) as c:
                c.connect(self.prefix + name)
                for topic in self.retained:
                    c.publish(topic, b"", retain=True)
                c.leave()


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with running_broker(tmp_path_factory.mktemp("model")) as made:
        yield made


def test_broker_does_what_its_model_does(process: Process) -> None:
    examples = int(os.environ.get("MACHINE_EXAMPLES", "150"))
    BrokerMachine.process = process
    run_state_machine_as_test(
        BrokerMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
