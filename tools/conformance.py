"""Build docs/conformance.md: each numbered statement of MQTT, its place in the code, its tests.

    tools/conformance.py            write the page
    tools/conformance.py --check    fail if a server statement has no test, no place in the
                                    code, or a citation names no statement, or the page is old

Places are the comments of the form [MQTT-3.1.2-4] in csrc/, or [MQTT-3.1.2-5 of 3.1.1] for a
number of 3.1.1. Tests carry @pytest.mark.spec("MQTT-3.1.2-4"); a test with a parameter
`version` counts for 5.0 where that is 5, and for the statement of 3.1.1 that says the same
where it is 3 or 4. One without it counts for 5.0, or for 3.1.1 with spec(..., version=4).
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "conformance.md"
DATA = ROOT / "tests" / "conformance"
CITATION = re.compile(r"\[MQTT-([\d.]+-\d+)( of 3\.1\.1)?\]")
Key = tuple[str, str]  # version, number


@dataclass(frozen=True)
class Statement:
    version: str
    number: str
    binds: str
    same_as: str  # number in 5.0 of a statement of 3.1.1 that says the same, or ""
    text: str

    @property
    def key(self) -> Key:
        return self.version, self.number

    @property
    def is_ours(self) -> bool:
        return self.binds in ("server", "both")


def statements(version: str) -> list[Statement]:
    found = []
    for line in (DATA / f"statements-{version}.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        parts = [part.strip() for part in line.split(" | ")]
        number, binds, text = parts[0], parts[1], parts[-1]
        same = parts[2] if len(parts) == 4 and parts[2] != "-" else ""
        found.append(Statement(version, number, binds, same, text))
    return found


def places() -> dict[Key, set[str]]:
    found: dict[Key, set[str]] = defaultdict(set)
    for pattern in ("csrc/**/*.[ch]", "nanomq_py/**/*.py"):
        for path in ROOT.glob(pattern):
            for number, old in CITATION.findall(path.read_text()):
                found["3.1.1" if old else "5.0", number].add(str(path.relative_to(ROOT)))
    return found


class Collector:
    """A pytest plugin that notes which test checks what."""

    def __init__(self) -> None:
        self.tests: dict[Key, set[str]] = defaultdict(set)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            version = getattr(item, "callspec", None)
            given = version.params.get("version") if version is not None else None
            for mark in item.iter_markers("spec"):
                old = (given or mark.kwargs.get("version", 5)) < 5
                for name in mark.args:
                    number = name.removeprefix("MQTT-")
                    if number.endswith(" of 3.1.1"):
                        key = ("3.1.1", number.removesuffix(" of 3.1.1"))
                    else:
                        key = ("same" if old else "5.0", number)
                    self.tests[key].add(item.nodeid.split("[")[0].removeprefix("tests/"))


def collect() -> dict[Key, set[str]]:
    collector = Collector()
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = pytest.main(
            ["--collect-only", "-qqq", "-p", "no:cacheprovider", str(ROOT / "tests")],
            plugins=[collector],
        )
    if code != 0:
        sys.exit(f"the tests cannot be collected:\n{said.getvalue()}")
    return collector.tests


@dataclass(frozen=True)
class Row:
    statement: Statement
    places: list[str]
    tests: list[str]


def rows(version: str, code: dict[Key, set[str]], tests: dict[Key, set[str]]) -> list[Row]:
    made = []
    for s in statements(version):
        where = set(code.get(s.key, ()))
        checks = set(tests.get(s.key, ()))
        if s.same_as:
            where |= code.get(("5.0", s.same_as), set())
            checks |= tests.get(("same", s.same_as), set())
        made.append(Row(s, sorted(where), sorted(checks)))
    return made


def table(rows: list[Row]) -> str:
    lines = ["| | statement | implemented | checked |", "| --- | --- | --- | --- |"]
    for row in rows:
        code = "<br>".join(f"`{p}`" for p in row.places)
        checks = "<br>".join(f"`{t}`" for t in row.tests)
        lines.append(
            f"| {row.statement.number} | {row.statement.text} | {code} | {checks} |"
        )
    return "\n".join(lines)


def page(made: dict[str, list[Row]]) -> str:
    parts = [(ROOT / "tools" / "conformance-head.md").read_text().rstrip()]
    for version, found in made.items():
        ours = [row for row in found if row.statement.is_ours]
        theirs = [row for row in found if not row.statement.is_ours and row.tests]
        parts += [f"## MQTT {version}: what binds a server", table(ours)]
        parts += [f"## MQTT {version}: what binds a client, and is enforced", table(theirs)]
    return "\n\n".join(parts) + "\n"


def faults(
    made: dict[str, list[Row]], code: dict[Key, set[str]], tests: dict[Key, set[str]]
) -> list[str]:
    found = []
    known = {row.statement.key for rows in made.values() for row in rows}
    for version, number in {*code, *((v.replace("same", "5.0"), n) for v, n in tests)}:
        if (version, number) not in known:
            found.append(f"MQTT {version} has no statement {number}, which is cited")
    for rows in made.values():
        for row in rows:
            s = row.statement
            if s.is_ours and not row.tests:
                found.append(f"MQTT {s.version} {s.number} has no test: {s.text}")
            if s.is_ours and not row.places:
                found.append(
                    f"MQTT {s.version} {s.number} is not cited in the code: {s.text}"
                )
    return sorted(found)


def main() -> None:
    code, tests = places(), collect()
    made = {version: rows(version, code, tests) for version in ("5.0", "3.1.1")}
    text = page(made)
    wrong = faults(made, code, tests)
    if "--check" not in sys.argv:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        wrong.append(f"{PAGE.relative_to(ROOT)} is old: run tools/conformance.py")
    print("\n".join(wrong))
    sys.exit(1 if wrong else 0)


main()
