"""Build the tables of docs/sys-topics.md from csrc/metrics.def.

tools/metrics.py            write them
tools/metrics.py --check    fail if they are old
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from nanomq_py.core.declared import LOGGED, MEMORY, METRICS  # noqa: E402
from nanomq_py.core.metric import Metric  # noqa: E402
from tools.tables import write_or_check  # noqa: E402

PAGE = ROOT / "docs" / "sys-topics.md"
LIMIT = "limits/"  # what limits did has a table of its own
KEPT = "durability_"  # and so has what becomes of what is to outlive the process


def row(metric: Metric) -> str:
    topics = ", ".join(f"`{topic}`" for topic in metric.topics)
    load = f"`{metric.load}`" if metric.load else ""
    # Names of keys have a _ in them; so have no other words.
    help = re.sub(r"\b[a-z]+(?:_[a-z]+)+\b|\$share/\.\.\.", r"`\g<0>`", metric.help)
    return f"| {topics} | {help} | {load} |"


def table(metrics: Sequence[Metric]) -> str:
    return "\n".join(
        ["| topic | value | load |", "| --- | --- | --- |", *map(row, metrics)]
    )


def tables() -> Iterator[tuple[str, str]]:
    """Yield the name of each table and what it is."""
    told = [metric for metric in (*METRICS, *MEMORY) if metric.topics or metric.load]
    kept = [metric for metric in told if metric.name.startswith(KEPT)]
    told = [metric for metric in told if metric not in kept]
    limits = [metric for metric in told if "".join(metric.topics).startswith(LIMIT)]
    yield "metrics", table([metric for metric in told if metric not in limits])
    yield "limits", table(limits)
    yield "store", table([*LOGGED, *kept])


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, "tools/metrics.py", tables()))
