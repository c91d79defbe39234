"""The results as tables and plots: docs/performance.md between its marks, and SVG files."""

from __future__ import annotations

import platform
from datetime import datetime, timezone
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure as Plot

from bench.brokers import OURS
from bench.results import Results, Runs
from bench.scenarios import Figure

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
BASE = "mosquitto"  # ratios are to it

mpl.use("svg")
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "bench", "font.size": 9})


def number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def asked(figure: Figure) -> str:
    if figure.at_most is not None:
        return f"<= {figure.at_most:g}"
    if figure.ratio_to is None:
        return ""
    return f"{'>=' if figure.more_is_better else '<='} {figure.ratio_to:g} x"


def is_met(figure: Figure, value: float | None, ratio: float | None) -> bool:
    """Return whether what was asked of the figure holds."""
    if figure.at_most is not None:
        return value is not None and value <= figure.at_most
    if figure.ratio_to is None:
        return True
    if ratio is None:
        return False
    return ratio >= figure.ratio_to if figure.more_is_better else ratio <= figure.ratio_to


def row(runs: Runs, figure: Figure, peers: list[str]) -> str:
    values = [runs.median(peer, figure) for peer in peers]
    mine, base = runs.median(OURS, figure), runs.median(BASE, figure)
    ratio = mine / base if mine is not None and base else None
    met = "" if is_met(figure, mine, ratio) else " **missed**"
    cells = [
        runs.scenario.name,
        figure.unit,
        *map(number, values),
        number(ratio),
        asked(figure) + met,
        " / ".join(f"{runs.lost(p):.0f}" for p in peers if p in runs.answers),
    ]
    return "| " + " | ".join(cells) + " |"


def table(results: Results) -> str:
    """Return the scenarios as a Markdown table."""
    peers = [OURS, *sorted({p for run in results.runs for p in run.answers} - {OURS})]
    head = ["scenario", "figure", *peers, f"ratio to {BASE}", "asked", "lost"]
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    lines += [row(run, f, peers) for run in results.runs for f in run.scenario.figures]
    return "\n".join(lines)


def trie_table(results: Results) -> str:
    """Return what the subscription tree costs, by its size."""
    lines = [
        "| filters | insert ns | match ns, few topics | all topics | remove ns | bytes each |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for a in results.trie:
        keys = ("insert_ns", "match_hot_ns", "match_ns", "remove_ns", "bytes_each")
        cells = [f"{a['filters']:,.0f}", *(f"{a[key]:.0f}" for key in keys)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


COSTS = (
    ("match_ns", "match, each found"),
    ("subscribe_ns", "SUBSCRIBE"),
    ("again_ns", "SUBSCRIBE again"),
    ("unsubscribe_ns", "UNSUBSCRIBE"),
    ("leave_ns", "leave, each"),
)
COSTS_OF = {"subscribers": "subscribers of one filter", "filters": "filters of one session"}


def costs_table(results: Results, kind: str) -> str:
    """Return what changes cost, by how many subscribers or filters there are."""
    head = [COSTS_OF[kind], *(f"{label}, ns" for _, label in COSTS)]
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    for a in results.costs[kind]:
        cells = [f"{a['n']:,.0f}", *(number(a[key]) for key, _ in COSTS)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def api_table(results: Results) -> str:
    """Return what the requests of /api/v1 cost."""
    lines = [
        "| request | a second | us CPU each | bytes of answer |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| req {r.req} | {r.per_s:,.0f} | {r.cpu_us:,.0f} | {r.answer_bytes:,} |"
        for r in results.api
    ]
    return "\n".join(lines)


def plot_ratios(results: Results, to: Path) -> None:
    """Draw our CPU time a message as a part of the peer's, and what is asked."""
    bars: list[tuple[str, float, float | None]] = []
    for run in results.runs:
        for figure in run.scenario.figures:
            mine, base = run.median(OURS, figure), run.median(BASE, figure)
            if figure.key == "cpu_us" and mine is not None and base:
                bars.append((run.scenario.name, mine / base, figure.ratio_to))
    bars.reverse()
    plot = Plot(figsize=(8, 0.3 * len(bars) + 1), layout="constrained")
    axes = plot.subplots()
    axes.barh(
        [name for name, _, _ in bars], [ratio for _, ratio, _ in bars], color="#3b7dd8"
    )
    for at, (_, ratio, target) in enumerate(bars):
        axes.text(ratio * 1.04, at, f"{ratio:.3f}", va="center")
        if target is not None:
            axes.plot([target, target], [at - 0.4, at + 0.4], color="#c0392b", linewidth=2)
    axes.set_xscale("log")
    axes.axvline(1, color="#555555", linewidth=0.8)
    axes.set_xlabel(f"CPU time, as a part of {BASE}'s (red: what is asked)")
    plot.savefig(to, metadata={"Date": None})


def plot_trie(results: Results, to: Path) -> None:
    """Draw the time of a match over the number of filters."""
    sizes = [a["filters"] for a in results.trie]
    plot = Plot(figsize=(8, 3.2), layout="constrained")
    axes = plot.subplots()
    for key, label in (("match_hot_ns", "the same 100 topics"), ("match_ns", "all topics")):
        axes.plot(sizes, [a[key] for a in results.trie], marker="o", label=label)
    axes.set_xscale("log")
    axes.set_ylim(0, 2000)
    axes.set_xlabel("filters in the tree")
    axes.set_ylabel("ns a match")
    axes.legend()
    plot.savefig(to, metadata={"Date": None})


def plot_costs(results: Results, to: Path) -> None:
    """Draw what changes cost over how many subscribers or filters there are."""
    plot = Plot(figsize=(8, 3.6), layout="constrained")
    both = plot.subplots(1, len(results.costs), sharey=True)
    for axes, (kind, answers) in zip(both, results.costs.items(), strict=True):
        sizes = [a["n"] for a in answers]
        for key, label in COSTS:
            axes.plot(sizes, [a[key] for a in answers], marker="o", label=label)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel(COSTS_OF[kind])
    both[0].set_ylabel("ns")
    both[0].legend()
    plot.savefig(to, metadata={"Date": None})


def write(results: Results, docs: Path) -> None:
    """Put tables and plots into the documentation."""
    page = docs / "performance.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    day = datetime.now(timezone.utc).date()
    measured = [
        BEGIN,
        f"Measured on {day}: {results.cores} cores, {platform.machine()}, Linux "
        f"{platform.release().split('-')[0]}, Python {platform.python_version()}; medians of "
        f"{results.rounds} interleaved rounds, {results.rounds // 2} where nothing is asked; a "
        "broker process of its own for each run.\n",
        table(results),
        "\n![CPU time a message](performance-ratios.svg)\n",
        "### The subscription tree\n",
        trie_table(results),
        "\n![A match](performance-trie.svg)\n",
        "### What one more costs\n",
        costs_table(results, "subscribers"),
        "",
        costs_table(results, "filters"),
        "\n![Changes](performance-costs.svg)\n",
        "### /api/v1 with 10,000 clients connected\n",
        api_table(results),
        END,
    ]
    page.write_text(before + "\n".join(measured) + after, encoding="utf-8")
    plot_ratios(results, docs / "performance-ratios.svg")
    plot_trie(results, docs / "performance-trie.svg")
    plot_costs(results, docs / "performance-costs.svg")
