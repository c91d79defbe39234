"""Counts and rates of the messages of single topics, as :attr:`nanomq_py.Broker.topic_metrics`.

::

    broker.topic_metrics.register("sensors/1")
    ...
    print(broker.topic_metrics["sensors/1"].counts.messages_in)

Nothing is counted, and no timer runs, while no topic is registered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from typing import Generic, TypeVar

from nanomq_py.core.binding import EINVAL, ETOOBIG, Core, CoreError
from nanomq_py.core.meter import MOST_METERS, Meter, MeterCounts
from nanomq_py.store.moment import wall_s

SAMPLE_S = 1.0
WINDOW = 5  # samples: a rate is their moving average, as EMQX 4 has it

N = TypeVar("N", int, float)


@dataclass(frozen=True)
class PerCounter(Generic[N]):
    """A number for each of the counters of a topic."""

    messages_in: N  # that were published, whoever wants them
    messages_out: N  # that sessions of clients took, but for retained ones of a SUBSCRIBE
    messages_dropped: N  # that nobody wanted, or a session did not take
    qos0_in: N
    qos1_in: N
    qos2_in: N
    qos0_out: N  # by the QoS that the session gets it at
    qos1_out: N
    qos2_out: N


@dataclass(frozen=True)
class TopicMetric:
    """What is counted of one topic."""

    topic: str
    since: float  # Unix time: of its registration, or the last reset
    counts: PerCounter[int]
    rates: PerCounter[float]  # a second


def _counts(read: MeterCounts) -> PerCounter[int]:
    got, sent = read.messages_in, read.messages_out
    return PerCounter(sum(got), sum(sent), read.dropped, *got, *sent)


class _Registered:
    """One topic: its meter, and the rates of its counters."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.begin()

    def begin(self) -> None:
        self.since = wall_s()
        self._before: tuple[int, ...] = (0,) * 9
        self.rates: PerCounter[float] = PerCounter(*[0.0] * 9)

    def sample(self, elapsed_s: float) -> None:
        now = astuple(_counts(self.meter.read()))
        rates = (
            (rate * (WINDOW - 1) + (count - before) / elapsed_s) / WINDOW
            for rate, count, before in zip(
                astuple(self.rates), now, self._before, strict=True
            )
        )
        self.rates, self._before = PerCounter(*rates), now


class TopicMetrics:
    """The topics whose messages are counted: 512 at most, without wildcards.

    Threads: belongs to the broker's event loop
    """

    def __init__(self, core: Core) -> None:
        """Make it; nothing is counted yet."""
        self._core = core
        self._topics: dict[str, _Registered] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._sampled_s = 0.0

    def register(self, topic: str) -> None:
        """Count the messages of that topic from now on.

        Raises   ValueError for what is no Topic Name, and for one that is counted already;
                 RuntimeError for one too many
        """
        try:
            meter = self._core.open_meter(topic)
        except CoreError as fault:
            if fault.status == ETOOBIG:
                raise RuntimeError(f"{MOST_METERS} topics are registered") from None
            why = "it is registered" if fault.status == EINVAL else str(fault)
            raise ValueError(f"{topic!r}: {why}") from None
        self._topics[topic] = _Registered(meter)
        if self._timer is None:
            self._sampled_s = time.monotonic()
            self._wait()

    def unregister(self, topic: str) -> None:
        """Count them no longer, and forget what was. Raises KeyError."""
        del self._topics[topic]
        self._core.close_meter(topic)
        if not self._topics:
            self.stop()

    def reset(self, topic: str | None = None) -> None:
        """Begin at 0 again; None: all topics. Raises KeyError."""
        for one in self._topics.values() if topic is None else [self._topics[topic]]:
            one.meter.reset()
            one.begin()

    def __getitem__(self, topic: str) -> TopicMetric:
        """Return what is counted of a topic. Raises KeyError."""
        one = self._topics[topic]
        return TopicMetric(topic, one.since, _counts(one.meter.read()), one.rates)

    def __iter__(self) -> Iterator[TopicMetric]:
        """Yield what is counted, in the order of registration."""
        return iter([self[topic] for topic in self._topics])

    def __len__(self) -> int:
        return len(self._topics)

    def __contains__(self, topic: object) -> bool:
        return topic in self._topics

    def save(self) -> list[str]:
        """Return the topics, for :meth:`load` of a later broker."""
        return list(self._topics)

    def load(self, topics: Iterable[str]) -> None:
        """Register those that are not. Raises what :meth:`register` does."""
        for topic in topics:
            if topic not in self._topics:
                self.register(topic)

    def sample(self, elapsed_s: float) -> None:
        """Bring the rates up to date; so much time is gone since the last sample."""
        for one in self._topics.values():
            one.sample(elapsed_s)

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(SAMPLE_S, self._tick)

    def _tick(self) -> None:
        now_s = time.monotonic()
        self.sample(now_s - self._sampled_s)
        self._sampled_s = now_s
        self._wait()

    def stop(self) -> None:
        """Sample no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
