"""One consumer of the core, while it is open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nanomq_py.core.feed import Feed
from nanomq_py.core.native import check, check_opened, ffi, lib, text_of
from nanomq_py.core.queries import Page

if TYPE_CHECKING:
    from nanomq_py._core import nmq_consumers


@dataclass(frozen=True, slots=True)
class ConsumerStats:
    """What a consumer keeps."""

    waiting: int  # messages that were not taken yet
    taken: int  # messages that were, and are not acknowledged
    bytes: int  # of both
    dropped: int  # over its bounds or expired, since it was made


@dataclass(frozen=True, slots=True)
class KeptConsumer:
    """A consumer that the broker has.

    is_open  whether a program takes its messages now
    """

    name: str
    is_open: bool
    stats: ConsumerStats


def listed(consumers: nmq_consumers, after: int | None, limit: int) -> Page[KeptConsumer]:
    """Return a page of consumers, the youngest first. Raises CoreError."""
    out = ffi.new("nmq_page **")
    check(lib.nmq_consumers_list(consumers, after or 0, limit, out))
    page = ffi.gc(out[0], lib.nmq_page_free)
    raw = lib.nmq_page_consumers(page)
    rows = [
        KeptConsumer(
            text_of(row.name, row.name_len),
            row.is_open,
            ConsumerStats(row.waiting, row.taken, row.bytes, row.dropped),
        )
        for row in (raw[n] for n in range(page.count))
    ]
    return Page(rows, None, raw[page.count - 1].place if page.next else None)


class CoreConsumer:
    """An open consumer.

    Threads  as the Core
    """

    def __init__(
        self,
        consumers: nmq_consumers,
        name: str,
        topic_filters: Sequence[str],
        qos: int,
        max_messages: int,
        max_bytes: int,
        patience_ms: int = 0,
    ) -> None:
        """Open it, and make it if there is none. Raises CoreError, OSError."""
        self._consumers = consumers
        kept = [ffi.new("char[]", text.encode()) for text in (name, *topic_filters)]
        texts = ffi.new("char *[]", kept[1:])
        lengths = ffi.new("size_t[]", [len(text) - 1 for text in kept[1:]])
        options = ffi.new("nmq_consumer_options *")
        options.name, options.name_len = kept[0], len(kept[0]) - 1
        options.filters, options.filter_lens = texts, lengths
        options.filter_count, options.qos = len(topic_filters), qos
        options.queue_max, options.queue_max_bytes = max_messages, max_bytes
        options.patience_ms = patience_ms
        number, fd = ffi.new("uint64_t *"), ffi.new("int32_t *")
        check_opened(lib.nmq_consumers_open(consumers, options, number, fd))
        self._feed = Feed.unbounded()
        self._number = int(number[0])
        # Readable once something has come after a take that found nothing.
        self.fd = int(fd[0])

    def take(self) -> tuple[int, bytes]:
        """Return how many messages come next, and their records; 0: there is none yet."""
        count = check(
            lib.nmq_consumers_take(self._consumers, self._number, self._feed.handle)
        )
        return count, b"".join(iter(self._feed.take, b""))

    def ack(self, count: int) -> None:
        """Acknowledge the oldest ``count`` messages that were taken."""
        check(lib.nmq_consumers_ack(self._consumers, self._number, count))

    def again(self) -> None:
        """Have what was taken and not acknowledged come again."""
        check(lib.nmq_consumers_again(self._consumers, self._number))

    def stats(self) -> ConsumerStats:
        raw = ffi.new("nmq_consumer_stats *")
        check(lib.nmq_consumers_stats(self._consumers, self._number, raw))
        return ConsumerStats(raw.waiting, raw.taken, raw.bytes, raw.dropped)

    def close(self) -> None:
        """Close it; it keeps what comes. Only once."""
        lib.nmq_consumers_close(self._consumers, self._number)
