"""What is known of a metric besides its value: a line of ``csrc/metrics.def``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """One field of ``Stats``, ``Memory`` or ``DurabilityStats``."""

    name: str  # of the field
    kind: Literal[
        "counter", "gauge"
    ]  # a counter only grows, from the start of the broker on
    topics: tuple[
        str, ...
    ]  # below $SYS/broker/; the first is its name, the others older ones
    load: str  # topic below $SYS/broker/load/ that tells how much it grows; empty: none
    exported: str  # its name in Prometheus
    help: str
