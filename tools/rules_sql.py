"""Build the tables of docs/rules-sql.md from the columns and functions of the SQL of rules.

tools/rules_sql.py            write them
tools/rules_sql.py --check    fail if they are old
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from nanomq_py.plugins.rules.sql.columns import EVENTS, Event  # noqa: E402
from nanomq_py.plugins.rules.sql.functions.all import FUNCTIONS  # noqa: E402
from nanomq_py.plugins.rules.sql.functions.table import Function  # noqa: E402
from tools.tables import filled, write_or_check  # noqa: E402

PAGE = ROOT / "docs" / "rules-sql.md"
TOOL = "tools/rules_sql.py"
GROUPS = {  # by the module of functions/ that has them
    "numeric": "Numbers and bits",
    "texts": "Texts",
    "patterns": "Regular expressions",
    "kinds": "Conversion and kinds",
    "containers": "Maps and arrays",
    "binaries": "Hashes, encodings, compression, bits of binaries",
    "times": "Time",
    "messages": "The message",
}


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def of_function(function: Function) -> str:
    return f"| `{cell(function.signature)}` | {cell(function.words)} |"


def functions() -> str:
    lines = []
    for module, title in GROUPS.items():
        its = [f for f in FUNCTIONS.values() if f.module.endswith(f".{module}")]
        lines += [f"### {title}", "", "| function | value |", "| --- | --- |"]
        lines += [*map(of_function, sorted(its, key=lambda f: f.name)), ""]
    return "\n".join(lines[:-1])


def of_event(topic: str, event: Event) -> str:
    columns = ", ".join(f"`{name}`" for name in event.columns if name not in ALWAYS)
    source = f"`{topic}`" if topic else "a topic filter"
    return f"| {source} | {event.words} | {columns} |"


ALWAYS = ("event", "timestamp", "node")


def events() -> str:
    rows = [of_event(topic, event) for topic, event in EVENTS.items()]
    return "\n".join(["| FROM | when | columns |", "| --- | --- | --- |", *rows])


def columns() -> str:
    """Return each column with what it is; where events differ, with each."""
    words: dict[str, list[str]] = {}
    for event in EVENTS.values():
        for name, text in event.columns.items():
            words.setdefault(name, [])
            if text not in words[name]:
                words[name].append(text)
    rows = [f"| `{name}` | {cell('; or '.join(texts))} |" for name, texts in words.items()]
    return "\n".join(["| column | what it is |", "| --- | --- |", *rows])


def tables() -> Iterator[tuple[str, str]]:
    for name, text in (
        ("events", events()),
        ("columns", columns()),
        ("functions", functions()),
    ):
        yield name, f"\n{text}\n"


def page(old: str) -> str:
    """Return the page with its tables as they are now."""
    return filled(PAGE, old, TOOL, tables())


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, TOOL, tables()))
