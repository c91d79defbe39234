"""Keys of what outlives the process: durability."""

from __future__ import annotations

from dataclasses import dataclass

from nanomq_py.config.declare.key import Applies, Checked, key
from nanomq_py.config.faults import ConfigError
from nanomq_py.config.keys.access import is_filter
from nanomq_py.config.values.kind import BadValue, Listed, Optional
from nanomq_py.config.values.numbers import Duration, Size
from nanomq_py.config.values.texts import List, Text
from nanomq_py.config.values.words import Choice, OrWord

LEAST_SEGMENTS = 8  # that max_size has room for
ALL = ("#",)


class Filters(Listed):
    """Topic filters, with commas between."""

    expected = "topic filters without $share, with commas between"

    def parse(self, text: str) -> tuple[str, ...]:
        given = List().parse(text)
        if not given or not all(map(_is_plain, given)):
            raise BadValue
        return given


def _is_plain(text: str) -> bool:
    return is_filter(text) and not text.startswith("$share/") and "#" not in text[:-1]


@dataclass(frozen=True, kw_only=True)
class Durability(Checked):
    mode: str = key(
        "",
        Choice(("off", "interval", "always")),
        "off",
        "Own key: whether messages, sessions and retained messages outlive the process, its"
        " kill and a power cut. always: what is acknowledged is on the disk; interval: it is"
        " soon (durability.interval).",
        applies=Applies.RESTART,
    )
    location: str | None = key(
        "location",
        Optional(Text(empty=False)),
        None,
        "Own key: the folder that they are in, for one broker alone; it is made if there is"
        " none. It has to be on a local disk. Default: beside the store (store.path), with its"
        " name and .journal.",
        applies=Applies.RESTART,
    )
    interval: int = key(
        "interval",
        Duration(10, 60_000),
        1000,
        "Own key: with durability=interval what is acknowledged is written so long"
        " afterwards at the latest: so much, and what comes while the disk writes, is lost"
        " with a power cut or a kill.",
    )
    gather: int | None = key(
        "gather",
        OrWord("auto", Duration(0, 1000)),
        None,
        "Own key: the least time between two writes: each of them wears the disk, and"
        " whoever publishes waits for it. auto: as long as it takes more along.",
    )
    max_size: int = key(
        "max_size",
        Size(8 << 20, 1 << 40),
        256 << 20,
        "Own key: the most that it takes of the disk, 8 times segment_size at least.",
    )
    segment_size: int = key(
        "segment_size",
        Size(1 << 20, 1 << 30),
        16 << 20,
        "Own key: the size of its files. Those that are there keep theirs.",
        applies=Applies.RESTART,
    )
    topics: tuple[str, ...] = key(
        "topics",
        Filters(),
        ALL,
        "Own key: of which topics messages are kept, and replies wait for the disk: a list of"
        " topic filters, with mount points in front. Messages of other topics are lost with a"
        " kill; sessions and subscriptions are kept all the same. It counts for messages that"
        " come from then on.",
    )
    on_error: str = key(
        "on_error",
        Choice(("refuse", "stop", "degrade")),
        "refuse",
        "Own key: what follows where the disk fails. refuse: what has to be kept is"
        " acknowledged no more, and its connection is closed; stop: the broker ends; degrade:"
        " it goes on as with off, and says so.",
    )
    hold: int = key(
        "hold",
        Duration(0, 60_000),
        5000,
        "Own key: how long clients that publish before MQTT 5.0, and cannot be refused a"
        " message, wait for room on the disk before they are closed.",
    )
    slow_flush: int = key(
        "slow_flush",
        Duration(0, 60_000),
        1000,
        "Own key: when one of 100 writes takes longer, by the last minute, the alarm"
        " store_slow begins; 0: never.",
    )
    on_corruption: str = key(
        "on_corruption",
        Choice(("stop", "skip")),
        "stop",
        "Own key: what follows at the start where something that was safe on the disk is"
        " damaged. stop: the broker does not start, and says what to do; skip: it leaves that"
        " out, and says how much.",
        applies=Applies.RESTART,
    )

    @property
    def is_on(self) -> bool:
        return self.mode != "off"

    def check_sizes(self) -> None:
        """Raise ConfigError where max_size is too small for segment_size."""
        if self.max_size < LEAST_SEGMENTS * self.segment_size:
            raise ConfigError(
                f"durability.max_size={self.max_size}: expected {LEAST_SEGMENTS} times"
                f" durability.segment_size={self.segment_size} at least"
            )
