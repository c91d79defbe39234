"""Queries of a broker whose clients come, go and subscribe, against plain lists."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nanomq_py import Broker, Config
from nanomq_py.config.keys.listeners import WebSocket
from nanomq_py.core.queries import (
    ClientFilter,
    Order,
    Page,
    RouteFilter,
    SubscriptionFilter,
)
from tests import raw
from tests.property.test_matching import matches
from tests.raw import Raw

CLIENTS = ["a", "ab", "b", "c1", "c2"]
USERS = [None, "u", "uv"]
FILTERS = ["x", "x/+", "x/#", "y/1", "$share/g/x", "$share/h/x/#", "$share/g/y/1", "#"]
T = TypeVar("T")


@dataclass
class Sub:
    client_id: str
    text: str
    qos: int

    @property
    def group(self) -> str | None:
        return self.text.split("/")[1] if self.text.startswith("$share/") else None

    @property
    def filter(self) -> str:
        return self.text.split("/", 2)[2] if self.group else self.text


@dataclass
class Session:
    client_id: str
    user: str | None
    clean: bool
    raw: Raw | None


def put(places: list[Any], row: object) -> None:
    """Put a row at the lowest free place."""
    place = places.index(None) if None in places else len(places)
    places[place:] = [row, *places[place + 1 :]]


def take(places: list[Any], row: object) -> None:
    places[places.index(row)] = None


def rows_of(places: list[T | None]) -> list[T]:
    return [row for row in places if row is not None]


class Running:
    """A broker in a thread of its own, and what it should hold."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        config = Config(url="nmq-tcp://127.0.0.1:0", websocket=WebSocket(enable=False))
        self.broker = Broker(config)
        self.run(self.broker.start())
        self.port = self.broker.ports["url"]
        self.forget()

    def forget(self) -> None:
        self.sessions: list[Session | None] = []
        self.subs: list[Sub | None] = []
        self.routes: list[str | None] = []

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(20)

    def close(self) -> None:
        self.run(self.broker.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def find(self, client_id: str) -> Session | None:
        found = [s for s in rows_of(self.sessions) if s.client_id == client_id]
        return found[0] if found else None

    def settle(self) -> None:
        """Wait until the broker has ended what the model has ended."""
        until = time.monotonic() + 20
        wanted = len(rows_of(self.sessions)), len(rows_of(self.subs))
        while (s := self.broker.stats()) and (s.clients, s.subscriptions) != wanted:
            assert time.monotonic() < until, (s.clients, s.subscriptions, wanted)
            time.sleep(0.001)

    # --- what clients do

    def _drop_subs(self, client_id: str) -> None:
        for sub in rows_of(self.subs):
            if sub.client_id == client_id:
                self._drop(sub)

    def _drop(self, sub: Sub) -> None:
        take(self.subs, sub)
        if sub.text not in [other.text for other in rows_of(self.subs)]:
            take(self.routes, sub.text)

    def connect(self, client_id: str, user: str | None, clean: bool) -> None:
        old = self.find(client_id)
        new = Raw(self.port)
        new.connect(client_id, clean=clean, user=user)
        if old is not None and old.raw is not None:
            old.raw.read_until_closed()
            old.raw.close()
            old.raw = None
        if old is not None and not clean and not old.clean and old.user == user:
            old.raw = new
            return
        if old is not None:
            take(self.sessions, old)
            self._drop_subs(client_id)
        put(self.sessions, Session(client_id, user, clean, new))

    def leave(self, client_id: str) -> None:
        session = self.find(client_id)
        if session is None or session.raw is None:
            return
        session.raw.leave()
        session.raw = None
        if session.clean:
            take(self.sessions, session)
            self._drop_subs(client_id)

    def subscribe(self, client_id: str, text: str, qos: int) -> None:
        session = self.find(client_id)
        if session is None or session.raw is None:
            return
        session.raw.subscribe((text, qos))
        for sub in rows_of(self.subs):
            if (sub.client_id, sub.text) == (client_id, text):
                sub.qos = qos
                return
        put(self.subs, Sub(client_id, text, qos))
        if text not in self.routes:
            put(self.routes, text)

    def unsubscribe(self, client_id: str, text: str) -> None:
        session = self.find(client_id)
        if session is None or session.raw is None:
            return
        session.raw.send(raw.unsubscribe(1, text))
        session.raw.expect(raw.UNSUBACK)
        for sub in rows_of(self.subs):
            if (sub.client_id, sub.text) == (client_id, text):
                self._drop(sub)

    def end(self) -> None:
        """End all sessions."""
        for session in rows_of(self.sessions):
            self.connect(session.client_id, None, clean=True)
            self.leave(session.client_id)
        self.settle()
        self.forget()


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    made = Running()
    yield made
    made.close()


NAMES = st.sampled_from(CLIENTS)
TEXTS = st.sampled_from(FILTERS)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("connect"), NAMES, st.sampled_from(USERS), st.booleans()),
        st.tuples(st.just("leave"), NAMES),
        st.tuples(st.just("subscribe"), NAMES, TEXTS, st.integers(0, 2)),
        st.tuples(st.just("subscribe"), NAMES, TEXTS, st.integers(0, 2)),
        st.tuples(st.just("unsubscribe"), NAMES, TEXTS),
        st.tuples(st.just("unsubscribe"), NAMES, TEXTS),
    ),
    min_size=20,
    max_size=80,
)
CLIENT_FILTERS = st.builds(
    ClientFilter,
    client_id=st.none() | NAMES,
    client_id_like=st.none() | st.sampled_from(["", "a", "c", "zz"]),
    user_name=st.none() | st.sampled_from(["u", "x"]),
    user_name_like=st.none() | st.sampled_from(["u", "v"]),
    connected=st.none() | st.booleans(),
    clean_start=st.none() | st.booleans(),
    address=st.sampled_from([None, None, "127.0.0.1", "127.0.0.0/8", "::1"]),
    version=st.sampled_from([None, None, 4, (4, None), (None, 3)]),
)
SUB_FILTERS = st.builds(
    SubscriptionFilter,
    client_id=st.none() | NAMES,
    topic_filter=st.none() | st.sampled_from(["x", "x/#", "y/1"]),
    topic_name=st.none() | st.sampled_from(["x", "x/2", "y/1", "$x"]),
    below=st.none() | st.sampled_from(["x/#", "+", "#"]),
    group=st.none() | st.sampled_from(["", "g"]),
    qos=st.sampled_from([None, None, 1, (1, 2)]),
)


