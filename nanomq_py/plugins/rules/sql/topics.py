"""Topic filters as ``=~`` and FROM take them.

Source   MQTT 5.0, 4.7
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache


def is_filter(text: str) -> bool:
    """Return whether that is a Topic Filter [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.3-1]."""
    levels = text.split("/")
    return (
        bool(text)
        and "\0" not in text
        and len(text.encode(errors="replace")) <= 65_535
        and all(level in ("+", "#") or not set(level) & {"+", "#"} for level in levels)
        and "#" not in levels[:-1]
    )


@lru_cache(maxsize=256)
def matcher(topic_filter: str) -> Callable[[str], bool]:
    """Return what tells whether a Topic Name matches. Wildcards in front see no ``$``."""
    if "+" not in topic_filter and "#" not in topic_filter:
        return topic_filter.__eq__
    levels = topic_filter.split("/")
    is_open = levels[-1] == "#"
    if is_open:
        levels.pop()
    count = len(levels)
    fixed = [(at, level) for at, level in enumerate(levels) if level != "+"]
    hides_dollar = topic_filter[0] in "+#"

    def matches(topic: str) -> bool:
        names = topic.split("/")
        if len(names) < count or (len(names) > count and not is_open):
            return False
        if hides_dollar and topic[:1] == "$":
            return False  # [MQTT-4.7.2-1]
        return all(names[at] == level for at, level in fixed)

    return matches
