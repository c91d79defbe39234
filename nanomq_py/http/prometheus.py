"""This broker's metrics for Prometheus, in its text format of version 0.0.4.

The metrics are those of ``csrc/metrics.def``; a dialect adds what it calls some of them.

Source  https://prometheus.io/docs/instrumenting/exposition_formats/;
        https://prometheus.io/docs/instrumenting/writing_clientlibs/ for the process's
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from nanomq_py.broker import Broker
from nanomq_py.core.declared import LOGGED, MEMORY, METRICS
from nanomq_py.core.memory import resident_bytes
from nanomq_py.version import __version__

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Kind = Literal["counter", "gauge"]


@dataclass(frozen=True)
class Sample:
    """A metric, and its value now."""

    name: str
    kind: Kind
    help: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _escaped_label(text: str) -> str:
    return _escaped(text).replace('"', r"\"")


def _number(value: float) -> str:
    """Return it as Go's ParseFloat takes it."""
    return str(value) if isinstance(value, int) else repr(float(value))


def _line(sample: Sample) -> str:
    labels = ",".join(
        f'{name}="{_escaped_label(value)}"' for name, value in sample.labels.items()
    )
    called = f"{sample.name}{{{labels}}}" if labels else sample.name
    return f"{called} {_number(sample.value)}\n"


def exposition(samples: Iterable[Sample]) -> str:
    """Return the text; of samples of one name and the same labels the first counts."""
    by_name: dict[str, dict[tuple[tuple[str, str], ...], Sample]] = {}
    for sample in samples:
        labels = tuple(sample.labels.items())
        by_name.setdefault(sample.name, {}).setdefault(labels, sample)
    made = []
    for name, of_name in by_name.items():
        first = next(iter(of_name.values()))
        made.append(f"# HELP {name} {_escaped(first.help)}\n# TYPE {name} {first.kind}\n")
        made += map(_line, of_name.values())
    return "".join(made)


# A figure of a bridge, and what it is.
_OF_BRIDGES: tuple[tuple[str, Kind, str], ...] = (
    ("waiting", "gauge", "messages that are to cross"),
    ("waiting_bytes", "gauge", "bytes of those, and of what is in flight"),
    ("in_flight", "gauge", "messages that the other broker has not acknowledged"),
    ("sent", "counter", "PUBLISH packets to the other broker, those sent again too"),
    ("acked", "counter", "messages that the other broker has"),
    ("received", "counter", "PUBLISH packets of the other broker"),
    (
        "refused",
        "counter",
        "of those, without a subscription or topic here, or here before",
    ),
    ("dropped", "counter", "messages that do not cross"),
    ("bytes_in", "counter", "bytes from the other broker"),
    ("bytes_out", "counter", "bytes to the other broker"),
)


def _bridge_samples(broker: Broker) -> Iterator[Sample]:
    for bridge in broker.bridges():
        labels = {"name": bridge.name}
        is_up = int(bridge.state.value == "up")
        yield Sample("nanomq_bridge_up", "gauge", "1: it is connected", is_up, labels)
        for name, kind, text in _OF_BRIDGES:
            called = f"nanomq_bridge_{name}{'_total' if kind == 'counter' else ''}"
            yield Sample(called, kind, text, getattr(bridge.stats, name), labels)


def broker_samples(broker: Broker, node: str) -> Iterator[Sample]:
    """Yield what the broker counts and measures, under its own names."""
    labels = {"version": __version__, "node": node}
    yield Sample("nanomq_info", "gauge", "this broker; always 1", 1, labels)
    stats, memory = broker.stats(), broker.memory()
    for metric in METRICS:
        value = getattr(stats, metric.name)
        yield Sample(metric.exported, metric.kind, metric.help, value)
    for metric in MEMORY:
        value = getattr(memory, metric.name)
        yield Sample(metric.exported, metric.kind, metric.help, value)
    if (durability := broker.durability()) is not None:
        for metric in LOGGED:
            value = getattr(durability.stats, metric.name)
            yield Sample(metric.exported, metric.kind, metric.help, value)
    yield from _bridge_samples(broker)


def process_samples() -> Iterator[Sample]:
    """Yield what every program tells of its process."""
    yield Sample(
        "process_cpu_seconds_total",
        "counter",
        "seconds of processors that the process has taken",
        time.process_time(),
    )
    yield Sample(
        "process_resident_memory_bytes",
        "gauge",
        "bytes of memory that the process has",
        resident_bytes(),
    )
