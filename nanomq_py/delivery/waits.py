"""How long to wait before a server is tried again.

Source   RFC 9110, 10.2.3 (Retry-After)
"""

from __future__ import annotations

import random
from email.utils import parsedate_to_datetime

_JITTER = 0.25  # of a wait, to either side: those that failed together do not come together


def wait_s(failures: int, first_s: float, most_s: float) -> float:
    """Return the wait after so many failures in a row: 1 or more."""
    plain = min(most_s, first_s * 2.0 ** min(failures - 1, 64))
    spread = plain * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret
    return max(first_s, min(most_s, spread))


def retry_after_s(text: str, now_s: float) -> float | None:
    """Return the seconds that a server asks for; None: it does not say it well.

    now_s  Unix time

    >>> retry_after_s("120", 0), retry_after_s("Thu, 01 Jan 1970 00:01:00 GMT", 20)
    (120.0, 40.0)
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        then = parsedate_to_datetime(text)
        return max(0.0, then.timestamp() - now_s)
    except (ValueError, TypeError, OverflowError, OSError):
        return None
