"""Answers to MQTT clients that log in: at once, or slowed after failures.

A wrong login and a right one of the same address and user wait as long as each other; see
:mod:`nanomq_py.auth.throttle`. Waiting holds no thread and no lock: a timer of the loop.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from nanomq_py.auth.enhanced import Step
from nanomq_py.auth.throttle import Throttle, name_of, network_of
from nanomq_py.core.declared import ReasonCode

MOST_WAITING = 10_000  # answers
MOST_WAITING_ALIKE = 256  # of one user at one address

_BUSY = Step(ReasonCode.SERVER_BUSY)
_WRONG = (ReasonCode.BAD_USER_NAME_OR_PASSWORD, ReasonCode.NOT_AUTHORIZED)
_Who = tuple[str, str]


class Answers:
    """Gives each answer when it is due.

    Threads  belongs to the event loop that runs when an answer has to wait
    """

    def __init__(self, give: Callable[[int, Step], object]) -> None:
        """Make it; ``give`` sends an answer under the number of its question."""
        self._give = give
        self._throttle = Throttle()
        self._waiting: dict[int, tuple[asyncio.TimerHandle, _Who]] = {}
        self._alike: Counter[_Who] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, number: int, address: str, user: str, step: Step) -> None:
        """Answer a login of ``user`` at ``address``, now or later.

        Where too many wait already, the client is told that the server is busy, whether its
        login is right or wrong: so a guess learns nothing.
        """
        wait_s = self._throttle.wait_s(address, user)
        who = (network_of(address), name_of(user)) if wait_s > 0 else ("", "")
        full = len(self._waiting) >= MOST_WAITING or self._alike[who] >= MOST_WAITING_ALIKE
        if wait_s > 0 and full:
            self._give(number, _BUSY)
            return
        if step.reason_code == ReasonCode.SUCCESS:
            self._throttle.succeeded(address, user)
        elif step.reason_code in _WRONG:
            self._throttle.failed(address, user)
        if wait_s == 0:
            self._give(number, step)
            return
        timer = asyncio.get_running_loop().call_later(wait_s, self._due, number, step)
        self._waiting[number] = (timer, who)
        self._alike[who] += 1

    def _due(self, number: int, step: Step) -> None:
        self.forget(number)
        self._give(number, step)

    def forget(self, number: int) -> None:
        """Drop the answer: its client is gone."""
        timer, who = self._waiting.pop(number, (None, ("", "")))
        if timer is None:
            return
        timer.cancel()
        self._alike[who] -= 1
        if self._alike[who] == 0:
            del self._alike[who]

    def close(self) -> None:
        """Drop all that wait."""
        for number in list(self._waiting):
            self.forget(number)
