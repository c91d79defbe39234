"""Clients whose packets wait to be allowed, against a model: order and acknowledgements.

Each client has a list of packets that it has sent and that are not handled yet. The first is
asked about; what is answered, or that nobody answers, decides what comes then: which messages
in which order to whom, and which acknowledgements.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from nanomq_py.core.records import AccessNote
from nanomq_py.core.rules import Access
from tests import raw
from tests.asked import asked
from tests.raw import PINGREQ, PINGRESP, PUBACK, PUBLISH, PUBREC, SUBACK, SUBSCRIBE, Raw

CLIENTS = ["x", "y", "z"]
MATCHED = {"a": ["a"], "b": ["b"], "c/+": ["c/d", "c/e"]}
FILTERS = sorted(MATCHED)
TOPICS = ["a", "b", "c/d", "c/e", "f"]
ACKS = {1: PUBACK, 2: PUBREC}
DENIED, UNMATCHED = 0x87, 0x10
PATIENT_MS, HASTY_MS = 600_000, 10

WHO = st.sampled_from(CLIENTS)
ANSWERS = st.lists(
    st.sampled_from(list(Access)), min_size=len(FILTERS), max_size=len(FILTERS)
)
NOBODY = [Access.DENY] * len(FILTERS)
Ack = tuple[int, int, tuple[int, ...]]  # type, packet identifier, codes


@dataclass(frozen=True)
class Sent:
    """A packet of a client."""

    kind: int
    packet_id: int = 0
    qos: int = 0
    topics: tuple[str, ...] = ()  # as they are asked about
    payload: bytes = b""


@dataclass(eq=False)
class Peer:
    """A client, as the test has it and as the model says."""

    raw: Raw
    sent: list[Sent] = field(default_factory=list)  # and not handled yet
    filters: set[str] = field(default_factory=set)  # that it is subscribed to
    acks: list[Ack] = field(default_factory=list)  # that are to come
    messages: list[bytes] = field(default_factory=list)  # that are to come

    def check(self) -> None:
        """Read all that is to come, in its order."""
        acks: list[Ack] = []
        messages: list[bytes] = []
        while len(acks) < len(self.acks) or len(messages) < len(self.messages):
            got = self.raw.read()
            if got.kind == PUBLISH:
                messages.append(got.payload)
            else:
                codes = got.codes if got.kind == SUBACK else [got.reason]
                acks.append((got.kind, got.packet_id, tuple(codes)))
        assert (acks, messages) == (self.acks, self.messages)
        self.acks, self.messages = [], []


class Later(RuleBasedStateMachine):
    """Some clients, and what they are allowed."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self._peers: dict[str, Peer] = {}
        self._asked: dict[str, AccessNote] = {}  # by client
        self._number = 0
        self._handled = 0  # PUBLISH packets

    @initialize(otherwise=st.booleans())
    def begin(self, otherwise: bool) -> None:
        self._broker = self._stack.enter_context(asked(answer_timeout_ms=PATIENT_MS))
        self._otherwise = otherwise
        self._broker.ask(otherwise=otherwise)
        self._peers = {name: self._come(name) for name in CLIENTS}

    def _come(self, name: str) -> Peer:
        made = self._broker.raw(5)
        assert made.connect(name).reason == 0
        return Peer(made)

    def teardown(self) -> None:
        with self._stack:
            for name, peer in self._peers.items():
                while peer.sent:
                    self.answer(name, [Access.ALLOW] * len(FILTERS))
            for name, peer in self._peers.items():
                self.ping(name)
                peer.check()
                peer.raw.close()

    # --- what clients do

    def _send(self, who: str, sent: Sent, wire: bytes) -> None:
        peer = self._peers[who]
        peer.raw.send(wire)
        peer.sent.append(sent)
        self._handle_pings(peer)

    @rule(who=WHO, topic=st.sampled_from(TOPICS), qos=st.integers(0, 2))
    def publish(self, who: str, topic: str, qos: int) -> None:
        self._number += 1
        n = self._number
        sent = Sent(PUBLISH, n, qos, topics=(topic,), payload=b"%d" % n)
        self._send(who, sent, raw.publish(topic, sent.payload, 5, qos=qos, packet_id=n))

    @rule(who=WHO, filters=st.lists(st.sampled_from(FILTERS), min_size=1, unique=True))
    def subscribe(self, who: str, filters: list[str]) -> None:
        self._number += 1
        n = self._number
        sent = Sent(SUBSCRIBE, n, topics=tuple(filters))
        self._send(who, sent, raw.subscribe(n, *((f, 0) for f in filters), version=5))

    @rule(who=WHO)
    def ping(self, who: str) -> None:
        self._send(who, Sent(PINGREQ), raw.packet(PINGREQ))

    @rule(who=WHO, taken_over=st.booleans())
    def lose_connection(self, who: str, taken_over: bool) -> None:
        peer = self._peers[who]
        if peer.sent:
            self._question(who)
            del self._asked[who]
        if not taken_over:
            self._broker.core.kick(who, 0x98)
            peer.raw.read_until_closed()
        self._peers[who] = self._come(who)
        peer.raw.read_until_closed()
        peer.raw.close()

    # --- what is answered

    def _question(self, who: str) -> AccessNote:
        """Return what is asked about the client now, without taking it."""
        while who not in self._asked:
            event = self._broker.question()
            assert event.client_id not in self._asked, "two at a time"
            self._asked[event.client_id] = event
        return self._asked[who]

    @rule(who=WHO, answers=ANSWERS)
    def answer(self, who: str, answers: list[Access]) -> None:
        if self._peers[who].sent:
            self._answer(who, answers)
            self._broker.until("messages_in", self._handled)

    def _answer(self, who: str, answers: list[Access]) -> None:
        peer = self._peers[who]
        event = self._question(who)
        del self._asked[who]
        assert event.topics == peer.sent[0].topics
        assert self._broker.decide(event, *answers[: len(event.topics)])
        self._handle(peer, answers)

    @rule(who=WHO)
    def nobody_answers(self, who: str) -> None:
        """Deny the first; what comes behind it is not answered in time."""
        peer = self._peers[who]
        if not peer.sent:
            return
        for name, other in self._peers.items():
            if other.sent:
                self._question(name)  # has its time already
        core, options = self._broker.core, self._broker.options
        core.set_options(replace(options, answer_timeout_ms=HASTY_MS))
        self._answer(who, NOBODY)
        while peer.sent:
            self._handle(peer, NOBODY)
        self._broker.until("messages_in", self._handled)
        peer.check()
        while self._broker.waiting():
            event = self._broker.question()
            assert event.client_id == who
            assert not self._broker.decide(event, *NOBODY)  # it does not wait any more
        core.set_options(options)

    # --- the model

    def _may(self, answer: Access) -> bool:
        return answer == Access.ALLOW or (answer == Access.PASS and self._otherwise)

    def _handle(self, peer: Peer, answers: list[Access]) -> None:
        """Handle the first packet of the client, and what need not be asked about."""
        sent = peer.sent.pop(0)
        if sent.kind == PUBLISH:
            self._handle_publish(peer, sent, self._may(answers[0]))
        else:
            may = [self._may(answer) for answer in answers[: len(sent.topics)]]
            codes = tuple(0 if allowed else DENIED for allowed in may)
            peer.acks.append((SUBACK, sent.packet_id, codes))
            peer.filters |= {
                f for f, allowed in zip(sent.topics, may, strict=True) if allowed
            }
            peer.check()  # the others' messages come to it from now on
        self._handle_pings(peer)

    def _handle_publish(self, peer: Peer, sent: Sent, may: bool) -> None:
        self._handled += 1
        to = [p for p in self._peers.values() if self._is_for(p, sent.topics[0])]
        for receiver in to if may else []:
            receiver.messages.append(sent.payload)
        if sent.qos > 0:
            code = DENIED if not may else 0 if to else UNMATCHED
            peer.acks.append((ACKS[sent.qos], sent.packet_id, (code,)))

    @staticmethod
    def _is_for(peer: Peer, topic: str) -> bool:
        return any(topic in MATCHED[f] for f in peer.filters)

    @staticmethod
    def _handle_pings(peer: Peer) -> None:
        while peer.sent and peer.sent[0].kind == PINGREQ:
            peer.sent.pop(0)
            peer.acks.append((PINGRESP, 0, (0,)))


@pytest.mark.timeout(300)
def test_order_and_acknowledgements_are_the_models() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Later, settings=settings(max_examples=60, stateful_step_count=40)
    )
