"""Lists of the store as pages of v4, and the faults of the store in its words."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

import msgspec

from nanomq_py.auth.callers import CannotJudgeError
from nanomq_py.http.codes import Code
from nanomq_py.http.emqx.rows import PIECE
from nanomq_py.http.emqx_v4.paging import Meta, PageQuery
from nanomq_py.http.emqx_v4.words import Refused
from nanomq_py.http.errors import BadParameter
from nanomq_py.http.rest.endpoint import Listing
from nanomq_py.store.faults import (
    LastAdministratorError,
    StoreError,
    StoreFullError,
    TakenError,
)
from nanomq_py.store.paging import Rows

R = TypeVar("R")
A = TypeVar("A")


@contextlib.contextmanager
def store_faults() -> Iterator[None]:
    """Raise what a change of the store raises as an error of v4."""
    try:
        yield
    except TakenError as fault:
        raise Refused(Code.USER_ALREADY_EXISTS, str(fault)) from None
    except LastAdministratorError as fault:
        raise Refused(Code.ADMIN_CANNOT_BE_DELETED, str(fault)) from None
    except StoreFullError as fault:
        raise Refused(Code.UNKNOWN_MISTAKE, str(fault)) from None
    except (StoreError, CannotJudgeError) as fault:
        raise Refused(Code.UNKNOWN_MISTAKE, str(fault), 500) from None
    except ValueError as fault:
        raise BadParameter(str(fault)) from None


async def stored(
    query: PageQuery,
    ask: Callable[[int, int], Awaitable[Rows[R]]],
    as_row: Callable[[R], A],
    *,
    has_next: bool = False,
) -> Listing[A]:
    """Return one page of what ``ask`` returns for an offset and a limit.

    has_next   whether the page says if another follows
    """
    offset = (query.page - 1) * query.limit
    with store_faults():
        first = await ask(offset, min(query.limit, PIECE))
    about = Meta(query.page, query.limit, first.total)
    if has_next:
        follows = offset + query.limit < first.total
        about = msgspec.structs.replace(about, hasnext=follows)
    return Listing(about, _pieces(first, offset, query.limit, ask, as_row))


async def every(
    ask: Callable[[int, int], Awaitable[Rows[R]]], as_row: Callable[[R], A]
) -> Listing[A]:
    """Return all rows of what ``ask`` returns, without paging."""
    with store_faults():
        first = await ask(0, PIECE)
    return Listing(None, _pieces(first, 0, first.total, ask, as_row))


async def _pieces(
    part: Rows[R],
    offset: int,
    left: int,
    ask: Callable[[int, int], Awaitable[Rows[R]]],
    as_row: Callable[[R], A],
) -> AsyncIterator[Sequence[A]]:
    """Yield the rows of the part and of those behind it, ``left`` at most."""
    while part.rows:
        yield [as_row(row) for row in part.rows]
        offset, left = offset + len(part.rows), left - len(part.rows)
        if left <= 0:
            return
        part = await ask(offset, min(left, PIECE))
