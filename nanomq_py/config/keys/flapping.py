"""Keys of clients that connect again and again: flapping_detect."""

from __future__ import annotations

from dataclasses import dataclass

from nanomq_py.config.declare.key import Checked, key
from nanomq_py.config.values.numbers import Duration, Whole
from nanomq_py.config.values.words import Flag

_DAY_MS = 86_400_000


@dataclass(frozen=True, kw_only=True)
class FlappingDetect(Checked):
    """Names and defaults are those of EMQX."""

    enable: bool = key(
        "enable",
        Flag(),
        False,
        "Own key: ban a client identifier that connects too often.",
    )
    max_count: int = key(
        "max_count",
        Whole(2, 1_000_000),
        15,
        "Own key: so many connections within window_time ban it.",
    )
    window_time: int = key(
        "window_time",
        Duration(1000, _DAY_MS),
        60_000,
        "Own key: the time in which they are counted.",
    )
    ban_time: int = key(
        "ban_time",
        Duration(1000, _DAY_MS),
        300_000,
        "Own key: how long it is banned.",
    )
