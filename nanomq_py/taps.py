"""Taps: messages of the broker, as an asynchronous iterator for Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from nanomq_py.core.binding import Core, CoreError
from nanomq_py.core.feed import Feed
from nanomq_py.core.message import ListenerName, Message, records
from nanomq_py.feeds import Reader


class Tap(Reader[Message]):
    """Messages that match a filter: retained ones first, all of them, then what is published.

    It listens from its making on until :meth:`close`, or the end of ``async with``. Retained
    messages wait in the broker until they are read; of the others the core keeps 16 MiB, and
    ``dropped`` counts those that found no room.
    """

    def __init__(
        self,
        feed: Feed,
        retained: Callable[[], tuple[bytes, bool]],
        close: Callable[[], None],
        listener_name: ListenerName,
    ) -> None:
        """Make the reader of a tap.

        retained  takes the next retained messages, and says whether there may be more
        """
        super().__init__(feed, self._messages, close)
        self._retained: Callable[[], tuple[bytes, bool]] | None = retained
        self._listener_name = listener_name

    def _messages(self, chunk: bytes) -> Iterator[Message]:
        name = self._listener_name
        return (Message(record, name) for record in records(chunk))

    def _take(self) -> bytes | None:
        if self._retained is None or self._closed:
            return super()._take()
        chunk, more = self._retained()
        if not more:
            self._retained = None
        return chunk


def open_tap(core: Core, listener_name: ListenerName, topic_filter: str, qos: int) -> Tap:
    """Return a tap of the messages that match. Raises ValueError for the filter."""
    try:
        number, feed = core.open_tap(topic_filter, qos=qos)
    except CoreError as fault:
        raise ValueError(f"{topic_filter!r}: {fault}") from None
    return Tap(
        feed,
        partial(core.tap_retained, number),
        partial(core.close_tap, number),
        listener_name,
    )
