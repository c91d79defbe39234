"""Build the tables of docs/sys-topics.md from csrc/metrics.def.

tools/metrics.py            write them
tools/metrics.py --check    fail if they are old
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from nanomq_py.core.declared import MEMORY, METRICS
from nanomq_py.core.metric import Metric

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "sys-topics.md"
LIMIT = "limits/"  # what limits did has a table of its own


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
    limits = [metric for metric in told if "".join(metric.topics).startswith(LIMIT)]
    yield "metrics", table([metric for metric in told if metric not in limits])
    yield "limits", table(limits)


def page(old: str) -> str:
    """Return the page with its tables as they are now."""
    for name, text in tables():
        begin, end = f"<!-- {name}: written by tools/metrics.py -->\n", f"<!-- /{name} -->"
        before, _, rest = old.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise SystemExit(f"{PAGE.name}: has no place for {name}")
        old = f"{before}{begin}{text}\n{end}{after}"
    return old


def main() -> int:
    old = PAGE.read_text(encoding="utf-8")
    new = page(old)
    if sys.argv[1:] != ["--check"]:
        PAGE.write_text(new, encoding="utf-8")
        return 0
    if new != old:
        print(f"{PAGE.relative_to(ROOT)} is old: run tools/metrics.py")
    return int(new != old)


if __name__ == "__main__":
    sys.exit(main())
