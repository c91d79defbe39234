"""Clients that note all they send and get. Each lives in a thread of its own, from one death
of the broker to the next, and keeps between them what the specification has it keep."""

from __future__ import annotations

import contextlib
import random
import struct
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from tests import raw
from tests.durability.notes import (
    LONG_S,
    NEVER,
    Audience,
    Message,
    Notes,
    Period,
    Receipt,
    payload_of,
    stamp,
)
from tests.raw import (
    CONNACK,
    DISCONNECT,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    UNSUBACK,
    Closed,
    Raw,
)

FOR_EVER = b"\x11\xff\xff\xff\xff"
STUCK_S = 30.0
LOOK_S = 0.02
GONE = (Closed, OSError)
REFUSED = 0x80


@dataclass
class Cycle:
    """The life of one broker."""

    port: int
    stopped: threading.Event = field(default_factory=threading.Event)
    closing: bool = False  # publishers finish what they have begun; nothing is killed

    def pause(self, seconds: float) -> None:
        self.stopped.wait(seconds)


class Client:
    def __init__(self, name: str, version: int, notes: Notes, seed: str) -> None:
        self.name, self.version, self.notes = name, version, notes
        self.rng = random.Random(f"{seed} {name}")
        self.known = False  # the broker has acknowledged that it has the session
        self.properties = b""  # of CONNECT

    def run(self, cycle: Cycle) -> None:
        try:
            while not cycle.stopped.is_set():
                with contextlib.suppress(*GONE):
                    self.live(cycle)
                if self.is_done(cycle):
                    return
                cycle.pause(LOOK_S)
        except Exception:
            self.notes.findings.add("client", f"{self.name}: {traceback.format_exc()}")

    def live(self, cycle: Cycle) -> None:
        raise NotImplementedError

    def is_done(self, cycle: Cycle) -> bool:
        return False

    def come(
        self,
        cycle: Cycle,
        *,
        clean: bool = False,
        will: tuple[str, bytes, int, bool] | None = None,
    ) -> Raw:
        client = Raw(cycle.port, self.version, STUCK_S)
        try:
            client.send(
                raw.connect(
                    self.name,
                    self.version,
                    clean=clean,
                    properties=FOR_EVER + self.properties if self.version == 5 else b"",
                    will=will,
                )
            )
            answer = self.read(client)
            if answer.kind != CONNACK or answer.reason:
                raise Closed
        except BaseException:
            client.close()
            raise
        present = bool(answer.flags & 1)
        if present and clean:
            self.notes.findings.add("session", f"{self.name}: it is still there")
        if self.known and not clean and not present:
            self.notes.findings.add("session", f"{self.name}: it is gone")
        if not present:
            self.begin_anew()
        self.known = True
        return client

    def begin_anew(self) -> None:
        """The broker has made a session."""

    def read(self, client: Raw) -> raw.Packet:
        try:
            packet = client.read()
        except TimeoutError:
            self.notes.findings.add("stuck", self.name)
            raise
        if packet.kind == DISCONNECT:
            raise Closed
        return packet


# --- publishers


@dataclass
class Out:
    """A message on its way."""

    message: Message
    released: bool = False  # PUBREC has come


@dataclass
class Habit:
    """How somebody publishes."""

    qos: int
    window: int
    topics: list[str]
    sizes: list[int]
    retain: bool = False
    clears: float = 0.0  # how often it clears what is retained
    expires: list[int] = field(default_factory=lambda: [0])
    pause_s: float = 0.0


