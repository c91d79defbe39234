"""Topic Filters as FROM takes them.

Source   MQTT 5.0, 4.7
"""

from __future__ import annotations


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
