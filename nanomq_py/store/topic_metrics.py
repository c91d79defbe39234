"""The topics whose messages are counted one by one: only which they are, not the counts.

Source  EMQX 4.4, emqx_mod_topic_metrics: 512 topics, none with a wildcard
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nanomq_py.config.keys.access import is_filter
from nanomq_py.config.values.texts import shown
from nanomq_py.store.faults import StoreFullError
from nanomq_py.store.moment import wall_s
from nanomq_py.store.store import Store

if TYPE_CHECKING:
    from sqlite3 import Connection

MOST_TOPICS = 512


def checked_topic(topic: str) -> str:
    """Return a Topic Name. Raises ValueError for what cannot be one."""
    try:
        good = is_filter(topic) and topic.isprintable() and not set(topic) & set("+#")
    except UnicodeEncodeError:
        good = False
    if not good:
        raise ValueError(
            f"topic='{shown(topic[:100])}': expected a topic without wildcards, of printable"
            " letters"
        )
    return topic


class TopicTable:
    """Those topics in the store. Errors: StoreError."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def all(self) -> dict[str, float]:
        """Return since when each is counted, in the order of the topics."""

        def act(connection: Connection) -> dict[str, float]:
            rows = connection.execute(
                "SELECT topic, since FROM counted_topic ORDER BY topic"
            )
            return dict(rows)

        return await self._store.read(act)

    async def add(self, topic: str) -> float | None:
        """Keep one; return since when it is counted, or None: it is there already.

        Raises  ValueError for what cannot be, StoreFullError
        """
        checked_topic(topic)
        now = wall_s()

        def act(connection: Connection) -> float | None:
            made = connection.execute(
                "INSERT OR IGNORE INTO counted_topic VALUES (?, ?)", (topic, now)
            )
            if not made.rowcount:
                return None
            (count,) = connection.execute("SELECT count(*) FROM counted_topic").fetchone()
            if count > MOST_TOPICS:
                raise StoreFullError(
                    f"{MOST_TOPICS} topics are counted already: take one back"
                )
            return now

        return await self._store.write(act)

    async def delete(self, topic: str) -> bool:
        """Forget one; return whether it was there."""

        def act(connection: Connection) -> bool:
            done = connection.execute("DELETE FROM counted_topic WHERE topic = ?", (topic,))
            return done.rowcount > 0

        return await self._store.write(act)

    async def clear(self) -> int:
        """Forget all; return how many there were."""
        return await self._store.write(
            lambda connection: connection.execute("DELETE FROM counted_topic").rowcount
        )
