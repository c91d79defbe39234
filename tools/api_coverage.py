"""Build docs/api/coverage.md: what the tests show of each endpoint of the HTTP API.

    python -m tools.api_coverage            write the page
    python -m tools.api_coverage --check    fail if it is old

It fails too where the page has a hole, or a mark names no endpoint or no outcome.

The tests are collected, not run: they are marked endpoint(dialect, "METHOD /path", outcome).
What there must be stands in tests/http/documents/endpoints.txt, besides what is served.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nanomq_py.http.v1.api import HANDLERS
from tests.http import endpoints
from tests.http.endpoints import Served

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "api" / "coverage.md"
HEAD = ROOT / "tools" / "coverage-head.md"
DOCUMENTED = ROOT / "tests" / "http" / "documents" / "endpoints.txt"
TITLES = {
    "v2": "`/api/v2`",
    "v4": "`/api/v4`",
    "cloud": "`/api`, Cloud's",
    "iot": "`/iot/api/v1`",
}
WORDS = ("success", "absent", *endpoints.GENERIC, endpoints.EXPIRED)  # besides codes
EVERY = [*endpoints.ALL, *endpoints.IOT]
CODE = re.compile("[a-z]+(_[a-z]+)+")  # of the platform
SHOWN = "yes"
HOLE = "**no**"
CANNOT_BE = "-"
CANNOT = "cannot"  # in the list of what the documents name: this broker does not do it
GENERIC_CODES = {
    "107": endpoints.MISSING,
    "108": endpoints.WRONG_TYPE,
    "109": endpoints.BAD_JSON,
}
OF_LOGINS = {
    "103",
    "104",
}  # every endpoint answers them; of its own where the documents say so

Shown = Counter[tuple[str, str, str]]  # dialect, endpoint, outcome


class Collector:
    """A pytest plugin that counts which tests show what."""

    def __init__(self) -> None:
        self.shown: Shown = Counter()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            for dialect, name, outcome in {m.args for m in item.iter_markers("endpoint")}:
                self.shown[dialect, name, GENERIC_CODES.get(outcome, outcome)] += 1


def collect() -> Shown:
    collector = Collector()
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = pytest.main(
            [
                "--collect-only",
                "-qqq",
                "-p",
                "no:cacheprovider",
                "-Wignore::pytest.PytestAssertRewriteWarning",  # of what is imported here
                str(ROOT / "tests/http"),
                str(ROOT / "tests/devices"),
            ],
            plugins=[collector],
        )
    if code != 0:
        sys.exit(f"the tests cannot be collected:\n{said.getvalue()}")
    return collector.shown


def anonymous(name: str) -> str:
    """Return an endpoint without the names of its parameters."""
    return re.sub(r"{.*?}", "{}", name)


def documented() -> dict[str, dict[str, list[str]]]:
    """Return by dialect and endpoint, its parameters without names, its codes."""
    made: dict[str, dict[str, list[str]]] = {}
    for line in DOCUMENTED.read_text().splitlines():
        match line.split():
            case [dialect] if dialect != "#":
                of_dialect = made[dialect] = {}
            case [method, path, *codes] if method != "#":
                paths = [path.replace("[n]", "")]
                if "[n]" in path:
                    paths.append(path.replace("[n]", "/nodes/{}"))
                for each in paths:
                    of_dialect[anonymous(f"{method} {each}")] = codes
    made["cloud"] = made["v4"]
    return made


@dataclass(frozen=True)
class Row:
    """An endpoint, and how many tests show each outcome of it."""

    served: Served
    codes: list[str]
    shown: Shown

    def count(self, outcome: str) -> int:
        return self.shown[self.served.dialect, self.served.name, outcome]

    def cell(self, outcome: str, *, can_be: bool = True) -> str:
        return SHOWN if self.count(outcome) else HOLE if can_be else CANNOT_BE

    def code_cell(self) -> str:
        """Return the codes of its own that are shown, and those that are not."""
        wanted = {*self.codes, *(["101"] if self.served.has_node else [])}
        wanted.discard(CANNOT)
        if self.served.dialect == "cloud":
            wanted = {"101"} & wanted  # the others are v4's, by the same code
        of_it = {
            outcome
            for dialect, name, outcome in self.shown
            if (dialect, name) == (self.served.dialect, self.served.name)
            and outcome not in WORDS
            and (outcome not in OF_LOGINS or outcome in wanted)
        }
        told = sorted(wanted | of_it)
        return " ".join(code if code in of_it else f"**{code}**" for code in told) or "-"

    def cells(self) -> Iterator[str]:
        served = self.served
        yield f"`{served.name.replace('...', '')}`"
        yield self.cell("success", can_be=CANNOT not in self.codes)
        yield self.code_cell()
        yield self.cell(endpoints.BAD_JSON, can_be=endpoints.takes_json(served))
        needs = bool(endpoints.required(served.endpoint.takes.body))
        yield self.cell(endpoints.MISSING, can_be=needs)
        yield self.cell(endpoints.WRONG_TYPE, can_be=endpoints.can_be_wrong(served))
        yield self.cell(endpoints.STRANGER, can_be=not served.endpoint.is_open)
        is_judged = not served.endpoint.only_reads or served.endpoint.method == "GET"
        yield self.cell(endpoints.WRONG_ROLE, can_be=is_judged)
        yield self.cell(endpoints.OTHER_METHOD)
        if served.dialect in endpoints.OF_PLUGINS:
            yield self.cell(endpoints.EXPIRED, can_be=not served.endpoint.is_open)


def requests(shown: Shown) -> list[str]:
    """Return the lines of V1's table: it has requests in place of endpoints."""
    outcomes = ("success", None, *endpoints.GENERIC)
    made = []
    for req in HANDLERS:
        counts = [each and shown["v1", f"req {req}", each] for each in outcomes]
        cells = [CANNOT_BE if n is None else SHOWN if n else HOLE for n in counts]
        made.append(f"| request {req} | {' | '.join(cells)} |")
    return made


