"""A configuration in the making: keys with where each comes from, and what was left behind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from nanomq_py.config import Config
from nanomq_py.config.build import build
from nanomq_py.config.faults import Faults
from nanomq_py.config.forms.entries import Entry
from nanomq_py.config.values.texts import shown


@dataclass(frozen=True)
class Option:
    """One line of a foreign file: an option and its value."""

    name: str
    value: str
    where: str  # FILE:LINE


@dataclass(frozen=True)
class Left:
    """What could not be taken.

    shown   the option and its value, without secrets
    why     what holds instead
    counts  whether the broker behaves in another way for it
    """

    where: str
    shown: str
    why: str
    counts: bool

    def __str__(self) -> str:
        return f"{self.where}: {self.shown}: {self.why}"


@dataclass
class Draft:
    """The keys of our file, each as an entry that names the foreign line."""

    entries: dict[str, Entry] = field(default_factory=dict)
    left: list[Left] = field(default_factory=list)

    def put(self, key: str, value: str, option: Option) -> None:
        """Set a key; of two lines for one key the later one counts."""
        self.entries[key] = Entry(key, value, option.where, written=option.name)

    def lose(self, option: Option, why: str, *, secret: bool = False) -> None:
        """Say what is not taken, and that the broker behaves in another way."""
        self._leave(option, why, secret=secret, counts=True)

    def skip(self, option: Option, why: str) -> None:
        """Say what is not taken because nothing is missing without it."""
        self._leave(option, why, secret=False, counts=False)

    def _leave(self, option: Option, why: str, *, secret: bool, counts: bool) -> None:
        what = (
            f"{option.name} (hidden)" if secret else f"{option.name} {option.value[:200]}"
        )
        self.left.append(Left(option.where, what.strip(), why, counts))

    def config(self) -> Config:
        """Return the configuration. Raises ConfigError naming the foreign lines."""
        return build(self.entries, Faults())

    def text(self, sources: Iterable[str]) -> str:
        """Return our file, flat, with what was left behind as comments."""
        lines = [f"# nanomq.conf, made of {', '.join(sources)}"]
        lines += [f"# not taken: {shown(str(left))}" for left in self.left]
        lines += [f"{key}={entry.value}" for key, entry in self.entries.items()]
        return "\n".join(lines) + "\n"
