"""Answers to MQTT clients that log in: at once, or slowed after failures.

A wrong login and a right one of the same address and user wait as long as each other; see
:mod:`nanomq_py.auth.throttle`. Waiting holds no thread and no lock: a timer of the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nanomq_py.auth.enhanced import Step
from nanomq_py.auth.throttle import Throttle, name_of, network_of
from nanomq_py.auth.waiting import Waiting
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
        self._waiting: Waiting[_Who, asyncio.TimerHandle] = Waiting(
            MOST_WAITING, MOST_WAITING_ALIKE
        )

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, number: int, address: str, user: str, step: Step) -> None:
        """Answer a login of ``user`` at ``address``, now or later.

        Where too many wait already, the client is told that the server is busy, whether its
        login is right or wrong: so a guess learns nothing.
        """
        wait_s = self._throttle.wait_s(address, user)
        who = (network_of(address), name_of(user)) if wait_s > 0 else ("", "")
        if wait_s > 0 and not self._waiting.has_room(who):
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
        self._waiting.put(number, who, timer)

    def _due(self, number: int, step: Step) -> None:
        self.forget(number)
        self._give(number, step)

    def forget(self, number: int) -> None:
        """Drop the answer: its client is gone."""
        timer = self._waiting.take(number)
        if timer is not None:
            timer.cancel()

    def close(self) -> None:
        """Drop all that wait."""
        for number in self._waiting:
            self.forget(number)
