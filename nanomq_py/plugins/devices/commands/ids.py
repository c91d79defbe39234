"""Numbers of commands, and what programs make of them.

::

    202611300000001000      the first of a day
    202611300000002000      the next: whoever writes 15 digits of it still names this one

JavaScript, cJSON and jq read a number as a double, and write 15 to 17 digits of it. Numbers
1,000 apart are different ones after that.

Source  http-dialects.md, IoT platform; ECMA-262, 6.1.6.1; RFC 8259, 6
"""

from __future__ import annotations

import math
import re

APART = 1000
MOST_A_DAY = 10**10 // APART - 1
_DAY = 10**10
_NUMBER = re.compile(r"\d{1,20}(\.\d{1,20})?([eE]\+?\d{1,2})?", re.ASCII)


def number_of(day: int, nth: int) -> int:
    """Return the number of the nth command of a day, from 1 on; the day is YYYYMMDD."""
    return day * _DAY + nth * APART


def meant(said: object) -> int | None:
    """Return the number that a program means; None: it is no number of a command.

    >>> meant("2.02611300000001e17"), meant(202611300000001000.0), meant(202611300000001008)
    (202611300000001000, 202611300000001000, 202611300000001000)
    """
    if isinstance(said, bool) or not isinstance(said, int | float | str):
        return None
    if isinstance(said, str) and _NUMBER.fullmatch(said) is None:
        return None
    try:
        rounded = float(said)
    except OverflowError:
        return None
    if not math.isfinite(rounded) or not _DAY <= rounded < 2**63:
        return None
    nearest = (int(rounded) + APART // 2) // APART * APART
    return nearest if float(nearest) == rounded else None
