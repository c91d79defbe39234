"""How a section is declared: keys that share a prefix, such as ``tls.enable``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import Field, dataclass, field, fields
from typing import Any, NamedTuple


def join(prefix: str, name: str) -> str:
    """Return ``prefix.name``; either may be empty."""
    return f"{prefix}.{name}" if prefix and name else prefix or name


@dataclass(frozen=True)
class Section:
    """Keys that share a prefix.

    title  its heading in the documentation and in the shipped file
    alike  a placeholder such as REQ, where several sections have the same keys. They are
           documented once, with the placeholder for the prefix, and only values that are not
           the default are written.
    """

    prefix: str
    kind: type[Any]
    title: str = ""
    alike: str = ""

    @property
    def shown(self) -> str:
        return self.alike or self.prefix


def section(
    prefix: str,
    kind: type[Any],
    title: str = "",
    *,
    alike: str = "",
    default: Callable[[], Any] | None = None,
) -> Any:
    """Declare a field that holds a section. ``default`` makes it where a program gives none."""
    declared = Section(prefix, kind, title, alike)
    return field(default_factory=default or kind, metadata={"section": declared})


class Brought(NamedTuple):
    """A section that a part of the process brings, with its values."""

    section: Section
    values: Any


# The sections that parts bring, besides those of Config.
Sections = tuple[Section, ...]
# For how many of them what is computed is kept: plugins come and go.
KINDS = 8


def sections_of(kind: type[Any]) -> Iterator[tuple[Field[Any], Section]]:
    """Yield the fields of a dataclass that are sections."""
    for declared in fields(kind):
        if "section" in declared.metadata:
            yield declared, declared.metadata["section"]