@dataclass
class Paged:
    """How a page is asked for."""

    offset: int
    limit: int
    downward: bool
    options: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        order = Order.DOWNWARD if self.downward else Order.UPWARD
        self.options = {"limit": self.limit, "order": order}

    def of(self, rows: list[T]) -> list[T]:
        rows = rows[::-1] if self.downward else rows
        return rows[self.offset :]


PAGED = st.builds(Paged, st.integers(0, 4), st.integers(1, 6), st.booleans())


def fits_client(f: ClientFilter, s: Session) -> bool:
    networks = (None, "127.0.0.1", "127.0.0.0/8")
    return (
        f.client_id in (None, s.client_id)
        and (f.client_id_like or "") in s.client_id
        and f.user_name in (None, s.user)
        and (f.user_name_like is None or f.user_name_like in (s.user or ""))
        and f.connected in (None, s.raw is not None)
        and f.clean_start in (None, s.clean)
        and f.address in networks
        and f.version in (None, 4, (4, None))
    )


def fits_filter(f: RouteFilter, filter_: str, group: str | None) -> bool:
    return (
        f.topic_filter in (None, filter_)
        and (f.topic_name is None or matches(filter_.split("/"), f.topic_name.split("/")))
        and (f.below is None or matches(f.below.split("/"), filter_.split("/")))
        and f.group in (None, group or "")
    )


