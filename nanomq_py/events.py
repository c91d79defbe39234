"""What happens in a broker, for who asks for it: see :meth:`Broker.events`.

::

    from nanomq_py.events import AccessDenied, AuthFailed

    async with broker.events([AuthFailed, AccessDenied]) as events:
        async for event in events:
            print(event)

The kinds are those of ``csrc/events.def``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TypeVar, cast

from nanomq_py.core import declared_events
from nanomq_py.core.binding import Core
from nanomq_py.core.declared_events import *  # noqa: F403 - each kind that is declared
from nanomq_py.core.declared_events import KINDS, Event
from nanomq_py.core.happened import read
from nanomq_py.core.message import ListenerName, records
from nanomq_py.feeds import Reader

__all__ = ["Events", *declared_events.__all__]

E = TypeVar("E", bound=Event)


class Events(Reader[E]):
    """Events of some kinds, in the order in which they happened, until :meth:`close`."""


def open_events(
    core: Core, listener_name: ListenerName, kinds: Iterable[type[E]]
) -> Events[E]:
    """Return events of those kinds from now on.

    Raises   ValueError for what is no kind of event, or for none
    """
    wanted = 0
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"{kind!r}: expected a kind of event, as Connected")
        wanted |= 1 << KINDS[kind][0]
    if not wanted:
        raise ValueError("kinds: expected one or more")
    number, feed = core.open_watch(wanted)

    def made(chunk: bytes) -> Iterator[E]:
        return (cast(E, read(record, listener_name)) for record in records(chunk))

    return Events(feed, made, partial(core.close_watch, number))
