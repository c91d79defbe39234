"""Times beside those of a broker that nobody disturbs, taken at the same moment.

The machine may be slow, or busy with other tests: then both are, and what a test says of
the disturbed one stays true.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tests.conftest import Process

TIMES_AS_LONG = 20
LEAST_S = 0.005  # an undisturbed login, where the machine is not shared


def login_s(process: Process) -> float:
    """Return how long a login by password takes: it needs the event loop."""
    began = time.perf_counter()
    with process.raw() as c:
        c.connect("login", user="u", password=b"p")
    return time.perf_counter() - began


def request_s(process: Process) -> float:
    """Return how long a request to the HTTP API takes, with its login."""
    began = time.perf_counter()
    assert process.api(req=2).status == 200
    return time.perf_counter() - began


class Times:
    """Times of two kinds, taken in turns."""

    def __init__(
        self, quiet: Process, measure: Callable[[Process], float] = login_s
    ) -> None:
        """``measure`` is what the quiet broker is asked for."""
        self._quiet = quiet
        self._measure = measure
        self.taken: list[float] = []
        self.beside: list[float] = []

    def take(self, measure: Callable[[], float]) -> None:
        self.taken.append(measure())
        self.beside.append(self._measure(self._quiet))

    def take_logins(self, process: Process, stop: threading.Event) -> None:
        while not stop.is_set():
            self.take(lambda: login_s(process))

    def assert_undisturbed(self, hundredths: int, waits_s: float = 0.0) -> None:
        """Assert that so many of a hundred were about as quick as on the quiet broker.

        waits_s   what they have to wait for besides, by the broker's own constants
        """
        taken, beside = (
            sorted(times)[len(times) * hundredths // 100]
            for times in (self.taken, self.beside)
        )
        most = waits_s + TIMES_AS_LONG * max(beside, LEAST_S)
        assert taken < most, f"{taken:.3f} s, beside {beside:.3f} s: {sorted(self.taken)}"
