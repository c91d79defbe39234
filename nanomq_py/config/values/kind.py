"""What a kind of value is: it reads and writes a text, and says what it expected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Generic, Protocol, TypeVar

T = TypeVar("T")


class BadValue(ValueError):
    """The text is not a value of its kind. The message, if any, says what was expected."""

    def expected(self, usually: str) -> str:
        """Return what was expected: the message, or else what the kind says, ``usually``."""
        return str(self) or usually


class UserInUrl(BadValue):
    """The URL holds a user name, and perhaps a password: its text must not be shown."""


class Kind(Protocol[T]):
    """How the values of one key are written."""

    @property
    def expected(self) -> str:
        """What a value looks like; it completes the words ``expected ...``."""

    @property
    def json(self) -> type:
        """The type of the JSON that stands for a value, as ``orjson`` reads it."""

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
    """A value of another kind, or None: an empty text, ``null`` or ``NULL``."""

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
