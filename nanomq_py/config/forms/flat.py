"""The flat form of ``nanomq.conf``: ``key=value`` lines; comments begin with ``#``.

Source  NanoMQ up to 0.14
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nanomq_py.config.faults import ConfigError, Faults
from nanomq_py.config.forms.entries import Entry

# A name. Where the text before = is none, the line lacks = behind its name.
_NAME = re.compile(r"""[^\s:"']+""")
# The key of a line without =. A word alone is not told: it may be a password.
_FIRST_WORD = re.compile(r"([A-Za-z][\w.-]{0,79})[\s:\"']+\S")


@dataclass(frozen=True)
class _Line:
    """One ``key=value`` line."""

    number: int
    name: str
    value: str
    start: int  # of the line in the text
    end: int  # past its newline
    at: tuple[int, int]  # the value's place


def _lines(text: str, source: str, faults: Faults) -> Iterator[_Line]:
    start = 0
    for number, line in enumerate(text.split("\n"), start=1):
        end = min(start + len(line) + 1, len(text))
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            name, equals, value = line.partition("=")
            if not equals or _NAME.fullmatch(name.strip()) is None:
                # The rest may be a password: it is not told.
                key = _FIRST_WORD.match(stripped)
                what = f"{source}:{number}: " + (f"{key[1]}: " if key else "")
                faults.add(ConfigError(f"{what}expected key=value"))
                if faults.enough:
                    return
                start = end
                continue
            first = start + len(line) - len(value.lstrip())
            at = (first, first + len(value.strip()))
            yield _Line(number, name.strip(), value.strip(), start, end, at)
        start = end


def read(text: str, source: str, faults: Faults) -> dict[str, Entry]:
    """Return the entries of a text. ``faults`` gets what is wrong."""
    entries: dict[str, Entry] = {}
    for line in _lines(text, source, faults):
        where = f"{source}:{line.number}"
        if line.name in entries:
            before = entries[line.name].where
            faults.add(ConfigError(f"{where}: {line.name}: given before, at {before}"))
            continue
        entries[line.name] = Entry(line.name, line.value, where, line.at)
    return entries


def put(text: str, pieces: list[tuple[int, int, str]]) -> str:
    """Return the text with each piece (from, to, instead) replaced.

    >>> put("abc", [(1, 2, "-"), (3, 3, "d"), (3, 3, "e")])
    'a-cde'
    """
    made, at = [], 0
    for first, last, instead in sorted(pieces, key=lambda piece: piece[:2]):
        made += [text[at:first], instead]
        at = last
    return "".join([*made, text[at:]])


def _section(name: str) -> str:
    return name.rpartition(".")[0]


def edit(text: str, changes: Mapping[str, str | None]) -> str:
    """Return the text with these values; None takes a key out. Everything else stays.

    A new key goes below the last one of its section, or to the end.
    """
    lines = list(_lines(text, "edited", Faults()))
    known = {line.name for line in lines}
    pieces: list[tuple[int, int, str]] = []  # from, to, instead
    for line in lines:
        if line.name not in changes:
            continue
        value = changes[line.name]
        pieces.append((line.start, line.end, "") if value is None else (*line.at, value))
    for name, value in changes.items():
        if name in known or value is None:
            continue
        behind = [line.end for line in lines if _section(line.name) == _section(name)]
        at = behind[-1] if behind and _section(name) else len(text)
        begin = "" if at == 0 or text[at - 1] == "\n" else "\n"
        pieces.append((at, at, f"{begin}{name}={value}\n"))
    return put(text, pieces)