class Publisher(Client):
    def __init__(
        self, name: str, version: int, notes: Notes, seed: str, habit: Habit
    ) -> None:
        super().__init__(name, version, notes, seed)
        self.habit = habit
        self.out: dict[int, Out] = {}  # by packet identifier, in their order
        self.numbers = dict.fromkeys(habit.topics, 0)
        self.last_id = 0

    def is_done(self, cycle: Cycle) -> bool:
        return cycle.closing and not self.out

    def live(self, cycle: Cycle) -> None:
        with self.come(cycle) as client:
            for packet_id, out in self.out.items():
                self.send(client, packet_id, out)
            while not cycle.stopped.is_set():
                while len(self.out) < self.habit.window and not cycle.closing:
                    self.send_next(client)
                if not self.out:
                    return
                self.hear(client, self.read(client))
                if self.habit.pause_s:
                    cycle.pause(self.rng.random() * self.habit.pause_s)

    def send_next(self, client: Raw) -> None:
        """Packet identifiers are few, so that each is soon used again."""
        while self.last_id in self.out or not self.last_id:
            self.last_id = self.last_id % (self.habit.window + 2) + 1
        topic = self.rng.choice(self.habit.topics)
        self.numbers[topic] += 1
        clears = self.rng.random() < self.habit.clears
        message = Message(
            topic,
            self.numbers[topic],
            self.habit.qos,
            0 if clears else self.rng.choice(self.habit.sizes),
            self.rng.choice(self.habit.expires),
        )
        book = self.notes.retained if self.habit.retain else self.notes.messages
        book[topic].append(message)
        self.out[self.last_id] = out = Out(message)
        self.send(client, self.last_id, out)

    def send(self, client: Raw, packet_id: int, out: Out) -> None:
        if out.released:
            client.send(raw.ack(PUBREL, packet_id))
            return
        m = out.message
        m.attempts += 1
        client.send(
            raw.publish(
                m.topic,
                m.payload() if m.size else b"",
                self.version,
                qos=m.qos,
                packet_id=packet_id,
                dup=m.attempts > 1,
                retain=self.habit.retain,
                properties=properties_of(m) if self.version == 5 else b"",
            )
        )

    def hear(self, client: Raw, packet: raw.Packet) -> None:
        packet_id = packet.packet_id
        if packet_id not in self.out:
            self.notes.findings.add("unasked", f"{self.name}: {packet}")
            return
        if packet.kind in (PUBACK, PUBREC) and packet.reason >= REFUSED:
            m = self.out.pop(packet_id).message
            m.refused = m.attempts == 1
            return
        if packet.kind in (PUBACK, PUBREC):
            m = self.out[packet_id].message
            m.taken, m.taken_at = m.taken or stamp(), time.time()
        if packet.kind == PUBREC:
            self.out[packet_id].released = True
            client.send(raw.ack(PUBREL, packet_id))
        elif packet.kind in (PUBACK, PUBCOMP):
            del self.out[packet_id]


def properties_of(m: Message) -> bytes:
    expiry = b"\x02" + struct.pack(">I", m.expiry_s) if m.expiry_s else b""
    return expiry + b"\x26" + raw.text("n") + raw.text(str(m.number))


# --- receivers


