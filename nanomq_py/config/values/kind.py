"""What a kind of value is: it reads and writes a text, and says what it expected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Generic, Protocol, TypeVar

T = TypeVar("T")


class BadValue(ValueError):
    """A text that is not a value of its kind; its own text, if any, says what was expected."""

    def expected(self, usually: str) -> str:
        """Return what was expected, where a kind says no more than ``usually``."""
        return str(self) or usually


class UserInUrl(BadValue):
    """A URL that says who, and with which password: not to be shown."""


class Kind(Protocol[T]):
    """How the values of one key are written."""

    @property
    def expected(self) -> str:
        """What a value looks like, to complete ``expected ...``."""

    @property
    def json(self) -> type:
        """Which type of a JSON value stands for one, as ``orjson`` reads it."""

    def parse(self, text: str) -> T:
        """Return the value. Raises BadValue."""

    def render(self, value: T) -> str:
        """Return the text that :meth:`parse` reads as this value."""


class Verbatim:
    """A kind whose values are texts that are written as they are."""

    json: ClassVar[type] = str

    def render(self, value: str) -> str:
        return value


class Listed:
    """A kind whose values are several texts."""

    json: ClassVar[type] = list

    def render(self, value: tuple[str, ...]) -> str:
        return ",".join(value)


@dataclass(frozen=True)
class Optional(Generic[T]):
    """Another kind, or nothing: an empty text, ``null`` or ``NULL`` is None."""

    kind: Kind[T]

    @property
    def expected(self) -> str:
        return f"{self.kind.expected}, or nothing"

    @property
    def json(self) -> type:
        return self.kind.json

    def render(self, value: T | None) -> str:
        return "" if value is None else self.kind.render(value)

    def parse(self, text: str) -> T | None:
        return None if text in ("", "null", "NULL") else self.kind.parse(text)
