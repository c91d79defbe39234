"""Pages of v4: ``_page`` and ``_limit``; and lists that have none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

import msgspec

from nanomq_py.core.queries import Page
from nanomq_py.http.emqx.rows import PIECE, Ask, first_piece, pieces
from nanomq_py.http.rest.endpoint import Listing

R = TypeVar("R")
A = TypeVar("A")


class PageQuery(msgspec.Struct, frozen=True, rename={"page": "_page", "limit": "_limit"}):
    """Which page is asked for; the query of a list with filters is made of it."""

    page: Annotated[int, msgspec.Meta(ge=1, le=1 << 31)] = 1
    limit: Annotated[int, msgspec.Meta(ge=1, le=1 << 31)] = 10_000


class Meta(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is told of a page; ``hasnext`` only by lists that can be long."""

    page: int
    limit: int
    count: int
    hasnext: bool | msgspec.UnsetType = msgspec.UNSET


async def listing(
    query: PageQuery, ask: Ask[R] | None, as_row: Callable[[R], A], *, has_next: bool = True
) -> Listing[A]:
    """Return one page of what ``ask`` returns for an offset and a limit.

    ask        None: nothing fits
    has_next   whether the page says if another follows
    Raises     BadParameter for a filter that the core does not take
    """
    offset = (query.page - 1) * query.limit
    first: Page[R] = Page([], 0, None)
    if ask is not None:
        first = await first_piece(ask, offset=offset, limit=query.limit)
    total = first.total or 0
    about = Meta(query.page, query.limit, total)
    if has_next:
        about = msgspec.structs.replace(about, hasnext=offset + query.limit < total)
    return Listing(about, pieces(first, query.limit, ask, as_row))


async def all_rows(ask: Ask[R], as_row: Callable[[R], A]) -> Listing[A]:
    """Return all rows of what ``ask`` returns, without paging.

    A text that the core does not take is of nothing that there is: no rows.
    """
    try:
        first = await ask(limit=PIECE, count=False)
    except ValueError:
        first = Page([], 0, None)
    return Listing(None, pieces(first, None, ask, as_row))
