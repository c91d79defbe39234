"""What a configuration file says, whichever form it has: a value for each name."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

MOST_FAULTS = 50  # of one file that are told


class ConfigError(Exception):
    """A configuration that cannot be used: each argument is one fault.

    It says where the fault is and what was expected.
    """

    def __str__(self) -> str:
        return "; ".join(str(fault) for fault in self.args)


class TooManyError(ConfigError):
    """A bound on the whole is passed: reading ends at once, whatever else is wrong."""


class Faults:
    """Gathers faults, so that whoever mends a file sees them all at once."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def enough(self) -> bool:
        """Whether there are more than will be told: nobody needs to look for others."""
        return len(self._texts) > MOST_FAULTS

    def add(self, fault: ConfigError) -> None:
        self._texts += [str(text) for text in fault.args]

    @contextlib.contextmanager
    def gathered(self) -> Iterator[None]:
        """Keep the ConfigError of the block instead of raising it."""
        try:
            yield
        except ConfigError as fault:
            self.add(fault)

    def check(self) -> None:
        """Raise all of them as one ConfigError, in the order of their lines."""
        if not self._texts:
            return
        texts = sorted(dict.fromkeys(self._texts), key=line_of)
        more = ["and more"] if len(texts) > MOST_FAULTS else []
        raise ConfigError(*texts[:MOST_FAULTS], *more)


def line_of(text: str) -> int:
    """Return the line that a text such as ``FILE:LINE: ...`` is about; 0: none.

    >>> line_of("a.conf:7: url: unknown key"), line_of("a.conf")
    (7, 0)
    """
    found = re.match(r"[^\n]*?:(\d{1,9}): ", text)
    return int(found[1]) if found else 0


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


@dataclass(frozen=True)
class Missing:
    """Something that is switched on, and that this version does not have."""

    switch: str  # the flat name whose value switches it on
    called: str  # what its author called it
    where: str
    loss: str  # what will not happen

    def __str__(self) -> str:
        return f"{self.where}: {self.called}: not in this version: {self.loss}"


@dataclass(frozen=True)
class Said:
    """What a configuration says besides the values of keys."""

    names: Mapping[str, str] = field(default_factory=dict)  # flat -> as they were written
    missing: tuple[Missing, ...] = ()
    ignored: tuple[str, ...] = ()  # NanoMQ's names that mean nothing here

    def called(self, name: str) -> str:
        """Return how the author of the file writes that name.

        >>> said = Said({"tls.url": "listeners.ssl.bind", "tls.a": "listeners.ssl.a"})
        >>> said.called("tls.url"), said.called("tls.certfile"), said.called("msq_len")
        ('listeners.ssl.bind', 'listeners.ssl.certfile', 'msq_len')
        """
        if name in self.names:
            return self.names[name]
        section, _, last = name.rpartition(".")
        for flat, written in self.names.items():
            written_section, _, written_last = written.rpartition(".")
            if section and flat == f"{section}.{written_last}":
                return f"{written_section}.{last}" if written_section else last
        return name
