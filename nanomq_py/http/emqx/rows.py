"""Rows of a query, some hundred at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

from nanomq_py.core.queries import Page
from nanomq_py.http.errors import BadParameter

R = TypeVar("R")
A = TypeVar("A")

PIECE = 256  # rows

# Asks for a page: it takes ``offset``, ``limit``, ``after`` and ``count``.
Ask = Callable[..., Awaitable[Page[R]]]


async def first_piece(ask: Ask[R], *, offset: int, limit: int) -> Page[R]:
    """Return the first rows of a page, and how many there are in all.

    Raises   BadParameter for a filter that the core does not take
    """
    try:
        return await ask(offset=offset, limit=min(limit, PIECE), count=True)
    except ValueError as fault:
        raise BadParameter(str(fault)) from None


async def pieces(
    page: Page[R], left: int | None, ask: Ask[R] | None, as_row: Callable[[R], A]
) -> AsyncIterator[Sequence[A]]:
    """Yield the rows of the page and of those behind it, ``left`` at most; None: all."""
    while True:
        yield [as_row(row) for row in page.rows]
        if left is not None:
            left -= len(page.rows)
        if ask is None or left == 0 or page.next is None:
            return
        limit = PIECE if left is None else min(left, PIECE)
        page = await ask(limit=limit, after=page.next, count=False)
