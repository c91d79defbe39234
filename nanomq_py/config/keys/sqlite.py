"""Keys of what is kept on disk: sqlite."""

from __future__ import annotations

from dataclasses import dataclass

from nanomq_py.config.declare.key import Checked, planned
from nanomq_py.config.values.numbers import U32, Whole
from nanomq_py.config.values.texts import Text
from nanomq_py.config.values.words import Flag


@dataclass(frozen=True, kw_only=True)
class Sqlite(Checked):
    enable: bool = planned("enable", Flag(), False, "Keep sessions on disk.")
    disk_cache_size: int = planned(
        "disk_cache_size", Whole(0, U32), 102400, "Messages on disk."
    )
    mounted_file_path: str = planned(
        "mounted_file_path",
        Text(),
        "/tmp/",  # noqa: S108 - the documented default
        "Folder of the database.",
    )
    flush_mem_threshold: int = planned(
        "flush_mem_threshold", Whole(1, U32), 100, "Messages gathered before a write."
    )
    resend_interval: int = planned(
        "resend_interval", Whole(1, U32, "ms"), 5000, "Time between attempts to send."
    )