class Receiver(Client):
    """Comes and goes, and is slow with its answers at times."""

    steady = False  # it never changes what it has subscribed
    end_share = 0.0  # how often it ends its session when it comes

    def __init__(
        self,
        name: str,
        version: int,
        notes: Notes,
        seed: str,
        audience: Audience,
        topic_filter: str = "",
    ) -> None:
        super().__init__(name, version, notes, seed)
        self.audience = audience
        self.topic_filter = topic_filter or audience.topic_filter
        self.unreleased: set[int] = set()
        self.wants, self.sure = True, False
        self.period: Period | None = None  # its own last one
        self.replies: list[bytes] = []
        self.came_at = 0.0
        self.ending = False

    def live(self, cycle: Cycle) -> None:
        if self.ending or (self.rng.random() < self.end_share and not cycle.closing):
            client = self.come_anew(cycle)
        else:
            self.came_at = time.time()
            client = self.come(cycle)
        while True:
            with client:
                self.replies.clear()
                if not self.sure:
                    self.ask(client)
                self.stay(cycle, client)
                leaves = self.rng.random()
                if leaves < 0.3 and not cycle.closing:
                    self.came_at = time.time()
                    client = self.come(cycle)  # takes over from the one before
                    continue
                if leaves < 0.6:
                    client.send(raw.disconnect(self.version))
                break
        if not cycle.closing:
            cycle.pause(self.rng.random() ** 3 * 0.4)

    def come_anew(self, cycle: Cycle) -> Raw:
        """End the session, and come with a new one."""
        self.ending = True  # until it is known that the old one is gone
        if self.period is not None:
            self.period.until = min(self.period.until, stamp())
            self.period.session_ended = True
        client = self.come(cycle, clean=True)
        self.ending = False
        return client

    def begin_anew(self) -> None:
        if self.period is not None:
            self.period.until = min(self.period.until, stamp())
            self.period.ended = min(self.period.ended, stamp())
        self.period = None
        self.unreleased.clear()
        self.sure, self.wants = False, True

    # --- subscribing

    def ask(self, client: Raw) -> None:
        """Ask for what it wants, once more where no answer has come."""
        if self.wants:
            if self.period is None or self.period.until != NEVER:
                self.period = Period()
                self.audience.periods.append(self.period)
            one = (self.topic_filter, self.audience.qos)
            client.send(raw.subscribe(1, one, version=self.version))
        else:
            assert self.period is not None
            self.period.until = min(self.period.until, stamp())
            client.send(raw.unsubscribe(1, self.topic_filter, version=self.version))

    def change_mind(self, client: Raw) -> None:
        if self.sure:
            self.wants, self.sure = not self.wants, False
            self.ask(client)

    def answered(self, packet: raw.Packet) -> None:
        if self.period is None or self.sure:
            return
        if packet.kind == SUBACK and packet.codes[0] < REFUSED and self.wants:
            self.period.since = min(self.period.since, stamp())
            self.sure = True
        elif packet.kind == UNSUBACK and not self.wants:
            self.period.ended = min(self.period.ended, stamp())
            self.sure = True

    # --- taking

    def stay(self, cycle: Cycle, client: Raw) -> None:
        patience = self.rng.randrange(1, 400)
        lazy = self.rng.choice([1, 1, 1, 10])
        while patience and not cycle.stopped.is_set():
            if not client.hears_within(LOOK_S):
                self.reply(client)
                if cycle.closing:
                    return
                continue
            self.take(self.read(client))
            patience -= 1
            if len(self.replies) >= lazy:
                self.reply(client)
            if not self.steady and self.rng.random() < 0.02 and not cycle.closing:
                self.change_mind(client)
        self.reply(client)

    def reply(self, client: Raw) -> None:
        replies, self.replies = self.replies, []
        client.send(*replies)

    def take(self, packet: raw.Packet) -> None:
        if packet.kind in (SUBACK, UNSUBACK):
            self.answered(packet)
        elif packet.kind == PUBREL:
            self.unreleased.discard(packet.packet_id)
            self.replies.append(raw.ack(PUBCOMP, packet.packet_id))
        elif packet.kind == PUBLISH:
            if packet.qos < 2 or packet.packet_id not in self.unreleased:
                self.note(packet)
            if packet.qos == 2:
                self.unreleased.add(packet.packet_id)
            if packet.qos:
                kind = PUBACK if packet.qos == 1 else PUBREC
                self.replies.append(raw.ack(kind, packet.packet_id))

    def note(self, packet: raw.Packet) -> None:
        number, size = (int(text) for text in packet.payload.split(b" ", 2)[:2])
        whole = packet.payload == payload_of(number, size)
        named = self.version != 5 or packet.topic[0] != "m" or not packet.properties
        named = named or raw.text(str(number)) in packet.properties
        if not whole or not named:
            self.notes.findings.add("garbled", f"{self.name}: {packet.topic} {number}")
        receipts = self.audience.receipts[packet.topic]
        receipts.append(Receipt(number, packet.dup, self.came_at))


class Steady(Receiver):
    steady = True


class Changeling(Receiver):
    steady = True
    end_share = 0.3


# --- wills


class Mortal(Client):
    """Leaves a will, and goes as it may."""

    def __init__(self, name: str, version: int, notes: Notes, seed: str, qos: int) -> None:
        super().__init__(name, version, notes, seed)
        self.topic, self.qos, self.number = f"w/{name}", qos, 0

    def is_done(self, cycle: Cycle) -> bool:
        return cycle.closing

    def live(self, cycle: Cycle) -> None:
        if cycle.closing:
            return
        self.number += 1
        will = Message(self.topic, self.number, self.qos, 100, attempts=1, is_will=True)
        self.notes.messages[self.topic].append(will)
        what = (self.topic, will.payload(), self.qos, False)
        with self.come(cycle, will=what) as client:
            stays_s = self.rng.random() * 0.6
            if client.hears_within(stays_s):
                with contextlib.suppress(*GONE):
                    client.read()
            elif self.rng.random() < 0.3:
                client.send(raw.disconnect(self.version))
                return
            will.taken, will.taken_at = stamp(), time.time()


