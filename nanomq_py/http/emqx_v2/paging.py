"""Lists of v2: pages, ``curr_page`` and ``page_size``; or all rows of one thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Generic, TypeVar

import msgspec

from nanomq_py.http.emqx.rows import PIECE, Ask, first_piece, pieces
from nanomq_py.http.errors import BadParameter
from nanomq_py.http.rest.endpoint import Listing

R = TypeVar("R")
A = TypeVar("A")


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

    objects: list[A] = []


async def listing(query: PageQuery, ask: Ask[R], as_row: Callable[[R], A]) -> Listing[A]:
    """Return one page. Raises BadParameter for a filter that cannot be."""
    size = query.page_size
    offset = (query.curr_page - 1) * size
    first = await first_piece(ask, offset=offset, limit=size)
    total = first.total or 0
    about: Paged[A] = Paged(query.curr_page, size, total, -(-total // size))
    return Listing(about, pieces(first, size, ask, as_row))


async def all_rows(ask: Ask[R], as_row: Callable[[R], A]) -> Listing[A]:
    """Return all rows, without paging. Raises BadParameter for a filter that cannot be."""
    try:
        first = await ask(limit=PIECE, count=False)
    except ValueError as fault:
        raise BadParameter(str(fault)) from None
    about: Objects[A] = Objects()
    return Listing(about, pieces(first, None, ask, as_row))
