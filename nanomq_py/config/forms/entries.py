"""The entries of a configuration file in either form: a text for each name."""

from __future__ import annotations

from dataclasses import dataclass, field

from nanomq_py.config.faults import ConfigError, Faults


@dataclass(frozen=True)
class Entry:
    """One name with its value, as text."""

    name: str  # as in the flat form: tls.enable
    value: str
    where: str  # FILE:LINE, or another source
    at: tuple[int, int] | None = None  # where the value is in the file's text, to edit it
    written: str = ""  # the name in the file; empty: the same

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
    """The entries that nobody has taken yet; in the end they are unknown."""

    by_name: dict[str, Entry]
    faults: Faults = field(default_factory=Faults)

    def take(self, name: str) -> Entry | None:
        return self.by_name.pop(name, None)
