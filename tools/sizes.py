"""How long the functions and files of the core and of the control plane are.

    python -m tools.sizes [FOLDER]     median, 90th percentile, the longest

A function counts from the line with its name to the last of its body.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.c_source import declarations
from tools.layers import read
from tools.walls import Fault, Sources

LONGEST_FUNCTION = 65
LONGEST_FILE = {"C": 450, "Python": 400}
MEDIAN, NINETIETH = 11, 25  # of the functions in C
MADE = {
    "nanomq_py/core/declared.py",
    "nanomq_py/core/declared_events.py",
}  # by build_ext.py


@dataclass(frozen=True, order=True)
class Length:
    lines: int
    name: str
    path: str

    def __str__(self) -> str:
        return f"{self.lines:5}  {self.name}  {self.path}"


def language(path: str) -> str:
    return "Python" if path.endswith(".py") else "C"


def functions(path: str, text: str) -> Iterator[Length]:
    if language(path) == "C":
        for found in declarations(text):
            if found.is_function and found.is_defined:
                yield Length(found.lines, found.name, path)
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Length(node.end_lineno - node.lineno + 1, node.name, path)  # type: ignore[operator]


def lengths(sources: Sources, of: str) -> tuple[list[Length], list[Length]]:
    """Return the functions and the files of a language, the shortest first."""
    mine = {
        path: text
        for path, text in sources.items()
        if language(path) == of and path not in MADE
    }
    files = [Length(text.count("\n"), "", path) for path, text in mine.items()]
    return sorted(f for p, t in mine.items() for f in functions(p, t)), sorted(files)


def summary(found: list[Length]) -> tuple[float, int, int]:
    """Return the median, the 90th percentile and the longest."""
    lines = [one.lines for one in found]
    return statistics.median(lines), lines[len(lines) * 9 // 10], lines[-1]


def faults(sources: Sources) -> Iterator[Fault]:
    """Yield what is longer than it may be."""
    for of, longest_file in LONGEST_FILE.items():
        every, files = lengths(sources, of)
        for one in every:
            if one.lines > LONGEST_FUNCTION:
                yield Fault("size", f"{one.path} {one.name}", f"{one.lines} lines")
        for one in files:
            if one.lines > longest_file:
                yield Fault("size", one.path, f"{one.lines} lines")


def main() -> None:
    sources = read(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
    for of in LONGEST_FILE:
        for what, found in zip(("functions", "files"), lengths(sources, of), strict=True):
            median, ninetieth, longest = summary(found)
            print(f"{of}, {len(found)} {what}: {median:g} / {ninetieth} / {longest}")
            print("\n".join(str(one) for one in found[:-6:-1]))


if __name__ == "__main__":
    main()
