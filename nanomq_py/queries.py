"""What a broker can be asked: pages of clients, sessions, subscriptions, routes, retained.

A page takes ``offset`` and ``limit``, or goes on ``after`` the page before (``Page.next``).
With ``after`` what is there throughout appears exactly once, whatever comes and goes; with an
offset only while nothing comes or goes in front of it. ``count`` looks at all rows for the
``total`` of a filter; without a filter the total costs nothing.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TypeVar

from nanomq_py.core import binding, pages
from nanomq_py.core.consuming import KeptConsumer
from nanomq_py.core.message import Message
from nanomq_py.core.queries import (
    Client,
    ClientDetail,
    ClientFilter,
    Filter,
    Order,
    Page,
    Paging,
    Retained,
    RetainedFilter,
    Route,
    RouteFilter,
    Session,
    Subscription,
    SubscriptionFilter,
)
from nanomq_py.running import Running

T = TypeVar("T")

MOST_CONSUMERS = 1_000  # of a page: it is made on the event loop


class Queries(ABC):
    """Answers them from a core; a query looks in a thread of its own.

    Each raises ValueError for a filter that is none, and for an offset, a limit or a text out
    of its range. An offset behind the last row gives an empty page.
    """

    @property
    @abstractmethod
    def _core(self) -> binding.Core: ...

    @property
    def _running(self) -> Running:
        raise NotImplementedError

    async def clients(
        self,
        filter: ClientFilter | None = None,
        *,
        offset: int = 0,
        limit: int = 100,
        order: Order = Order.UPWARD,
        after: int | None = None,
        count: bool = True,
    ) -> Page[Client]:
        """Return clients that are connected, or away with their session kept."""
        return await self._page(
            pages.CLIENTS, filter, Paging(offset, limit, order, after, count)
        )

    async def sessions(
        self,
        filter: ClientFilter | None = None,
        *,
        offset: int = 0,
        limit: int = 100,
        order: Order = Order.UPWARD,
        after: int | None = None,
        count: bool = True,
    ) -> Page[Session]:
        """Return the sessions of those."""
        return await self._page(
            pages.SESSIONS, filter, Paging(offset, limit, order, after, count)
        )

    async def details(
        self,
        filter: ClientFilter | None = None,
        *,
        offset: int = 0,
        limit: int = 100,
        order: Order = Order.UPWARD,
        after: int | None = None,
        count: bool = True,
    ) -> Page[ClientDetail]:
        """Return all that is known of those; a row costs about twice that of clients."""
        return await self._page(
            pages.DETAILS, filter, Paging(offset, limit, order, after, count)
        )

    async def subscriptions(
        self,
        filter: SubscriptionFilter | None = None,
        *,
        offset: int = 0,
        limit: int = 100,
        order: Order = Order.UPWARD,
        after: int | None = None,
        count: bool = True,
    ) -> Page[Subscription]:
        """Return subscriptions of clients."""
        return await self._page(
            pages.SUBSCRIPTIONS, filter, Paging(offset, limit, order, after, count)
        )

    async def routes(
        self,
        filter: RouteFilter | None = None,
        *,
        offset: int = 0,
        limit: int = 100,
        order: Order = Order.UPWARD,
        after: int | None = None,
        count: bool = True,
    ) -> Page[Route]:
        """Return Topic Filters that have subscriptions, those of taps and consumers too."""
        return await self._page(
            pages.ROUTES, filter, Paging(offset, limit, order, after, count)
        )

    async def retained(
        self,
        filter: RetainedFilter | None = None,
        *,
        offset: int = 0,
        limit: int = 100,
        order: Order = Order.UPWARD,
        after: int | None = None,
        count: bool = True,
    ) -> Page[Retained]:
        """Return retained messages, without their payloads."""
        return await self._page(
            pages.RETAINED, filter, Paging(offset, limit, order, after, count)
        )

    def consumers(
        self, *, limit: int = 100, after: int | None = None
    ) -> Page[KeptConsumer]:
        """Return consumers, open ones and others, the youngest first.

        limit    1 to 1,000
        Raises   ValueError for what is out of its range
        """
        if not 1 <= limit <= MOST_CONSUMERS:
            raise ValueError(f"limit={limit}: expected 1 to {MOST_CONSUMERS}")
        if after is not None and not 0 < after < 1 << 64:
            raise ValueError(f"after={after}: expected Page.next of the page before")
        return self._running.core.consumers(after, limit)

    def retained_message(self, topic_name: str) -> Message | None:
        """Return the retained message of that topic, with its payload: one look-up.

        ``publish(topic_name, b"", retain=True)`` removes it (MQTT 5.0, 3.3.1.3).
        """
        try:
            record = self._running.core.retained_message(topic_name)
        except UnicodeEncodeError:
            return None  # no topic
        name_of = self._running.listeners.name_of
        return Message(record, name_of) if record else None

    def client(self, client_id: str) -> Client | None:
        """Return the client of that identifier: one look-up."""
        return self._core.client(client_id)

    def detail(self, client_id: str) -> ClientDetail | None:
        """Return all that is known of that client: one look-up."""
        return self._core.detail(client_id)

    async def _page(
        self, kind: pages.Kind[T], filter: Filter | None, paging: Paging
    ) -> Page[T]:
        return await asyncio.to_thread(_asked, self._core, kind, filter, paging)


def _asked(
    core: binding.Core, kind: pages.Kind[T], filter: Filter | None, paging: Paging
) -> Page[T]:
    try:
        return core.query(kind, filter, paging)
    except binding.CoreError as fault:
        parts = {} if filter is None else vars(filter)
        said = [f"{name}={part!r}" for name, part in parts.items() if part is not None]
        raise ValueError(f"{', '.join(said)}: {fault}") from None
