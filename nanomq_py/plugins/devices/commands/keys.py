"""Keys of commands to devices."""

from __future__ import annotations

from dataclasses import dataclass

from nanomq_py.config.declare.key import Checked, key
from nanomq_py.config.declare.section import Section
from nanomq_py.config.values.numbers import Size, Whole


@dataclass(frozen=True, kw_only=True)
class CommandKeys(Checked):
    most_open: int = key(
        "max_open",
        Whole(1, 1_000_000),
        10_000,
        "Commands at most that wait for an answer; one more is refused.",
    )
    most_of_device: int = key(
        "max_of_device",
        Whole(1, 10_000),
        100,
        "Of those, commands for one device.",
    )
    most_kept: int = key(
        "max_kept",
        Whole(1, 10_000_000),
        100_000,
        "Commands at most that are kept until they expire, those that are over too.",
    )
    most_bytes: int = key(
        "max_bytes",
        Size(1 << 16, 1 << 30),
        256 << 20,
        "Bytes at most of what kept commands and their answers say.",
    )


SECTION = Section("plugins.devices.commands", CommandKeys, "Commands to devices")
