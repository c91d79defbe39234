"""What comes out of a feed of the core, as an asynchronous iterator."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from types import TracebackType
from typing import Any, Generic, TypeVar

from nanomq_py.core.feed import Feed
from nanomq_py.kernel.part import Part

T = TypeVar("T")
S = TypeVar("S", bound="Reader[Any]")


class Arrivals:
    """Whether a descriptor of the core has become readable, for any number of tasks.

    Threads  belongs to the event loop
    """

    def __init__(self, fd: int, hear: Callable[[], object] | None = None) -> None:
        """Make it. hear: is called each time that the descriptor is readable."""
        self._fd = fd
        self._hear = hear
        self._arrived = asyncio.Event()
        self._waiting = 0  # tasks
        self._ended = False

    async def wait(self) -> None:
        """Return once it is readable, or :meth:`end` is called."""
        loop = asyncio.get_running_loop()
        self._arrived.clear()
        self._waiting += 1
        loop.add_reader(self._fd, self._wake)
        try:
            await self._arrived.wait()
        finally:
            self._waiting -= 1
            if not self._waiting and not self._ended:
                loop.remove_reader(self._fd)

    def _wake(self) -> None:
        if self._hear is not None:
            self._hear()
        self._arrived.set()

    def end(self) -> None:
        """Wake all, and let go of the descriptor, which may be closed then."""
        self._ended = True
        if self._waiting:
            asyncio.get_running_loop().remove_reader(self._fd)
        self._arrived.set()


class Reader(Generic[T]):
    """Things in the order in which they happened, from its making until :meth:`close`.

    The core keeps 16 MiB of what was not read yet; ``dropped`` counts what found no room.

    Threads  belongs to the event loop, which has its turn after each piece
    """

    def __init__(
        self, feed: Feed, read: Callable[[bytes], Iterator[T]], close: Callable[[], None]
    ) -> None:
        """Make the reader of a feed.

        read   makes things of a chunk
        close  ends what fills the feed
        """
        self._feed = feed
        self._read = read
        self._close = close
        self._ended: Callable[[], None] | None = None
        self._ready: Iterator[T] = iter(())
        self._arrivals = Arrivals(feed.fd)
        self._closed = False

    @property
    def dropped(self) -> int:
        """How many found no room so far."""
        return self._feed.dropped

    def __aiter__(self) -> Reader[T]:
        return self

    async def __anext__(self) -> T:
        while True:
            for thing in self._ready:
                return thing
            chunk = self._take()
            if chunk is not None:
                self._ready = self._read(chunk)
                await asyncio.sleep(0)  # others have their turn
            elif self._closed:
                raise StopAsyncIteration
            else:
                await self._arrivals.wait()

    def _take(self) -> bytes | None:
        """Return the next records, which may be none; None: there is nothing yet."""
        return self._feed.take() or None

    def close(self) -> None:
        """Stop listening. What is in the queue can still be read; then the iteration ends."""
        if not self._closed:
            self._closed = True
            self._close()
            self._arrivals.end()
            if self._ended is not None:
                self._ended()

    def when_ended(self, act: Callable[[], None]) -> None:
        """Have that called by :meth:`close`."""
        self._ended = act

    async def __aenter__(self: S) -> S:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Readers(Part):
    """The readers that are open: they end with the broker."""

    name = "readers"

    def __init__(self) -> None:
        self._open: set[Reader[Any]] = set()
        self._stopped = False

    def add(self, reader: S) -> S:
        """Return the reader, which is one of them until it is closed.

        Raises   RuntimeError once they have ended; it is closed then
        """
        if self._stopped:
            reader.close()
            raise RuntimeError("the broker is not running")
        self._open.add(reader)
        reader.when_ended(partial(self._open.discard, reader))
        return reader

    async def stop(self) -> None:
        """Close all, and add none any more; what waits in them can still be read."""
        self._stopped = True
        for reader in list(self._open):
            reader.close()
