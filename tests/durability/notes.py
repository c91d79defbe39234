"""What the clients of a broker have noted, and what must have come of it.

    sent ──> taken: PUBACK or PUBREC has come ──> it must come to whoever was subscribed then

All stamps are of one counter, so it is known what was before what. An operation is noted
twice: before it is sent, and when its answer has come; between the two it may have happened
or not, and only what was certain before a message and until it was taken is demanded.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from dataclasses import dataclass, field

NEVER = 1 << 62
LATE_S = 1.5  # clocks of the broker count whole seconds
_stamps = itertools.count(1)


def stamp() -> int:
    return next(_stamps)


@dataclass
class Message:
    """One that a publisher has sent, or a will."""

    topic: str
    number: int
    qos: int
    size: int = 0  # bytes of its payload; 0: it clears a retained one
    expiry_s: int = 0  # 0: never
    sent: int = field(default_factory=stamp)  # first
    attempts: int = 0
    taken: int = 0  # 0: nobody knows
    taken_at: float = 0.0  # wall clock
    refused: bool = False  # at the first attempt: it is nowhere
    is_will: bool = False  # it goes out some time after its client is gone

    def payload(self) -> bytes:
        return payload_of(self.number, self.size)


def payload_of(number: int, size: int) -> bytes:
    head = b"%d %d " % (number, size)
    return (head + bytes([number % 251 + 1]) * (size - len(head)))[: max(size, len(head))]


@dataclass
class Period:
    """A time in which somebody was subscribed."""

    asked: int = field(default_factory=stamp)
    since: int = NEVER  # SUBACK
    until: int = NEVER  # UNSUBSCRIBE, or a CONNECT that ends the session
    ended: int = NEVER  # its answer
    session_ended: bool = False  # what had not been sent is gone with it

    def demands(self, message: Message) -> bool:
        return (
            not self.session_ended
            and self.since < message.sent
            and 0 < message.taken < self.until
        )

    def allows(self, message: Message, at: int) -> bool:
        """Return whether it may have come then."""
        in_time = self.ended > at if self.session_ended else self.ended > message.sent
        return in_time and self.asked < (message.taken or NEVER)


@dataclass
class Receipt:
    number: int
    dup: bool
    came_at: float  # wall clock: when the receiver had begun to connect
    at: int = field(default_factory=stamp)


@dataclass
class Audience:
    """Who gets the messages of a filter: a receiver, or a shared group."""

    name: str
    topic_filter: str
    qos: int
    ordered: bool = True
    periods: list[Period] = field(default_factory=list)
    receipts: dict[str, list[Receipt]] = field(default_factory=lambda: defaultdict(list))

    def matches(self, topic: str) -> bool:
        levels = self.topic_filter.split("/")
        names = topic.split("/")
        return len(levels) == len(names) and all(
            level in ("+", name) for level, name in zip(levels, names, strict=True)
        )

    def missing(self, messages: list[Message]) -> list[Message]:
        """Return what must have come and has not; messages of one topic that matches."""
        came = {one.number for one in self.receipts.get(messages[0].topic, ())}
        return [
            m
            for m in messages
            if m.number not in came
            and m.expiry_s in (0, LONG_S)
            and any(period.demands(m) for period in self.periods)
        ]


LONG_S = 3600  # an expiry that no round sees


@dataclass
class Findings:
    """What is wrong, by kind."""

    faults: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, kind: str, text: str) -> None:
        self.faults[kind].append(text)

    def count(self, kind: str) -> int:
        return len(self.faults.get(kind, ()))

    def __bool__(self) -> bool:
        return any(self.faults.values())

    def __str__(self) -> str:
        lines = []
        for kind, texts in sorted(self.faults.items()):
            lines += [f"{kind}: {len(texts)}"] + [f"    {text}" for text in texts[:8]]
        return "\n".join(lines)


class Notes:
    """All that the clients of a round have noted."""

    def __init__(self) -> None:
        self.messages: dict[str, list[Message]] = defaultdict(list)
        self.retained: dict[str, list[Message]] = defaultdict(list)
        self.audiences: list[Audience] = []
        self.findings = Findings()

    def missing(self) -> int:
        return sum(
            len(audience.missing(messages))
            for audience in self.audiences
            for topic, messages in list(self.messages.items())
            if audience.matches(topic)
        )

    def figures(self) -> Counter[str]:
        every = [
            m
            for group in (self.messages, self.retained)
            for ms in group.values()
            for m in ms
        ]
        return Counter(
            sent=len(every),
            acknowledged=sum(m.taken > 0 for m in every),
            received=sum(len(rs) for a in self.audiences for rs in a.receipts.values()),
            lost=self.findings.count("lost"),
            doubled=self.findings.count("doubled"),
            other=sum(
                len(texts)
                for kind, texts in self.findings.faults.items()
                if kind not in ("lost", "doubled")
            ),
        )

    def judge(self) -> None:
        for audience in self.audiences:
            for topic, messages in self.messages.items():
                if audience.matches(topic):
                    self._judge_one(audience, topic, messages)

    def _judge_one(self, audience: Audience, topic: str, messages: list[Message]) -> None:
        add, name = self.findings.add, audience.name
        receipts = audience.receipts.get(topic, [])
        known = {m.number: m for m in messages}
        for m in audience.missing(messages):
            add("lost", f"{name}: {topic} {m}")
        # sent again, one comes late to whoever was not there before, or had it expire
        known_first = {
            m.number
            for m in messages
            if m.expiry_s in (0, LONG_S) and any(p.since < m.sent for p in audience.periods)
        }
        first = list(dict.fromkeys(one.number for one in receipts))
        first = [number for number in first if number in known_first]
        if audience.ordered and first != sorted(first):  # [MQTT-4.6.0-6]
            place = next(n for n, (a, b) in enumerate(itertools.pairwise(first)) if a > b)
            add("order", f"{name}: {topic} {first[max(0, place - 3) : place + 4]}")
        times = Counter(one.number for one in receipts)
        for number, count in times.items():
            m = known.get(number)
            if m is None:
                add("made up", f"{name}: {topic} {number}")
            elif audience.qos == m.qos == 2 and count > 1:
                its = [one for one in receipts if one.number == number]
                add("doubled", f"{name}: {topic} {m}: {its}")
        for one in receipts:
            self._judge_receipt(audience, one, known.get(one.number))

    def _judge_receipt(self, audience: Audience, one: Receipt, m: Message | None) -> None:
        if m is None:
            return
        if not m.is_will and not any(
            period.allows(m, one.at) for period in audience.periods
        ):
            self.findings.add(
                "uninvited", f"{audience.name}: {m}: {one}: {audience.periods}"
            )
        if m.refused:
            self.findings.add("refused, and there", f"{audience.name}: {m}")
        ended_at = m.taken_at + m.expiry_s + LATE_S
        if m.expiry_s and m.taken and not one.dup and one.came_at > ended_at:
            self.findings.add("expired, and there", f"{audience.name}: {m}: {one}")

    def judge_retained(self, found: dict[str, int]) -> None:
        """found: what is retained of each topic, 0: what cannot be read."""
        for topic, operations in self.retained.items():
            taken = max((n for n, m in enumerate(operations) if m.taken), default=-1)
            allowed = {
                m.number if m.size else None
                for m in operations[max(taken, 0) :]
                if not m.refused
            }
            if taken < 0:
                allowed.add(None)
            if found.get(topic) not in allowed:
                self.findings.add("retained", f"{topic}: {found.get(topic)}, not {allowed}")
        for topic in found.keys() - self.retained.keys():
            self.findings.add("retained", f"{topic} was never sent")