COLUMNS = "endpoint | success | codes | JSON | missing | type | login | role | method"


def rows(shown: Shown) -> dict[str, list[Row]]:
    codes = documented()
    made: dict[str, list[Row]] = {}
    for served in EVERY:
        made.setdefault(served.dialect, [])
        of_it = codes[served.dialect].get(anonymous(served.name), [])
        made[served.dialect].append(Row(served, of_it, shown))
    return made


def missing(dialect: str) -> list[str]:
    """Return what the documents name and nothing serves."""
    here = {anonymous(e.name) for e in EVERY if e.dialect == dialect}
    return [name for name in documented()[dialect] if name not in here]


def _above(columns: str) -> list[str]:
    return [f"| {columns} |", "|" + " --- |" * (columns.count("|") + 1)]


def page(made: dict[str, list[Row]], shown: Shown) -> str:
    parts = [HEAD.read_text().rstrip()]
    parts += ["## `/api/v1`", "\n".join([*_above(COLUMNS), *requests(shown)])]
    for dialect, found in made.items():
        has_tokens = dialect in endpoints.OF_PLUGINS
        lines = _above(f"{COLUMNS} | token" if has_tokens else COLUMNS)
        lines += [f"| {' | '.join(row.cells())} |" for row in found]
        lines += [f"| **`{name}`** | {HOLE} |" + " |" * 7 for name in missing(dialect)]
        parts += [f"## {TITLES[dialect]}", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def faults(shown: Shown) -> list[str]:
    """Return which marks say nothing."""
    known = {(each.dialect, each.name) for each in EVERY}
    known |= {("v1", f"req {req}") for req in HANDLERS}
    found = []
    for dialect, name, outcome in shown:
        if (dialect, name) not in known:
            found.append(f"{dialect} has no endpoint {name}, which a test is marked with")
        is_code = CODE.fullmatch(outcome) if dialect == "iot" else outcome.isdecimal()
        if outcome not in WORDS and not is_code:
            found.append(f"{dialect} {name}: {outcome!r} is no outcome")
    return sorted(found)


def main() -> None:
    shown = collect()
    text, wrong = page(rows(shown), shown), faults(shown)
    wrong += [
        f"not shown by any test: {line}" for line in text.splitlines() if "**" in line
    ]
    if "--check" not in sys.argv:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        wrong.append(f"{PAGE.relative_to(ROOT)} is old: run python -m tools.api_coverage")
    print("\n".join(wrong))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