def start(clients: list[Client], cycle: Cycle) -> Callable[[], None]:
    """Start them; return what waits for their ends."""
    threads = [threading.Thread(target=one.run, args=(cycle,)) for one in clients]
    for thread in threads:
        thread.start()

    def join() -> None:
        for thread in threads:
            thread.join()

    return join


def retained(port: int) -> dict[str, int]:
    """Return the number of what is retained below r/, by topic."""
    found: dict[str, int] = {}
    with Raw(port, 5, STUCK_S) as client:
        assert client.connect("").reason == 0
        client.send(raw.subscribe(1, ("r/#", 0), version=5), raw.packet(raw.PINGREQ))
        while (packet := client.read()).kind != raw.PINGRESP:
            if packet.kind == PUBLISH:
                number, size = (int(text) for text in packet.payload.split(b" ", 2)[:2])
                whole = packet.payload == payload_of(number, size)
                found[packet.topic] = number if whole else 0
        client.send(raw.disconnect(5))
    return found


def everybody(notes: Notes, seed: str) -> tuple[list[Client], list[Receiver]]:
    """Return who publishes, and who receives."""
    small = [20, 60, 200, 1000]
    habits = {
        ("a", 5): Habit(1, 8, topics_of("a"), small),
        ("b", 5): Habit(2, 8, topics_of("b"), small),
        ("c", 4): Habit(1, 1, topics_of("c"), small),
        ("d", 4): Habit(2, 4, topics_of("d"), small),
        ("e", 5): Habit(
            2, 2, topics_of("e"), [9000, 70_000, 300_000, 1_500_000], pause_s=0.05
        ),
        ("f", 5): Habit(1, 4, topics_of("f"), small, expires=[0, 1, LONG_S], pause_s=0.02),
        ("g", 5): Habit(
            1, 3, ["r/g/0", "r/g/1", "r/g/2"], [*small, 20_000], retain=True, clears=0.2
        ),
        ("h", 4): Habit(2, 2, ["r/h/0", "r/h/1"], small, retain=True, clears=0.3),
    }
    senders: list[Client] = [
        Publisher(f"from-{name}", version, notes, seed, habit)
        for (name, version), habit in habits.items()
    ]
    senders += [Mortal(f"x{n}", 5, notes, seed, 2) for n in range(6)]
    senders += [
        Mortal("x", 5, notes, seed, 1), Mortal("y", 4, notes, seed, 2),
    ]  # fmt: skip
    return senders, receivers_of(notes, seed)


def topics_of(name: str) -> list[str]:
    return [f"m/{name}/{n}" for n in range(3)]


def receivers_of(notes: Notes, seed: str) -> list[Receiver]:
    def audience(name: str, topic_filter: str, qos: int, ordered: bool = True) -> Audience:
        notes.audiences.append(Audience(name, topic_filter, qos, ordered))
        return notes.audiences[-1]

    group = audience("group", "m/+/2", 2, ordered=False)
    others = audience("others", "m/+/1", 1, ordered=False)
    receivers: list[Receiver] = [
        Steady("to-0", 5, notes, seed, audience("to-0", "m/+/0", 2)),
        Steady("to-1", 4, notes, seed, audience("to-1", "m/+/1", 2)),
        Steady("to-2", 4, notes, seed, audience("to-2", "m/+/2", 1)),
        Receiver("fickle", 5, notes, seed, audience("fickle", "m/+/0", 2)),
        Receiver("moody", 4, notes, seed, audience("moody", "m/+/1", 1)),
        Changeling("changeling", 5, notes, seed, audience("changeling", "m/+/2", 2)),
        Steady("heir", 5, notes, seed, audience("heir", "w/+", 2)),
        *(Steady(f"g{n}", 5, notes, seed, group, "$share/g/m/+/2") for n in range(3)),
        *(Steady(f"o{n}", 5, notes, seed, others, "$share/o/m/+/1") for n in range(2)),
    ]
    for n, receiver in enumerate(receivers):
        if n % 2 == 0 and receiver.version == 5:
            receiver.properties = b"\x21\x00\x05"  # Receive Maximum
    return receivers
