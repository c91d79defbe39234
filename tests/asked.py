"""A core whose access rules ask, and who answers: the test."""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from nanomq_py.config import Config
from nanomq_py.core.binding import Core
from nanomq_py.core.declared import CoreOptions, Stats
from nanomq_py.core.options import core_options
from nanomq_py.core.records import (
    AccessNote,
    AuthNote,
    ListenerOptions,
    LogNote,
    Note,
    Rule,
)
from nanomq_py.core.rules import Access, Rules
from tests.raw import Raw

WITHIN_S = 20.0  # for what is awaited: sanitizer builds are slow


class Asked:
    """The core, its questions in order, and its log."""

    def __init__(self, options: CoreOptions, listener: ListenerOptions) -> None:
        self.options = options
        self.core = Core(options)
        self.lines: list[str] = []
        self._questions: deque[AccessNote | AuthNote] = deque()
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            number, self.port = self.core.listen(listener, fd=bound.detach())
        self.ask()
        self._number = number

    def open(self) -> None:
        self.core.accept(self._number)

    def ask(
        self, *rules: Rule, otherwise: bool = False, deny_disconnects: bool = False
    ) -> None:
        """Put rules in force; what they do not decide is asked."""
        self.core.set_rules(
            Rules(rules, asks=True, otherwise=otherwise, deny_disconnects=deny_disconnects)
        )

    def raw(self, version: int = 5) -> Raw:
        return Raw(self.port, version, WITHIN_S)

    def _take(self, event: Note) -> None:
        if isinstance(event, LogNote):
            self.lines.append(event.line)
        elif isinstance(event, AccessNote | AuthNote):
            self._questions.append(event)

    def look(self) -> None:
        """Take what is on the ring, without waiting."""
        for event in self.core.notes():
            self._take(event)

    def line(self, text: str) -> None:
        """Return when the core has logged a line with that text."""
        until = time.monotonic() + WITHIN_S
        self.look()
        while not any(text in line for line in self.lines):
            assert time.monotonic() < until, self.lines
            select.select([self.core.note_fd], [], [], 1)
            self.look()

    def waiting(self) -> int:
        """Return how many questions are on the ring."""
        self.look()
        return len(self._questions)

    def event(self) -> AccessNote | AuthNote:
        """Return the next question."""
        until = time.monotonic() + WITHIN_S
        while not self._questions:
            assert time.monotonic() < until, "nobody asks"
            select.select([self.core.note_fd], [], [], 1)
            self.look()
        return self._questions.popleft()

    def question(self) -> AccessNote:
        """Return the next question about access."""
        event = self.event()
        assert isinstance(event, AccessNote), event
        return event

    def decide(self, event: AccessNote, *verdicts: Access, keep_s: float = 0) -> bool:
        return self.core.decide(event.number, event.question, verdicts, keep_s=keep_s)

    def allow(self, *topics: str) -> AccessNote:
        """Take the next question, which is about those topics, and allow all of it."""
        event = self.question()
        assert event.topics == topics
        assert self.decide(event, *[Access.ALLOW] * len(topics))
        return event

    def stats(self) -> Stats:
        return self.core.stats()

    def until(self, what: str, value: int) -> None:
        """Return when the metric has that value."""
        until = time.monotonic() + WITHIN_S
        while getattr(self.stats(), what) != value:
            assert time.monotonic() < until, f"{what} is {getattr(self.stats(), what)}"
            self.look()
            time.sleep(0.001)

    def subscriber(self, *filters: tuple[str, int], version: int = 5) -> Raw:
        """Return a client that is subscribed: it was asked about, and allowed."""
        made = self.raw(version)
        made.connect()
        made.send(subscribe_packet(made, filters))
        self.allow(*(text for text, _ in filters))
        got = made.read()
        assert got.codes == [qos for _, qos in filters]
        return made


def subscribe_packet(client: Raw, filters: Sequence[tuple[str, int]]) -> bytes:
    from tests import raw

    return raw.subscribe(1, *filters, version=client.version)


@contextmanager
def asked(
    listener: ListenerOptions | None = None, **options: int | bool
) -> Iterator[Asked]:
    """Run a core that asks; each client that is connected at the end is cut."""
    made = Asked(replace(core_options(Config()), **options), listener or ListenerOptions())
    made.open()
    try:
        yield made
    finally:
        made.core.shutdown(0)
        made.core.close()
