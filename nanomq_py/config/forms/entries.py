"""What a configuration file says, whichever form it has: a text for each name."""

from __future__ import annotations

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
