"""Against guessing: after failed logins the next ones of that address and user wait.

::

    one user at one address     5 free, then 0.1 s, 0.2 s, ... 1 s
    one address, any user       20 users that failed there are free
    one user, any address       20 addresses where it failed are free

Right logins wait like wrong ones: otherwise the time until an answer would tell which one it
was. Nobody waits longer than a second, whoever else guesses: the right password always gets
in. A guess costs a connection that waits, and the number of connections is bounded.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

FREE_FAILURES = 5  # of one user at one address
FREE_OTHERS = 20  # users of one address, addresses of one user
FIRST_WAIT_S = 0.1
MOST_WAIT_S = 1.0
FORGET_AFTER_S = 600.0
CALM_S = 5.0  # a right login ends the wait, unless others have failed meanwhile
MOST_KEYS = 10_000  # of each kind
LONGEST_NAME = 64  # kept as it is


def network_of(address: str) -> str:
    """Return what counts as one attacker: an IPv4 address, or an IPv6 network of 64 bits.

    >>> network_of("::ffff:192.0.2.1"), network_of("2001:db8::1:2")
    ('192.0.2.1', '2001:db8::')
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    return str(parsed.ipv4_mapped or IPv6Address(int(parsed) >> 64 << 64))


def name_of(user: str) -> str:
    """Return the name, or a digest of a long one: names come from the network."""
    if len(user) <= LONGEST_NAME:
        return user
    return hashlib.blake2b(user.encode(errors="replace"), digest_size=32).hexdigest()


@dataclass(slots=True)
class _Failures:
    count: int
    latest: float  # on the monotonic clock


class _Counts:
    """Failures by key. Keys that have not failed for long are forgotten, then the oldest."""

    def __init__(self, free: int) -> None:
        self._free = free
        self._by_key: OrderedDict[Hashable, _Failures] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_key)

    def add(self, key: Hashable, now: float) -> bool:
        """Count a failure; return whether it is the first."""
        for old, failures in list(self._by_key.items())[:2]:
            if len(self._by_key) >= MOST_KEYS or now - failures.latest > FORGET_AFTER_S:
                del self._by_key[old]
        known = self._by_key.setdefault(key, _Failures(0, now))
        known.count += 1
        known.latest = now
        self._by_key.move_to_end(key)
        return known.count == 1

    def wait_s(self, key: Hashable, now: float) -> float:
        known = self._by_key.get(key)
        if known is None or now - known.latest > FORGET_AFTER_S:
            return 0.0
        over = known.count - self._free
        return 0.0 if over <= 0 else min(MOST_WAIT_S, FIRST_WAIT_S * 2 ** min(over - 1, 10))

    def forgive(self, key: Hashable, now: float) -> None:
        known = self._by_key.get(key)
        if known is not None and now - known.latest > CALM_S:
            del self._by_key[key]


class Throttle:
    """Failed logins by address and user, and how long the next one waits for them."""

    def __init__(self) -> None:
        self._pairs = _Counts(FREE_FAILURES)
        self._addresses = _Counts(FREE_OTHERS)
        self._users = _Counts(FREE_OTHERS)

    def __len__(self) -> int:
        return len(self._pairs) + len(self._addresses) + len(self._users)

    def wait_s(self, address: str, user: str) -> float:
        """Return how long a login waits before it is answered, 0 to 1 s."""
        if not self._pairs:  # the usual case
            return 0.0
        now = time.monotonic()
        network, name = network_of(address), name_of(user)
        return max(
            self._pairs.wait_s((network, name), now),
            self._addresses.wait_s(network, now),
            self._users.wait_s(name, now),
        )

    def failed(self, address: str, user: str) -> None:
        """Count a wrong login."""
        now = time.monotonic()
        network, name = network_of(address), name_of(user)
        # One client that always has a wrong password makes no other one wait.
        if self._pairs.add((network, name), now):
            self._addresses.add(network, now)
            self._users.add(name, now)

    def succeeded(self, address: str, user: str) -> None:
        """Forget the failures of one user at one address, unless somebody guesses there."""
        if self._pairs:
            self._pairs.forgive((network_of(address), name_of(user)), time.monotonic())
