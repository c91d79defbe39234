"""Keys of what is kept on disk: sqlite."""

from __future__ import annotations

from dataclasses import dataclass

from nanomq_py.config.declare.key import Applies, Checked, key, planned
from nanomq_py.config.values.numbers import U32, Whole
from nanomq_py.config.values.texts import Text
from nanomq_py.config.values.words import Flag

NO_PLACE = "/tmp/"  # noqa: S108 - the documented default


@dataclass(frozen=True, kw_only=True)
class Sqlite(Checked):
    enable: bool = key(
        "enable",
        Flag(),
        False,
        "The same as durability=always.",
        applies=Applies.RESTART,
    )
    disk_cache_size: int = planned(
        "disk_cache_size", Whole(0, U32), 102400, "Messages on disk."
    )
    mounted_file_path: str = key(
        "mounted_file_path",
        Text(),
        NO_PLACE,
        "With it: nanomq.journal in this folder is durability.location. The default, which"
        " a start of the machine empties, does not count.",
        applies=Applies.RESTART,
    )
    flush_mem_threshold: int = planned(
        "flush_mem_threshold", Whole(1, U32), 100, "Messages gathered before a write."
    )
    resend_interval: int = planned(
        "resend_interval", Whole(1, U32, "ms"), 5000, "Time between attempts to send."
    )
