"""A process on whose disk one operation fails: the n-th write, flush, open, ... of its life.

    starts ── everybody does something of everything, one after the other ── ends
                          └─ the n-th write fails: who is told what?
    starts again ── what was acknowledged before is there

Source   durability.md: A disk that fails, A full disk
"""

from __future__ import annotations

import contextlib
import errno
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests import raw
from tests.durability.homes import Ended, Program, broker
from tests.durability.shim import Fault, Faulty
from tests.eventually import eventually
from tests.raw import (
    CONNACK,
    DISCONNECT,
    PINGRESP,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    UNSUBACK,
    Closed,
    Packet,
    Raw,
)

STEPS = 36
LARGE = bytes(300_000)  # so that segments of 1 MiB are filled, and the log begins anew
KEPT = b"\x11\x00\x00\x0e\x10"
OVER = b"\x11\x00\x00\x00\x00"  # the session ends with this connection
REFUSALS = (0x83, 0x97)
KINDS = ("open", "make", "write", "flush", "rename", "remove")
ERRORS = (errno.EIO, errno.ENOSPC)


class Refused(Exception):
    """The broker has said no, in that packet, or has closed a connection, as it may."""

    def __init__(self, by: Packet | None = None) -> None:
        super().__init__(by)
        self.by = by


@dataclass
class Known:
    """What clients know for sure. Messages at QoS 2 have odd numbers."""

    sent: set[int] = field(default_factory=set)
    taken: dict[str, set[int]] = field(default_factory=lambda: {"away": set(), "to": set()})
    refused: set[int] = field(default_factory=set)
    over: Counter[int] = field(default_factory=Counter)  # what `to` has taken
    answers: set[str] = field(default_factory=set)  # to what else was acknowledged
    retained: list[int] = field(default_factory=list)  # it is the last one, or a later
    retained_sent: int = 0
    late: set[str] = field(default_factory=set)  # acknowledged, and asked after the fault


