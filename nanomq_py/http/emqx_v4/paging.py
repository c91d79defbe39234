"""Pages of v4: ``_page`` and ``_limit``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Annotated, TypeVar

import msgspec

from nanomq_py.core.queries import ROWS_MAX, Page
from nanomq_py.http.rest.endpoint import Listing

R = TypeVar("R")
A = TypeVar("A")

PIECE = 256  # rows


class PageQuery(msgspec.Struct, frozen=True, rename={"page": "_page", "limit": "_limit"}):
    """Which page is asked for; the query of a list with filters is made of it."""

    page: Annotated[int, msgspec.Meta(ge=1, le=1 << 31)] = 1
    limit: Annotated[int, msgspec.Meta(ge=1, le=ROWS_MAX)] = 10_000


class Meta(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is told of a page; ``hasnext`` only by lists that can be long."""

    page: int
    limit: int
    count: int
    hasnext: bool | msgspec.UnsetType = msgspec.UNSET


async def listing(
    query: PageQuery,
    ask: Callable[..., Awaitable[Page[R]]],
    as_row: Callable[[R], A],
    *,
    has_next: bool = True,
) -> Listing[A]:
    """Return one page of what ``ask`` returns for an offset and a limit.

    has_next   whether the page says if another follows
    """
    offset = (query.page - 1) * query.limit
    first = await ask(offset=offset, limit=min(query.limit, PIECE), count=True)
    total = first.total or 0

    async def pieces() -> AsyncIterator[Sequence[A]]:
        page, left = first, query.limit
        while True:
            yield [as_row(row) for row in page.rows]
            left -= len(page.rows)
            if left <= 0 or page.next is None:
                return
            page = await ask(limit=min(left, PIECE), after=page.next, count=False)

    about = Meta(query.page, query.limit, total)
    if has_next:
        about = msgspec.structs.replace(about, hasnext=offset + query.limit < total)
    return Listing(about, pieces())
