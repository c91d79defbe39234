"""What a configuration says besides the values of keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Missing:
    """A feature that the file switches on, and that this version does not have."""

    switch: str  # the flat name whose value switches it on
    called: str  # the name of the switch in the file
    where: str
    loss: str  # what will not happen

    def __str__(self) -> str:
        return f"{self.where}: {self.called}: not in this version: {self.loss}"


@dataclass(frozen=True)
class Said:
    """What a configuration says besides the values of keys."""

    names: Mapping[str, str] = field(
        default_factory=dict
    )  # a flat name -> the name in the file
    missing: tuple[Missing, ...] = ()
    ignored: tuple[str, ...] = ()  # names of NanoMQ that mean nothing here
    unplugged: tuple[str, ...] = ()  # keys of plugins that are not loaded

    def called(self, name: str) -> str:
        """Return the name that the file has for a flat name.

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
