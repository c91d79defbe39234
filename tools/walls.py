"""What the walls of C and of Python share: faults and circles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

Sources = Mapping[str, str]  # path from the root: text
Graph = dict[str, set[str]]


@dataclass(frozen=True, order=True)
class Fault:
    """``rule: module`` names the fault, and stays while it is mended in part."""

    rule: str
    module: str
    detail: str

    @property
    def name(self) -> str:
        return f"{self.rule}: {self.module}"

    def __str__(self) -> str:
        return f"{self.name} ({self.detail})"


def circles(graph: Graph) -> list[set[str]]:
    """Return the sets of modules that reach each other (Tarjan's algorithm)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_: list[str] = []
    found = []

    def visit(module: str) -> None:
        number[module] = lowest[module] = len(number)
        open_.append(module)
        for other in sorted(graph.get(module, ())):
            if other not in number:
                visit(other)
            if other in open_:
                lowest[module] = min(lowest[module], lowest[other])
        if lowest[module] == number[module]:
            at = open_.index(module)
            found.append(set(open_[at:]))
            del open_[at:]

    for module in sorted(graph):
        if module not in number:
            visit(module)
    return [circle for circle in found if len(circle) > 1]


def circle_faults(rule: str, graph: Graph) -> Iterator[Fault]:
    for circle in circles(graph):
        for module in circle:
            others = ", ".join(sorted(graph[module] & circle))
            yield Fault(rule, module, f"knows {others}, which knows it")
