"""What a configuration file says, whichever form it has: a text for each name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from nanomq_py.config.faults import ConfigError, Faults


@dataclass(frozen=True)
class Entry:
    """One name with its value, as text."""

    name: str  # as in the flat form: tls.enable
    value: str
    where: str  # FILE:LINE, or where else it came from
    at: tuple[int, int] | None = None  # the value's place in the file's text, to edit it
    written: str = ""  # the name as its author wrote it; empty: the same

    @property
    def called(self) -> str:
        return self.written or self.name

    def error(self, expected: str, *, secret: bool = False) -> ConfigError:
        shown = "(hidden)" if secret else repr(self.value[:1000])
        return ConfigError(
            f"{self.where}: {self.called[:200]}={shown}: expected {expected}"
        )


@dataclass
class Entries:
    """Each entry is taken once; what is left over nobody knows."""

    by_name: dict[str, Entry]
    faults: Faults = field(default_factory=Faults)

    def take(self, name: str) -> Entry | None:
        return self.by_name.pop(name, None)

    def take_matching(self, pattern: str) -> Iterator[tuple[re.Match[str], Entry]]:
        """Take every entry whose whole name matches."""
        found = [
            (match, name) for name in self.by_name if (match := re.fullmatch(pattern, name))
        ]
        for match, name in found:
            yield match, self.by_name.pop(name)

    def members(self, pattern: str) -> list[str]:
        """Return what stands for the pattern's group in the names that match, each once."""
        found = (re.fullmatch(pattern, name) for name in self.by_name)
        return list(dict.fromkeys(match[1] for match in found if match))
