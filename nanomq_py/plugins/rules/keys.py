"""Keys of the rules: ``plugins.rules``."""

from __future__ import annotations

from dataclasses import dataclass

from nanomq_py.config.declare.key import Checked, key
from nanomq_py.config.declare.section import Section
from nanomq_py.config.values.numbers import Size, Whole
from nanomq_py.config.values.texts import List, Text


@dataclass(frozen=True, kw_only=True)
class Keys(Checked):
    folder: str = key(
        "folder",
        Text(),
        "",
        "Folder of the files that rules write. Empty: beside the store, named as it is with"
        " -rules behind.",
    )
    max_rules: int = key("max_rules", Whole(1, 10_000), 1000, "Rules that there may be.")
    max_messages: int = key(
        "max_messages",
        Whole(1, 10_000_000),
        100_000,
        "Messages that may wait for one rule. From half of it on publishers wait; over it,"
        " while the rule does nothing, they are dropped and counted.",
    )
    max_bytes: int = key(
        "max_bytes", Size(1024, 1 << 40), 64 << 20, "Bytes of those messages."
    )
    allow: tuple[str, ...] = key(
        "allow",
        List(),
        (),
        "Networks that the servers of web hooks may be in, such as 10.0.0.0/8. Empty: any.",
    )


SECTION = Section("plugins.rules", Keys, "Rules: see docs/rules.md")
