"""The syntax of the nested form of ``nanomq.conf``: the part of HOCON that NanoMQ ships.

::

    mqtt { property_size = 32 }            # a section
    log.to = [file, console]               # a path, a list; nodes [ ... ] is one too
    auth.password = {include "pwd.conf"}   # another file, from the folder of this one

A later value of the same path replaces the one before; sections are merged. A key may have a
value and keys below it (``durability``): both count, in whatever order. There are no
substitutions (``${...}``) and no ``+=``: environment variables override keys instead.

Source  HOCON (github.com/lightbend/config), NanoMQ from 0.15
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Union

from nanomq_py.config.faults import MOST_FAULTS, ConfigError, Faults, TooManyError

MOST_DEPTH = 32

_BLANK = re.compile(r"(?:[\s,]|#[^\n]*|//[^\n]*)+")
_SPACE = re.compile(r"[^\S\n]+")
_GAP = re.compile(r"(?:\s|#[^\n]*|//[^\n]*)+")
_REST = re.compile(r"[^\n]*")
_LINE_END = re.compile(r"[^\S\n]*(?:(?:#|//)[^\n]*)?(?=[\n,}\]]|$)")
_NAME = re.compile(r'"((?:[^"\\\n]|\\.)*)"|([^\s"={}\[\],:.#+$]+)')
_TRIPLE = re.compile(r'"""(.*?)"""', re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
_BARE = re.compile(r'(?:[^\s"{}\[\],#$]|(?<=\S)#|[^\S\n]+(?!\s|#|//|[,}\]]|$))+')
_INCLUDE = re.compile(r"include\b[^\S\n]*(?:(required|file|url|classpath)\s*\()?")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


@dataclass(frozen=True)
class Scalar:
    """One value that has no parts."""

    text: str
    where: str
    order: int  # of reading: of two values the later one counts
    # Where it is in the text of the first file; None: in an included one.
    at: tuple[int, int] | None


@dataclass
class Section:
    """Names, and the nodes that they stand for.

    own   the value that its name has besides; of most names one of the two counts
    """

    where: str
    parts: dict[str, Node] = field(default_factory=dict)
    own: Scalar | None = None

    def put(self, path: list[str], node: Node) -> None:
        """Set the node at the path; two sections are merged."""
        section = self
        for name in path[:-1]:
            below = section.parts.get(name)
            if not isinstance(below, Section):
                value = below if isinstance(below, Scalar) else None
                below = section.parts[name] = Section(node.where, own=value)
            section = below
        there = section.parts.get(path[-1])
        if isinstance(there, Section) and isinstance(node, Section):
            there.merge(node)
        elif isinstance(there, Section) and isinstance(node, Scalar):
            there.own = node
        elif isinstance(there, Scalar) and isinstance(node, Section):
            section.parts[path[-1]] = Section(node.where, node.parts, there)
        else:
            section.parts[path[-1]] = node

    def merge(self, other: Section) -> None:
        self.own = other.own or self.own
        for name, node in other.parts.items():
            self.put([name], node)


@dataclass(frozen=True)
class Items:
    """A list."""

    items: tuple[Node, ...]
    where: str
    order: int


Node = Union[Scalar, Section, Items]  # noqa: UP007 - evaluated, and 3.10 is supported
# Reads an included file, given its path as written, where the include is, and the counter.
Include = Callable[[str, str, "count[int]"], Section]


def _unescaped(text: str) -> str:
    def plain(found: re.Match[str]) -> str:
        code = found[1]
        return chr(int(code[1:], 16)) if len(code) == 5 else _ESCAPES.get(code, code)

    return _ESCAPE.sub(plain, text)


class _Reader:
    def __init__(
        self,
        text: str,
        source: str,
        include: Include,
        order: count[int],
        faults: Faults,
        *,
        places: bool,
    ) -> None:
        self.text = text
        self.source = source
        self.include = include
        self.order = order
        self.faults = faults
        self.places = places
        self.key = ""  # the name whose value or section is being read
        self.lists = 0  # how many are open
        self.at = 0
        self.line_ends = [found.start() for found in re.finditer("\n", text)]

    @property
    def where(self) -> str:
        return f"{self.source}:{bisect_left(self.line_ends, self.at) + 1}"

    def fault(self, expected: str) -> ConfigError:
        """Return a fault with line and key, but without the text, which may be a password."""
        key = f"{self.key[:200]}: " if self.key else ""
        return ConfigError(f"{self.where}: {key}expected {expected}")

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
        return found

    def take_text(self, text: str) -> bool:
        there = self.text.startswith(text, self.at)
        self.at += len(text) if there else 0
        return there

    def section(self, end: str, depth: int) -> Section:
        """Read members up to and including ``end``; empty: up to the end of the text."""
        if depth > MOST_DEPTH:
            raise self.fault(f"at most {MOST_DEPTH} sections in each other")
        section = Section(self.where)
        above = self.key
        while True:
            self.key = above
            self.take(_BLANK)
            if self.at == len(self.text):
                if end:
                    raise ConfigError(
                        f"{section.where}: a section is not closed: expected {end}"
                    )
                return section
            if end and self.take_text(end):
                return section
            try:
                self.member(section, depth)
            except ConfigError as fault:
                self.go_on_after(fault)

    def go_on_after(self, fault: ConfigError) -> None:
        """Keep the fault and go on with the next line, if a member surely begins there."""
        rest = _REST.match(self.text, self.at)
        assert rest is not None
        whole = all(rest[0].count(a) == rest[0].count(b) for a, b in ("{}", "[]"))
        enough = len(self.faults) >= MOST_FAULTS
        unsure = self.lists or not whole or self.at == len(self.text)
        if unsure or enough or isinstance(fault, TooManyError):
            raise fault
        self.faults.add(fault)
        self.at = rest.end()

    def member(self, section: Section, depth: int) -> None:
        found = self.take(_INCLUDE)
        if found is not None and (found[1] or self.text.startswith('"', self.at)):
            section.merge(self.included(found[1]))
            return
        if found is not None:
            self.at = found.start()
        first = self.at
        path = self.path()
        has_value = self.opens() or self.take_text("=") or self.take_text(":")
        if has_value or self.is_name(first):
            self.key = ".".join([*([self.key] if self.key else []), *path])
        if not has_value:
            raise self.fault("= and a value, or { and a section")
        section.put(path, self.value(depth + len(path) - 1))
        if self.take(_LINE_END) is None:
            raise self.fault(
                'the end of the line after a value; a text with such signs needs ""'
            )

    def is_name(self, first: int) -> bool:
        """Return whether the word at ``first``, which has no value, may be told as a name.

        A word behind another, or alone on its line, may be a piece of a password.
        """
        line = self.text.rfind("\n", 0, first) + 1
        rest = _REST.match(self.text, self.at)
        assert rest is not None
        return not self.text[line:first].strip() and bool(rest[0].strip())

    def opens(self) -> bool:
        """Go to the value; return whether it is a section or list without = or : before it."""
        end = self.at
        self.take(_GAP)
        if self.text.startswith(("{", "["), self.at):
            return True
        self.at = end
        self.take(_SPACE)
        return False

    def included(self, kind: str | None) -> Section:
        where = self.where
        quoted = self.take(_QUOTED)
        if kind in ("url", "classpath") or quoted is None:
            raise ConfigError(f'{where}: include: expected include "FILE"')
        if kind is not None and not self.take_text(")"):
            raise self.fault(")")
        return self.include(_unescaped(quoted[1]), where, self.order)

    def path(self) -> list[str]:
        path = []
        while True:
            found = self.take(_NAME)
            if found is None:
                raise self.fault("a name")
            path.append(found[2] if found[1] is None else _unescaped(found[1]))
            if len(path) > MOST_DEPTH:
                raise self.fault(f"a path of at most {MOST_DEPTH} names")
            if not self.take_text("."):
                return path

    def value(self, depth: int) -> Node:
        if not self.take(_SPACE) and self.text.startswith("\n", self.at):
            raise self.fault("a value")
        if self.take_text("{"):
            return self.section("}", depth + 1)
        if self.take_text("["):
            return self.items(depth + 1)
        return self.scalar()

    def items(self, depth: int) -> Items:
        if depth > MOST_DEPTH:
            raise self.fault(f"at most {MOST_DEPTH} lists in each other")
        where, order = self.where, next(self.order)
        items: list[Node] = []
        self.lists += 1
        while True:
            self.take(_BLANK)
            if self.at == len(self.text):
                raise ConfigError(f"{where}: a list is not closed: expected ]")
            if self.take_text("]"):
                self.lists -= 1
                return Items(tuple(items), where, order)
            items.append(self.value(depth))

    def scalar(self) -> Scalar:
        where, first = self.where, self.at
        if (found := self.take(_TRIPLE)) is not None:
            text = found[1]
        elif self.text.startswith('"""', first):
            fault = self.fault('a value that is closed: """')
            self.at = len(self.text)
            raise fault
        elif (found := self.take(_QUOTED)) is not None:
            text = _unescaped(found[1])
        elif (found := self.take(_BARE)) is not None:
            text = found[0]
        else:
            fault = self.fault("a value")
            if self.text.startswith(
                '"', self.at
            ):  # a text that is not closed may have many lines
                self.at = len(self.text)
            raise fault
        place = (first, self.at) if self.places else None
        return Scalar(text, where, next(self.order), place)


def read(
    text: str,
    source: str,
    include: Include,
    order: count[int] | None = None,
) -> Section:
    """Return the tree of a text.

    order   counts the values; given for an included file, which is not edited
    Raises  ConfigError with all faults that could be told apart
    """
    faults = Faults()
    try:
        section = _whole(
            _Reader(text, source, include, order or count(), faults, places=order is None)
        )
    except TooManyError:
        raise
    except ConfigError as fault:
        faults.add(fault)
        section = Section(source)
    faults.check()
    return section


def _whole(reader: _Reader) -> Section:
    reader.take(_BLANK)
    if reader.take_text("{"):
        section = reader.section("}", 1)
        reader.take(_BLANK)
        if reader.at < len(reader.text):
            raise reader.fault("nothing after the last }")
        return section
    return reader.section("", 0)


def quoted(text: str) -> str:
    """Return the text in quotes: a value that is read as that text.

    >>> quoted('a "b"')
    '"a \\\\"b\\\\""'
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return (
        '"'
        + "".join(
            f"\\u{ord(c):04x}" if ord(c) < 32 or ord(c) == 127 else c for c in escaped
        )
        + '"'
    )
