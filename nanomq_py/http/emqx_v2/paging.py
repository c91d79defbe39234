"""Pages of v2: ``curr_page`` and ``page_size``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Annotated, Generic, TypeVar

import msgspec

from nanomq_py.core.queries import Page
from nanomq_py.http.rest.endpoint import Listing

R = TypeVar("R")
A = TypeVar("A")

PIECE = 256  # rows


class PageQuery(msgspec.Struct, frozen=True):
    """Which page is asked for."""

    curr_page: Annotated[int, msgspec.Meta(ge=1, le=1 << 31)] = 1
    page_size: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 20


class Paged(msgspec.Struct, Generic[A], frozen=True):
    """A page, as the envelope tells it."""

    current_page: int
    page_size: int
    total_num: int
    total_page: int
    objects: list[A] = []


class Objects(msgspec.Struct, Generic[A], frozen=True):
    """What was found, without paging."""

    objects: list[A]


async def listing(
    query: PageQuery,
    ask: Callable[..., Awaitable[Page[R]]],
    as_row: Callable[[R], A],
) -> Listing[A]:
    """Return one page of what ``ask`` returns for an offset and a limit."""
    offset = (query.curr_page - 1) * query.page_size
    first = await ask(offset=offset, limit=min(query.page_size, PIECE), count=True)
    total = first.total or 0

    async def pieces() -> AsyncIterator[Sequence[A]]:
        page, left = first, query.page_size
        while True:
            yield [as_row(row) for row in page.rows]
            left -= len(page.rows)
            if left <= 0 or page.next is None:
                return
            page = await ask(limit=min(left, PIECE), after=page.next, count=False)

    size = query.page_size
    about: Paged[A] = Paged(query.curr_page, size, total, -(-total // size))
    return Listing(about, pieces())
