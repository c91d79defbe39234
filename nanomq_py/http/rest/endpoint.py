"""One endpoint of a dialect, declared with the types of what it takes and gives.

The router, the checks of the caller and of parameters, and the OpenAPI document are made of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar, get_args, get_type_hints

import msgspec

from nanomq_py.auth.callers import Caller
from nanomq_py.http.rest.parameters import NOTHING, Nothing

A = TypeVar("A")
Q_co = TypeVar("Q_co", covariant=True)
B_co = TypeVar("B_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Call(Generic[Q_co, B_co]):
    """One request that was understood.

    who         for the audit log
    path        parameters of the path, decoded
    caller      who asks; None: of an endpoint that needs no login
    address     of whoever asks
    is_private  nobody on the network can read the answer
    """

    who: str
    path: Mapping[str, str] = field(default_factory=dict)
    query: Q_co = NOTHING  # type: ignore[assignment] # of endpoints that take none
    body: B_co = NOTHING  # type: ignore[assignment]
    caller: Caller | None = None
    address: str = "nowhere"
    is_private: bool = False


# The call of an endpoint that reads nothing but its path.
Plain = Call[Nothing, Nothing]


@dataclass(frozen=True, slots=True)
class Takes:
    """The types of what an endpoint reads: a struct, or any type that JSON can be.

    body   also bytes: it is taken as it is
    """

    query: Any
    body: Any


@dataclass(frozen=True, slots=True)
class Listing(Generic[A]):
    """An answer of any number of rows, sent piece by piece: others get the loop in between.

    about   what the dialect's envelope says besides the rows
    pieces  the rows, some hundred at a time; or the JSON of them that stands in a list
    is_held it takes much memory from its first piece to its last
    """

    about: Any
    pieces: AsyncIterator[Sequence[A]] | AsyncIterator[bytes]
    is_held: bool = False


class Whole(msgspec.Struct, frozen=True):
    """An answer that brings its envelope: what is made of it is the whole body."""


@dataclass(frozen=True, slots=True)
class Text:
    """An answer that is no JSON."""

    text: str
    media_type: str = "text/plain; charset=utf-8"


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A method and a path, and what answers.

    path      below the prefix of the dialect; ``{name}`` is a segment, ``{name...}`` the rest
    act       takes what the dialect works on, and a :class:`Call`, whose types say what is
              read; raises HttpError, or an error of the dialect's own
    summary   one line for people
    also      more paths that are the same endpoint
    changes   whether it changes anything; a caller who may only read is refused then. None:
              all methods but GET do
    is_open   whether it needs no login
    """

    method: str
    path: str
    act: Callable[[Any, Call[Any, Any]], Awaitable[Any]]
    summary: str
    also: tuple[str, ...] = ()
    changes: bool | None = None
    is_open: bool = False

    @property
    def only_reads(self) -> bool:
        return self.method == "GET" if self.changes is None else not self.changes

    @cached_property
    def takes(self) -> Takes:
        """The types of what it reads."""
        _, call, *_ = get_type_hints(self.act).values()
        return Takes(*get_args(call))

    @property
    def gives(self) -> Any:
        """The type of its answer, for the OpenAPI document."""
        return get_type_hints(self.act)["return"]
