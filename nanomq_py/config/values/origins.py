"""Values that name web pages: the origins of scripts in a browser."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nanomq_py.config.values.kind import BadValue, Listed
from nanomq_py.config.values.texts import List

ANY = "*"
_HOST = r"(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])"
_ORIGIN = re.compile(rf"[a-z][a-z0-9+.-]*://{_HOST}(?::([0-9]{{1,5}}))?")


@dataclass(frozen=True)
class Origins(Listed):
    """Origins as browsers send them, with commas between, or ``*`` alone.

    Source   RFC 6454, 6.2: scheme and host are in lower case, and no path follows

    >>> Origins().parse("https://dash.example.com, http://localhost:3000")
    ('https://dash.example.com', 'http://localhost:3000')
    """

    expected: str = (
        "origins such as https://dash.example.com or http://localhost:3000, without a path and"
        " with commas between, or *"
    )

    def parse(self, text: str) -> tuple[str, ...]:
        given = List().parse(text.lower())
        for origin in given:
            found = _ORIGIN.fullmatch(origin)
            if origin == ANY and len(given) == 1:
                continue
            if found is None or int(found[1] or 0) > 65535:
                raise BadValue
        return given
