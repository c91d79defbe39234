"""Enhanced authentication (MQTT 5.0, 4.12): methods, and the exchanges that are under way.

A method is a class with a ``name`` and a ``begin``; give more of them to ``Broker``::

    class Token:
        name = "TOKEN"

        def begin(self, client_id: str) -> Exchange: ...

Source  MQTT 5.0, 4.12
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from nanomq_py.core.declared import ReasonCode
from nanomq_py.core.rules import Rules

__all__ = ["CONTINUE_AUTHENTICATION", "Exchange", "Exchanges", "Method", "Step"]

log = logging.getLogger("nanomq")

CONTINUE_AUTHENTICATION = ReasonCode.CONTINUE_AUTHENTICATION

MOST_UNDER_WAY = 4096  # exchanges; another one takes the place of the oldest


@dataclass(frozen=True)
class Step:
    """What the broker says next.

    reason_code   0: the client is who it says; 0x18: it is to go on; others refuse it
    data          Authentication Data for the client; None: none
    user_name     the name that it proved, with reason_code 0
    listed        that is one of the broker's users (``auth.N``), or there is no name
    claims        the name that it claims: after failures the logins of that user are slowed
    is_superuser  access rules do not count for it
    rules         of this client alone, asked before all others; None: none
    ends_at_s     when its connection ends, in seconds since 1970; None: not by itself
    """

    reason_code: int
    data: bytes | None = None
    user_name: str | None = None
    listed: bool = False
    claims: str | None = field(default=None, compare=False)
    is_superuser: bool = False
    ends_at_s: float | None = None
    rules: Rules | None = None


class Exchange(Protocol):
    """An exchange with one client, which is to prove who it is."""

    def step(self, data: bytes | None) -> Step:
        """Take the client's Authentication Data, which may be anything."""


class Method(Protocol):
    """A way for clients to prove who they are. ``name`` is the Authentication Method."""

    @property
    def name(self) -> str: ...

    def begin(self, client_id: str) -> Exchange: ...


_REFUSED = Step(ReasonCode.NOT_AUTHORIZED)


class Exchanges:
    """The methods there are, and every exchange under way, by the number of its question."""

    def __init__(self, methods: Iterable[Method]) -> None:
        self._methods = {method.name: method for method in methods}
        self._under_way: dict[int, Exchange] = {}  # the oldest first

    def __len__(self) -> int:
        return len(self._under_way)

    def use(self, methods: Iterable[Method]) -> None:
        """Begin the next exchanges with these; those under way go on with theirs."""
        self._methods = {method.name: method for method in methods}

    def begin(self, number: int, method: str, client_id: str, data: bytes | None) -> Step:
        """Begin an exchange in place of one under the same number."""
        self.end(number)
        known = self._methods.get(method)
        if known is None:
            return Step(ReasonCode.BAD_AUTHENTICATION_METHOD)
        return self._go_on(number, known.begin(client_id), data)

    def go_on(self, number: int, data: bytes | None) -> Step:
        """Go on with the exchange of that number."""
        exchange = self._under_way.pop(number, None)
        return _REFUSED if exchange is None else self._go_on(number, exchange, data)

    def _go_on(self, number: int, exchange: Exchange, data: bytes | None) -> Step:
        try:
            step = exchange.step(data)
        except Exception:
            log.exception("an authentication method failed; its client is refused")
            return Step(ReasonCode.UNSPECIFIED_ERROR)
        if step.reason_code == ReasonCode.CONTINUE_AUTHENTICATION:
            if len(self._under_way) >= MOST_UNDER_WAY:
                del self._under_way[next(iter(self._under_way))]
            self._under_way[number] = exchange
        return step

    def end(self, number: int) -> None:
        """Drop the exchange of that number: its client is gone."""
        self._under_way.pop(number, None)
