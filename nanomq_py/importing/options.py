"""What becomes of a foreign option: functions for the tables of the other brokers' words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from nanomq_py.importing.draft import Draft, Option

SWITCH = {"true": "true", "on": "true", "false": "false", "off": "false"}

# Puts into the draft what a line says, or says why not.
Take = Callable[[Draft, Option], None]


def as_it_is(key: str) -> Take:
    """Take the value as that key's."""
    return lambda draft, option: draft.put(key, option.value, option)


def word(key: str, words: Mapping[str, str], why: str) -> Take:
    """Take the word that stands for the value; another value is lost."""

    def take(draft: Draft, option: Option) -> None:
        if option.value in words:
            draft.put(key, words[option.value], option)
        else:
            draft.lose(option, why)

    return take


def number(key: str, *, instead: Mapping[str, str] = {}, divided_by: int = 1) -> Take:
    """Take a number, rounded up; ``instead`` has other texts for some values.

    What is no number is given to the key, which refuses it with the foreign line.
    """

    def take(draft: Draft, option: Option) -> None:
        text = instead.get(option.value, option.value)
        if text.isascii() and text.isdigit() and text == option.value:
            text = str(-(-int(text) // divided_by))
        draft.put(key, text, option)

    return take


def lost(why: str, *, secret: bool = False) -> Take:
    """Say that it is not taken, and what holds instead."""
    return lambda draft, option: draft.lose(option, why, secret=secret)


def needless(why: str) -> Take:
    """Say that it is not taken, and nothing is missing."""
    return lambda draft, option: draft.skip(option, why)


def unless(off: str, take: Take) -> Take:
    """Act only if the value is another than that."""

    def act(draft: Draft, option: Option) -> None:
        if option.value != off:
            take(draft, option)

    return act


def both(first: Take, second: Take) -> Take:
    """Act in both ways."""

    def act(draft: Draft, option: Option) -> None:
        first(draft, option)
        second(draft, option)

    return act


def look_up(table: Mapping[str, Take], name: str) -> Take | None:
    """Return what a table says of an option; names may end in ``*``."""
    if name in table:
        return table[name]
    starts = (start for start in table if start.endswith("*"))
    return next((table[s] for s in starts if name.startswith(s[:-1])), None)


_DURATION = re.compile(r"(\d{1,9})([smhdwy])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}


def seconds_of(text: str) -> str | None:
    """Return a time such as ``2h`` or ``1h30m`` in seconds; None: it is none.

    >>> seconds_of("2d"), seconds_of("1h30m"), seconds_of("soon")
    ('172800', '5400', None)
    """
    pieces = _DURATION.findall(text)
    if not pieces or "".join(map("".join, pieces)) != text:
        return None
    return str(sum(int(count) * _SECONDS[unit] for count, unit in pieces))
