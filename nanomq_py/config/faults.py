"""The faults of a configuration: all are gathered, and reported together."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

MOST_FAULTS = 50  # that are reported of one file


class ConfigError(Exception):
    """The configuration cannot be used.

    Each argument is one fault: it says where the fault is and what was expected.
    """

    def __str__(self) -> str:
        return "; ".join(str(fault) for fault in self.args)


class NotWrittenError(ConfigError):
    """The file could not be replaced; its content is not at fault."""


class TooManyError(ConfigError):
    """A bound on the whole file is exceeded: reading ends at once, without other faults."""


class Faults:
    """Gathers faults, so that whoever mends a file sees them all at once."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def enough(self) -> bool:
        """Whether there are more faults than are reported: looking for others is useless."""
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
        """Raise one ConfigError with all faults, if any, in the order of their lines."""
        if not self._texts:
            return
        texts = sorted(dict.fromkeys(self._texts), key=line_of)
        more = ["and more"] if len(texts) > MOST_FAULTS else []
        raise ConfigError(*texts[:MOST_FAULTS], *more)


def line_of(text: str) -> int:
    """Return the line number in a text such as ``FILE:LINE: ...``; 0: there is none.

    >>> line_of("a.conf:7: url: unknown key"), line_of("a.conf")
    (7, 0)
    """
    found = re.match(r"[^\n]*?:(\d{1,9}): ", text)
    return int(found[1]) if found else 0
