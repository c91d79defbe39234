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


def _lines(sample: Sample) -> Iterator[str]:
    yield f"# HELP {sample.name} {_escaped(sample.help)}\n"
    yield f"# TYPE {sample.name} {sample.kind}\n"
    labels = ",".join(
        f'{name}="{_escaped_label(value)}"' for name, value in sample.labels.items()
    )
    yield f"{sample.name}{{{labels}}} " if labels else f"{sample.name} "
    yield f"{_number(sample.value)}\n"


def exposition(samples: Iterable[Sample]) -> str:
    """Return the text; of samples of one name the first counts."""
    by_name: dict[str, Sample] = {}
    for sample in samples:
        by_name.setdefault(sample.name, sample)
    return "".join(line for sample in by_name.values() for line in _lines(sample))


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
