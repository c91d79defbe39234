"""Which topics a Topic Filter matches, for what the core has not matched.

Source   MQTT 5.0, 4.7
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache


@lru_cache(maxsize=256)
def matcher(topic_filter: str) -> Callable[[str], bool]:
    """Return what tells whether a topic matches, also one with wildcards, taken as it stands.

    A wildcard in front sees no ``$`` [MQTT-4.7.2-1].

    >>> matcher("a/#")("a/b"), matcher("a/#")("a"), matcher("#")("$SYS/a")
    (True, True, False)
    """
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
            return False
        return all(names[at] == level for at, level in fixed)

    return matches
