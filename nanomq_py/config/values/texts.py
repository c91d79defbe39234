"""Values that are texts, and how a text is shown to people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from nanomq_py.config.values.kind import BadValue, Listed, Verbatim


def shown(text: str) -> str:
    r"""Return the text with the characters escaped that could deceive a reader.

    These are control characters, line ends, and marks that change the direction of writing.

    >>> shown("pump\x1b[2J\u202e")
    'pump\\x1b[2J\\u202e'
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def in_words(member: Enum) -> str:
    """Return the name of a member of an enumeration for people: CLIENT_ID is ``client id``."""
    return member.name.lower().replace("_", " ")


def is_text(text: str) -> bool:
    """Return whether the text has no control characters, and 65,535 bytes of UTF-8 at most."""
    if any(ord(c) < 32 or ord(c) == 127 for c in text):
        return False
    try:
        return len(text.encode()) <= 65535
    except UnicodeEncodeError:
        return False


@dataclass(frozen=True)
class Text(Verbatim):
    """Any text without control characters, of at most 65,535 bytes.

    >>> Text(empty=False).expected
    'a text that is not empty, without control characters'
    """

    empty: bool = True  # whether an empty text is a value

    @property
    def expected(self) -> str:
        not_empty = "" if self.empty else "that is not empty, "
        return f"a text {not_empty}without control characters"

    def parse(self, text: str) -> str:
        if not is_text(text) or (not text and not self.empty):
            raise BadValue
        return text


@dataclass(frozen=True)
class List(Listed):
    """Texts with commas between; an empty text is an empty list."""

    expected: str = "texts without control characters, with commas between"

    def parse(self, text: str) -> tuple[str, ...]:
        if not is_text(text):
            raise BadValue
        return tuple(item.strip() for item in text.split(",") if item.strip())


@dataclass(frozen=True)
class Mount(Verbatim):
    """The beginning of topics: whole levels without wildcards, such as ``site/%c/``."""

    expected: str = "the beginning of topics, such as site/%c/"

    def parse(self, text: str) -> str:
        if not text.isprintable() or set(text) & set("+#") or len(text.encode()) > 1024:
            raise BadValue
        if text.startswith("$") or not text.endswith("/"):
            raise BadValue
        return text
