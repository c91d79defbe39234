"""Values of a few words: true and false, one of several words, some of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from nanomq_py.config.values.kind import BadValue, Kind, Listed, Verbatim

T = TypeVar("T")

FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


@dataclass(frozen=True)
class Flag:
    """``true`` or ``false``; older NanoMQ writes ``yes`` and ``no``, or ``on`` and ``off``.

    >>> Flag().parse("true"), Flag().parse("no")
    (True, False)
    """

    json: ClassVar[type] = bool
    expected: str = "true or false"

    def parse(self, text: str) -> bool:
        if text.lower() not in FLAGS:
            raise BadValue
        return FLAGS[text.lower()]

    def render(self, value: bool) -> str:
        return str(value).lower()


@dataclass(frozen=True)
class Choice(Verbatim):
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def expected(self) -> str:
        return " or ".join(self.words)

    def parse(self, text: str) -> str:
        if text.lower() not in self.words:
            raise BadValue
        return text.lower()


@dataclass(frozen=True)
class Words(Listed):
    """Several of a few words, with commas between."""

    words: tuple[str, ...]

    @property
    def expected(self) -> str:
        return f"some of {', '.join(self.words)}, with commas between"

    def parse(self, text: str) -> tuple[str, ...]:
        given = tuple(word.strip().lower() for word in text.split(","))
        if any(word not in self.words for word in given):
            raise BadValue
        return given


@dataclass(frozen=True)
class OrWord(Generic[T]):
    """A value of another kind, or one word in its place, which is None.

    >>> OrWord("auto", Flag()).parse("auto"), OrWord("auto", Flag()).parse("on")
    (None, True)
    """

    word: str
    kind: Kind[T]
    json: ClassVar[type] = str

    @property
    def expected(self) -> str:
        return f"{self.word}, or {self.kind.expected}"

    def parse(self, text: str) -> T | None:
        return None if text.lower() == self.word else self.kind.parse(text)

    def render(self, value: T | None) -> str:
        return self.word if value is None else self.kind.render(value)
