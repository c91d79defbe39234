"""Answers of any length, made and sent piece by piece: others get the loop in between.

::

    {"code":0,"seq":1,"rep":5,"data":[   {...},{...}   ,{...}   ]}
                    head                    pieces, of a page each
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from nanomq_py.core.queries import Client, Page, Subscription, SubscriptionFilter

if TYPE_CHECKING:
    from nanomq_py.http.v1.answers import ClientRow, Subscribed, Subscriber

PIECE = 256  # rows of a page


class Pages(Protocol):
    """What lists read of a Broker."""

    async def clients(
        self, *, limit: int, after: int | None, count: bool
    ) -> Page[Client]: ...

    async def subscriptions(
        self, filter: SubscriptionFilter, *, limit: int, after: int | None, count: bool
    ) -> Page[Subscription]: ...


Pieces = Callable[[Pages], AsyncIterator[bytes]]


def _inner(records: Sequence[Any]) -> bytes:
    """Return the JSON of a list without its brackets."""
    return orjson.dumps(records)[1:-1]


async def _client_pages(pages: Pages) -> AsyncIterator[list[Client]]:
    after = None
    while True:
        page = await pages.clients(limit=PIECE, after=after, count=False)
        yield page.rows
        if page.next is None:
            return
        after = page.next


async def client_pieces(
    pages: Pages, as_json: Callable[[Client], ClientRow]
) -> AsyncIterator[bytes]:
    """Yield every client, in JSON that is to stand in a list."""
    comma = b""
    async for clients in _client_pages(pages):
        if clients:
            yield comma + _inner([as_json(client) for client in clients])
            comma = b","


def _batches(clients: list[Client]) -> Iterator[list[str]]:
    """Yield the clients with subscriptions, in turn, as many at a time as fit two pieces.

    A client with more than one piece of them is alone.
    """
    batch: list[str] = []
    weight = 0
    for client in clients:
        count = client.subscription_count
        if batch and (count > PIECE or weight >= PIECE):
            yield batch
            batch, weight = [], 0
        if count:
            batch.append(client.client_id)
            weight += count
    if batch:
        yield batch


def _subscriptions_json(rows: list[Subscription]) -> bytes:
    made: list[Subscribed] = [{"topic": row.topic_filter, "qos": row.qos} for row in rows]
    return _inner(made)


def _begun(client_id: str, rows: list[Subscription]) -> bytes:
    """Return a subscriber behind a comma, open for more subscriptions."""
    head: Subscriber = {"client_id": client_id, "subscriptions": []}
    return b"," + orjson.dumps(head)[:-2] + _subscriptions_json(rows)


async def _subscriber(pages: Pages, client_id: str) -> AsyncIterator[bytes]:
    """Yield one that may have any number of subscriptions, behind a comma."""
    mine = SubscriptionFilter(client_id=client_id)
    page = await pages.subscriptions(mine, limit=PIECE, after=None, count=False)
    if not page.rows:
        return  # they are gone meanwhile
    yield _begun(client_id, page.rows)
    while page.next is not None:
        page = await pages.subscriptions(mine, limit=PIECE, after=page.next, count=False)
        if page.rows:
            yield b"," + _subscriptions_json(page.rows)
    yield b"]}"


async def _subscribers(pages: Pages, batch: list[str]) -> AsyncIterator[bytes]:
    """Yield those of a batch that have subscriptions, each behind a comma."""
    theirs = SubscriptionFilter(client_ids=batch)
    found: dict[str, list[Subscription]] = {client_id: [] for client_id in batch}
    page = await pages.subscriptions(theirs, limit=2 * PIECE, after=None, count=False)
    if page.next is None:
        for row in page.rows:
            found[row.client_id].append(row)
        yield b"".join(_begun(*each) + b"]}" for each in found.items() if each[1])
        return
    for client_id in batch:  # one has many more than were counted
        async for piece in _subscriber(pages, client_id):
            yield piece


async def subscription_pieces(pages: Pages) -> AsyncIterator[bytes]:
    """Yield every client that has subscriptions, with them.

    A client may have more of them than fit one piece.
    """
    begun = False
    async for clients in _client_pages(pages):
        for batch in _batches(clients):
            found = _subscribers(pages, batch)
            if len(batch) == 1:
                found = _subscriber(pages, *batch)
            async for piece in found:
                yield piece if begun else piece[1:]
                begun = begun or piece != b""
