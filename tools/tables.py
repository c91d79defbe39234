"""Pages of the documentation with tables that a tool writes, between comments with a name."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def filled(page: Path, old: str, tool: str, tables: Iterable[tuple[str, str]]) -> str:
    """Return the text of a page with its tables as they are now.

    tables   the name and the text of each
    Raises   SystemExit where the page has no place for one
    """
    for name, text in tables:
        begin, end = f"<!-- {name}: written by {tool} -->\n", f"<!-- /{name} -->"
        before, _, rest = old.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise SystemExit(f"{page.name}: has no place for {name}")
        old = f"{before}{begin}{text}\n{end}{after}"
    return old


def write_or_check(page: Path, tool: str, tables: Iterable[tuple[str, str]]) -> int:
    """Write the tables; with ``--check``, return 1 if the page has others."""
    old = page.read_text(encoding="utf-8")
    new = filled(page, old, tool, tables)
    if sys.argv[1:] != ["--check"]:
        page.write_text(new, encoding="utf-8")
        return 0
    if new != old:
        print(f"{page.relative_to(ROOT)} is old: run {tool}")
    return int(new != old)