class Load:
    """Clients of one life."""

    def __init__(self, port: int, disk: Faulty, known: Known) -> None:
        self.port, self.disk, self.known = port, disk, known
        self._open = contextlib.ExitStack()
        self._asked_late = False

    def client(self, version: int = 5) -> Raw:
        return self._open.enter_context(Raw(self.port, version, 20))

    def close(self) -> None:
        self._open.close()

    def asks(self) -> None:
        self._asked_late = self.disk.failed() > 0

    def heard(self, what: str, *, is_kept: bool = True) -> None:
        """Something that waits for the disk, where it is kept, was acknowledged."""
        self.known.answers.add(what)
        if self._asked_late and is_kept:
            self.known.late.add(what)

    def answer(self, client: Raw, kind: int) -> Packet:
        """Return the next packet, which is of that kind. Raises Refused."""
        try:
            got = client.read()
        except (Closed, ConnectionError):
            raise Refused from None
        codes = got.codes if got.kind in (SUBACK, UNSUBACK) else []
        if got.kind == DISCONNECT or any(c >= 0x80 for c in (got.reason, *codes)):
            allowed = (0x80, *REFUSALS) if client.version == 4 else (0, 0x8B, *REFUSALS)
            assert all(c in allowed for c in (got.reason, *codes) if c >= 0x80), got
            raise Refused(got)
        if got.kind == CONNACK and got.reason:
            assert (client.version, got.reason) == (4, 3), got
            raise Refused
        assert got.kind == kind, got
        return got

    def come(self, name: str, version: int, properties: bytes = KEPT) -> Raw:
        client = self.client(version)
        self.asks()
        options = {"properties": properties} if version == 5 else {}
        client.send(raw.connect(name, version, clean=False, **options))  # type: ignore[arg-type]
        ack = self.answer(client, CONNACK)
        assert bool(ack.flags & 1) or f"session {name}" not in self.known.answers, name
        return client

    def keep(self, name: str, version: int) -> Raw:
        client = self.come(name, version)
        self.heard(f"session {name}")
        return client

    def subscribe(self, client: Raw, name: str, *filters: tuple[str, int]) -> None:
        self.asks()
        client.send(raw.subscribe(1, *filters, version=client.version))
        self.answer(client, SUBACK)
        for one, _ in filters:
            self.heard(f"{name} has {one}")

    def publish(self, by: Raw, topic: str, number: int) -> None:
        qos = 1 + number % 2
        payload = b"%d " % number + (LARGE if topic == "large" else b"")
        self.asks()
        self.known.sent.add(number)
        try:
            by.publish(topic, payload, qos=qos, packet_id=number)
            self.answer(by, PUBACK if qos == 1 else PUBREC)
        except Refused as refused:
            if refused.by is not None and refused.by.kind in (PUBACK, PUBREC):
                self.known.refused.add(number)
            raise
        for name in ("away", "to"):
            if f"{name} has {topic}" in self.known.answers:
                self.known.taken[name].add(number)
        is_kept = any(number in taken for taken in self.known.taken.values())
        self.heard(f"message {number}", is_kept=is_kept)
        if qos == 2:
            by.send(raw.ack(PUBREL, number))
            self.answer(by, PUBCOMP)

    def retain(self, by: Raw, number: int) -> None:
        self.asks()
        self.known.retained_sent = number
        by.publish("retained", b"%d" % number, qos=1, packet_id=999, retain=True)
        self.answer(by, PUBACK)
        self.known.retained.append(number)
        self.heard(f"retained {number}")

    def take(self, client: Raw, number: int) -> None:
        got = self.answer(client, PUBLISH)
        assert int(got.payload.split(b" ")[0]) == number
        if got.qos == 2:
            client.send(raw.ack(PUBREC, got.packet_id))
            self.answer(client, PUBREL)
        self.known.over[number] += 1
        client.send(raw.ack(PUBACK if got.qos == 1 else PUBCOMP, got.packet_id))

    def live(self) -> None:
        """Do something of everything. Raises Refused as soon as something is."""
        away = self.keep("away", 4)
        self.subscribe(away, "away", ("small", 1))
        away.send(raw.disconnect())
        to = self.keep("to", 5)
        self.subscribe(to, "to", ("small", 2), ("large", 2), ("gone", 1))
        by = [self.keep("by5", 5), self.client(4)]
        by[1].connect("by4")
        for number in range(1, STEPS + 1):
            one = by[number // 2 % 2]
            self.publish(one, "small" if number % 4 > 1 else "large", number)
            self.take(to, number)
            if number % 6 == 0:
                self.retain(one, number)
        self.asks()
        to.send(raw.unsubscribe(9, "gone", version=5))
        self.answer(to, UNSUBACK)
        self.heard("end of gone")
        by[0].send(raw.disconnect(5))
        self.come("by5", 5, OVER)

    def go_on(self) -> None:
        """Try again what would be kept, with connections of their own."""
        for number, what in enumerate(
            ("publish4", "publish5", "session", "end"), STEPS + 1
        ):
            with contextlib.suppress(Refused):
                self.one_more(what, number)

    def one_more(self, what: str, number: int) -> None:
        if what == "session":
            self.keep("new", 5)
        elif what == "end":
            self.come("to", 5)  # it is there, and whoever is there comes or is refused
        else:
            by = self.client(int(what[-1]))
            by.connect(what)
            self.publish(by, "small", number)

    def free(self) -> None:
        """What is not kept goes on."""
        for version in (4, 5):
            client = self.client(version)
            assert client.connect(f"free{version}").reason == 0
            client.subscribe(("free", 0))
            client.publish("free", b"0")
            assert client.expect(PUBLISH).payload == b"0"
            client.publish("small", b"0")  # at QoS 0 to sessions that are kept
            client.ping()
            client.close()


def waiting(load: Load, name: str, version: int) -> list[int]:
    """Return what comes to a client that is back; all of it is taken."""
    client = load.come(name, version)
    client.send(raw.packet(raw.PINGREQ))
    numbers, pinged = [], False
    while not pinged or client.hears_within(0.05):
        got = client.read()
        pinged = pinged or got.kind == PINGRESP
        if got.kind == PUBLISH and got.qos:
            numbers.append(int(got.payload.split(b" ")[0]))
            client.send(raw.ack(PUBACK if got.qos == 1 else PUBREC, got.packet_id))
        elif got.kind == PUBREL:
            client.send(raw.ack(PUBCOMP, got.packet_id))
    return numbers


def check(load: Load) -> None:
    """What was acknowledged is there."""
    known = load.known
    away = set(waiting(load, "away", 4))
    assert away >= known.taken["away"], known.taken["away"] - away
    assert not away & known.refused
    to = waiting(load, "to", 5)
    missing = known.taken["to"] - set(to) - set(known.over)
    assert not missing, missing
    twice = [n for n in to if n % 2 and known.over[n]]
    assert not twice, twice
    by = load.client()
    by.connect("by")
    if "end of gone" in known.answers:
        by.publish("gone", b"0", qos=1, packet_id=1)
        assert by.expect(PUBACK).reason == 0x10
    by.subscribe(("retained", 0))
    by.send(raw.packet(raw.PINGREQ))
    got = by.read()
    kept = int(got.payload) if got.kind == PUBLISH else 0
    least = known.retained[-1] if known.retained else 0
    assert kept in (least, known.retained_sent), (kept, least)


@dataclass
class Outcome:
    """What there was.

    counts      operations, by kind
    said        what the log says: "failed", "full" or neither
    began_anew  so did the log, and what is live was told again
    """

    counts: dict[str, int] = field(default_factory=dict)
    started: bool = True
    said: str = ""
    began_anew: bool = False
    known: Known = field(default_factory=Known)


def said(program: Program) -> str:
    text = "".join(program.said)
    assert "Sanitizer" not in text, text
    return "failed" if "has failed (" in text else "full" if "cannot grow (" in text else ""


def first_life(
    program: Program, disk: Faulty, outcome: Outcome, on_error: str, error: int
) -> None:
    load = Load(program.start(), disk, outcome.known)
    with contextlib.closing(load):
        with contextlib.suppress(Refused, ConnectionError):
            load.live()
        if on_error != "stop" or not disk.failed():
            load.free()
            load.go_on()
            load.free()
    if disk.failed() and (error == errno.EIO or on_error == "stop"):
        eventually(lambda: said(program) != "")
    outcome.said = said(program)


def end(program: Program, outcome: Outcome, on_error: str, roughly: bool) -> None:
    """End what has not ended before, unless it may."""
    if on_error == "stop" and outcome.said == "failed":
        assert program.ends() == 1
        return
    assert program.code() is None, "".join(program.said)
    if roughly:
        program.close()
    else:
        status = program.stop()
        outcome.said = said(program)
        may_stop = on_error == "stop" and outcome.said == "failed"  # as it stops already
        assert status in (0, int(may_stop)), "".join(program.said)


def run(folder: Path, fault: Fault, on_error: str = "refuse") -> Outcome:
    """Live with that fault, and once more without; return what there was."""
    keys = {"durability__max_size": "64MB", "durability__hold": "100ms"}
    program = broker(folder, durability__on_error=on_error, **keys)
    disk = Faulty(program.folder, fault)
    without, program.env = program.env, {**program.env, **disk.env}
    outcome = Outcome()
    try:
        try:
            first_life(program, disk, outcome, on_error, fault.error)
            end(program, outcome, on_error, roughly=fault.at % 2 > 0)
        except Ended:
            assert program.code() == 2, "".join(program.said)
            outcome.started = False
        outcome.began_anew = program.oldest() > "000001.seg"
        outcome.counts = disk.counts()
        judge(outcome, disk, fault, on_error)
        program.close()
        program.env = without
        again = Load(program.start(), Faulty(program.folder, Fault(0)), outcome.known)
        with contextlib.closing(again):
            if on_error != "degrade" or not outcome.known.late:
                check(again)
            again.free()
        assert program.stop() == 0
    finally:
        program.close()
    return outcome


def judge(outcome: Outcome, disk: Faulty, fault: Fault, on_error: str) -> None:
    """Nobody was told that something is kept behind the fault, unless it may be so."""
    known = outcome.known
    if not outcome.started or not disk.failed():
        return
    if fault.error == errno.EIO:
        assert outcome.said == "failed", "not told"
    if outcome.said == "failed" and on_error != "degrade":
        assert not known.late, known.late


def cases(counts: dict[str, int]) -> list[Fault]:
    """Return every fault that a life may have, of which that many operations are known."""
    return [
        Fault(n, error, kind)
        for kind in KINDS
        for n in range(1, counts[kind] + 1)
        for error in ERRORS
    ]


def calm() -> Outcome:
    """Live without a fault."""
    with tempfile.TemporaryDirectory(prefix="nanomq-durability-") as folder:
        outcome = run(Path(folder), Fault(0))
    assert outcome.began_anew
    assert len(outcome.known.sent) == STEPS + 2
    return outcome


def try_each(
    faults: Iterable[tuple[Fault, str]], report: Callable[[str], None]
) -> Counter[str]:
    """Try each, with that on_error; return how often what came of it, "faults" among it.

    report  is told of what is wrong
    """
    seen: Counter[str] = Counter()
    for fault, on_error in faults:
        with tempfile.TemporaryDirectory(prefix="nanomq-durability-") as folder:
            try:
                outcome = run(Path(folder), fault, on_error)
            except (AssertionError, OSError, Ended, Refused):
                seen["faults"] += 1
                report(f"{fault}, {on_error}: {traceback.format_exc()}")
            else:
                came_of_it = outcome.said or "nothing is told"
                seen[came_of_it if outcome.started else "does not start"] += 1
    return seen