def fits_sub(f: SubscriptionFilter, sub: Sub) -> bool:
    least, most = {None: (0, 2), 1: (1, 1), (1, 2): (1, 2)}[f.qos]
    return (
        f.client_id in (None, sub.client_id)
        and least <= sub.qos <= most
        and fits_filter(f, sub.filter, sub.group)
    )


def all_rows(running: Running, ask: Any, paged: Paged, wanted: Any) -> list[Any]:
    """Return the rows from the offset on, page by page; check the first page's total."""
    page: Page[Any] = running.run(
        ask(wanted, offset=paged.offset, count=True, **paged.options)
    )
    total, rows = page.total, page.rows
    assert len(page.rows) <= paged.limit
    while page.next is not None:
        page = running.run(ask(wanted, after=page.next, **paged.options))
        rows += page.rows
    return [total, *rows]


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(STEPS, CLIENT_FILTERS, SUB_FILTERS, PAGED)
def test_queries_answer_as_plain_lists_do(
    running: Running,
    steps: list[tuple[Any, ...]],
    client_filter: ClientFilter,
    sub_filter: SubscriptionFilter,
    paged: Paged,
) -> None:
    try:
        for client_id in CLIENTS[:3]:
            running.connect(client_id, None, clean=client_id == "b")
        for step, *given_ in steps:
            getattr(running, step)(*given_)
            running.settle()
        _compare(running, client_filter, sub_filter, paged)
    finally:
        running.end()


def _compare(
    running: Running,
    client_filter: ClientFilter,
    sub_filter: SubscriptionFilter,
    paged: Paged,
) -> None:
    broker = running.broker
    for wanted in (None, client_filter):
        model = [
            s for s in rows_of(running.sessions) if wanted is None or fits_client(wanted, s)
        ]
        names = [s.client_id for s in paged.of(model)]
        for ask in (broker.clients, broker.sessions):
            total, *rows = all_rows(running, ask, paged, wanted)
            assert [row.client_id for row in rows] == names
            assert total == len(model)
    for sub_wanted in (None, sub_filter):
        subs = [
            s
            for s in rows_of(running.subs)
            if sub_wanted is None or fits_sub(sub_wanted, s)
        ]
        total, *rows = all_rows(running, broker.subscriptions, paged, sub_wanted)
        assert [(r.client_id, r.topic_filter, r.group, r.qos) for r in rows] == [
            (s.client_id, s.text, s.group, s.qos) for s in paged.of(subs)
        ]
        assert total == len(subs)
    _compare_routes(running, sub_filter, paged)
    _compare_single(running)


def _compare_routes(running: Running, like: SubscriptionFilter, paged: Paged) -> None:
    wanted = RouteFilter(
        topic_filter=like.topic_filter,
        topic_name=like.topic_name,
        below=like.below,
        group=like.group,
    )
    routes = [Sub("", text, 0) for text in rows_of(running.routes)]
    routes = [r for r in routes if fits_filter(wanted, r.filter, r.group)]
    total, *rows = all_rows(running, running.broker.routes, paged, wanted)
    held = [s.text for s in rows_of(running.subs)]
    assert [(r.topic_filter, r.group, r.subscriptions) for r in rows] == [
        (r.filter, r.group, held.count(r.text)) for r in paged.of(routes)
    ]
    assert total == len(routes)


def _compare_single(running: Running) -> None:
    for client_id in CLIENTS:
        found, session = running.broker.client(client_id), running.find(client_id)
        assert (found is None) == (session is None)
        if found is not None and session is not None:
            subs = [s for s in rows_of(running.subs) if s.client_id == client_id]
            assert found.connected == (session.raw is not None)
            assert (found.user_name, found.clean_start) == (session.user, session.clean)
            assert found.subscription_count == len(subs)
            assert 0 < found.created_at_ms <= found.connected_at_ms
