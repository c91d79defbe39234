"""What the store takes: texts of a length that MQTT has, and notes of people."""

from __future__ import annotations

from nanomq_py.config.values.texts import shown

MOST_NAME_BYTES = 65535  # of a user name or client identifier: MQTT 5.0, 1.5.4
MOST_NOTE = 1024  # letters of a note


def checked_name(what: str, text: str) -> str:
    """Return a user name or client identifier. Raises ValueError for what cannot be one."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= MOST_NAME_BYTES or "\0" in text:
        raise ValueError(
            f"{what}='{shown(text[:100])}': expected 1 to {MOST_NAME_BYTES} bytes of UTF-8,"
            " without U+0000"
        )
    return text


def checked_note(what: str, text: str) -> str:
    """Return a note for people. Raises ValueError."""
    if len(text) > MOST_NOTE or not text.isprintable():
        raise ValueError(f"{what}: expected {MOST_NOTE} printable letters at most")
    return text
