"""What a token must claim: when it holds, who issued it, whom it is for, whose it is.

Source  RFC 7519, 4.1
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nanomq_py.tokens.jws import Refused

Claims = Mapping[str, Any]


@dataclass(frozen=True)
class Demands:
    """What is demanded of every token.

    issuer, audience  None: any
    needs_end         one without ``exp`` is refused
    leeway_s          so far may the clock of who issued it be from ours
    texts             claim -> the text that it must be; in it %c and ${clientid} stand for the
                      client identifier, %u and ${username} for the user name
    """

    issuer: str | None = None
    audience: str | None = None
    needs_end: bool = True
    leeway_s: int = 0
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def proves_user(self) -> bool:
        """Whether a claim is held against the user name of CONNECT."""
        return any("%u" in _short(text) for text in self.texts.values())


def _short(text: str) -> str:
    return text.replace("${clientid}", "%c").replace("${username}", "%u")


def _time(claims: Claims, name: str) -> float | None:
    """Return a time in seconds since 1970; None: there is none. Raises Refused."""
    value = claims.get(name)
    if name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(f"its {name} is no number")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds):
        raise Refused(f"its {name} is no time")
    return seconds


def _check_names(claims: Claims, demands: Demands) -> None:
    if demands.issuer is not None and claims.get("iss") != demands.issuer:
        raise Refused("another issuer (iss) than auth.jwt.iss")
    if demands.audience is not None:
        audience = claims.get("aud")
        if demands.audience not in (audience if isinstance(audience, list) else [audience]):
            raise Refused("another audience (aud) than auth.jwt.aud")


def _check_text(claims: Claims, name: str, text: str, whose: Mapping[str, str]) -> None:
    wanted = _short(text)
    for mark, given in whose.items():
        if mark in wanted and not given:
            raise Refused(f"its {name} cannot be compared: the client gives no {mark}")
    # One pass: what a client calls itself may look like a mark.
    parts = [part.replace("%u", whose["%u"]) for part in wanted.split("%c")]
    if claims.get(name) != whose["%c"].join(parts):
        raise Refused(f"its {name} is not that of the client")


def check(
    claims: Claims, demands: Demands, *, client_id: str, user_name: str, now_s: float
) -> float | None:
    """Return when the token ends, in seconds since 1970; None: never.

    user_name  that CONNECT gives; empty: none
    Raises     Refused
    """
    end, begin = _time(claims, "exp"), _time(claims, "nbf")
    if end is None and demands.needs_end:
        raise Refused("it has no end (exp)")
    if end is not None and now_s >= end + demands.leeway_s:
        raise Refused("it has expired (exp)")
    if begin is not None and now_s < begin - demands.leeway_s:
        raise Refused("it does not hold yet (nbf)")
    _check_names(claims, demands)
    for name, text in demands.texts.items():
        _check_text(claims, name, text, {"%c": client_id, "%u": user_name})
    return None if end is None else end + demands.leeway_s
