"""What the store takes: texts of a length that MQTT has, and notes of people."""

from __future__ import annotations

import re

from nanomq_py.config.values.texts import shown

MOST_NAME_BYTES = 65535  # of a user name or client identifier: MQTT 5.0, 1.5.4
MOST_NOTE = 1024  # letters of a note
MOST_LOGIN_BYTES = 255  # of the name of a caller of the HTTP API
MOST_LOGINS = 1000  # users of the HTTP API, and as many apps
MOST_PAGE = 10_000  # rows
_HASH = re.compile(r"\$[ -~]{1,510}")


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


def checked_login(what: str, text: str) -> str:
    """Return the name of a user or an app of the HTTP API. Raises ValueError.

    It stands before a colon in a login (RFC 7617, 2), and between spaces in the audit log.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= MOST_LOGIN_BYTES or not text.isprintable() or set(text) & {":", " "}:
        raise ValueError(
            f"{what}='{shown(text[:100])}': expected 1 to {MOST_LOGIN_BYTES} bytes of"
            " printable letters, without a space or ':'"
        )
    return text


def checked_hash(text: str) -> str:
    """Return a stored hash. Raises ValueError for what is none; it does not tell the text."""
    if _HASH.fullmatch(text) is None:
        raise ValueError("hash: expected a hash of 512 printable letters at most")
    return text


def checked_limit(limit: int) -> int:
    """Return how many rows a page has. Raises ValueError."""
    if not 1 <= limit <= MOST_PAGE:
        raise ValueError(f"limit={limit}: expected 1 to {MOST_PAGE}")
    return limit
