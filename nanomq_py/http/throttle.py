"""Against guessing: after failed logins an address waits, longer with each.

One attempt of an address is looked at at a time, and only after its wait, the right
credentials too: how long an answer takes says nothing about them.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address

from nanomq_py.http.reply import Code, Refused

FREE_FAILURES = 5
FIRST_WAIT_S = 0.1
MOST_WAIT_S = 5.0
FORGET_AFTER_S = 600.0
MOST_WAITING = 16  # requests of one address
MOST_ADDRESSES = 10_000


@dataclass
class _Attempts:
    failures: int = 0
    free_at: float = 0.0  # on the monotonic clock
    latest: float = 0.0
    waiting: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


def _network_of(address: str) -> str:
    """Return what one attacker has: an IPv4 address, or an IPv6 network of 64 bits."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    return str(parsed.ipv4_mapped or IPv6Address(int(parsed) >> 64 << 64))


class Throttle:
    """Counts failed logins by address."""

    def __init__(self) -> None:
        self._by_address: OrderedDict[str, _Attempts] = OrderedDict()

    def _of(self, address: str) -> _Attempts:
        network = _network_of(address)
        attempts = self._by_address.get(network)
        if attempts is None:
            self._forget()
            attempts = self._by_address[network] = _Attempts()
        return attempts

    def _forget(self) -> None:
        """Drop who has not failed for long; when there are too many, the oldest."""
        now = time.monotonic()
        for network, attempts in list(self._by_address.items()):
            old = now - attempts.latest > FORGET_AFTER_S
            if not old and len(self._by_address) < MOST_ADDRESSES:
                break
            if attempts.waiting == 0:
                del self._by_address[network]

    @asynccontextmanager
    async def attempt(self, address: str) -> AsyncIterator[None]:
        """Let one login of the address through when it is its turn.

        A :class:`Refused` for wrong credentials that leaves the block counts as a failure.

        Raises   Refused, 429, when too many of its requests wait already
        """
        attempts = self._of(address)
        left_s = attempts.free_at - time.monotonic()
        if attempts.waiting >= MOST_WAITING and left_s > 0:
            wait_s = max(1, round(left_s + 0.5))
            raise Refused(
                429,
                Code.WRONG_USERNAME_OR_PASSWORD,
                "too many failed logins from this address; try later",
                {"Retry-After": str(wait_s)},
            )
        attempts.waiting += 1
        try:
            async with attempts.turn:
                await asyncio.sleep(max(0.0, attempts.free_at - time.monotonic()))
                yield
            attempts.failures = 0
        except Refused as refused:
            if refused.code == Code.WRONG_USERNAME_OR_PASSWORD and refused.status == 401:
                self._failed(address, attempts)
            raise
        finally:
            attempts.waiting -= 1
            if attempts.failures == 0 and attempts.waiting == 0:
                self._by_address.pop(_network_of(address), None)

    def _failed(self, address: str, attempts: _Attempts) -> None:
        attempts.failures += 1
        attempts.latest = time.monotonic()
        self._by_address.move_to_end(_network_of(address))
        over = attempts.failures - FREE_FAILURES
        if over > 0:
            wait_s = min(MOST_WAIT_S, FIRST_WAIT_S * 2 ** min(over - 1, 10))
            attempts.free_at = attempts.latest + wait_s
