"""A round: a broker that dies again and again under load, then all that must come is awaited
and judged.

    start, look at what is retained ──> everybody lives ──> death ──> ... ──> settle, judge
"""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass

from tests.durability.clients import Client, Cycle, everybody, retained, start
from tests.durability.homes import Ended, Home
from tests.durability.notes import Notes

YOUNG, ANEW = 0.15, 0.2  # how often it dies in its start; as its log begins anew


@dataclass
class Result:
    notes: Notes
    deaths: Counter[str]
    seconds: float

    def figures(self) -> Counter[str]:
        figures = self.notes.figures() + self.deaths
        figures["deaths"] = self.deaths.total()
        return figures


class Round:
    def __init__(
        self, home: Home, seed: int, deaths: int, *, patience_s: float = 60.0
    ) -> None:
        """patience_s: how long what must come may be quiet."""
        self.home, self.deaths, self.patience_s = home, deaths, patience_s
        self.rng = random.Random(seed)
        self.notes = Notes()
        self.senders, self.receivers = everybody(self.notes, str(seed))
        self.died: Counter[str] = Counter()

    def run(self) -> Result:
        began = time.monotonic()
        try:
            while self.died.total() < self.deaths:
                self.one_life()
            self.settle()
        except Ended as ended:
            self.notes.findings.add("ended by itself", str(ended))
        finally:
            self.home.close()
        self.notes.judge()
        return Result(self.notes, self.died, time.monotonic() - began)

    def begin(self) -> Cycle:
        cycle = Cycle(self.home.start())
        self.notes.judge_retained(retained(cycle.port))
        return cycle

    def one_life(self) -> None:
        while self.rng.random() < YOUNG and self.died.total() < self.deaths:
            self.home.die_young(self.rng)
            self.died["killed in its start"] += 1
        cycle = self.begin()
        live = [c for c in (*self.senders, *self.receivers) if self.rng.random() < 0.85]
        join = start(live, cycle)
        how = "anew" if self.rng.random() < ANEW else "any moment"
        try:
            self.home.die(self.rng, how)
            self.died["killed as the log begins anew" if how == "anew" else "killed"] += 1
        finally:
            cycle.stopped.set()
            self.home.close()
            join()

    def settle(self) -> None:
        """Publishers end what they have begun; receivers take all that must come."""
        cycle = self.begin()
        cycle.closing = True
        joins = [start(list[Client](self.senders), cycle)]
        joins.append(start(list[Client](self.receivers), cycle))
        joins[0]()
        left, until = -1, time.monotonic() + self.patience_s
        while (now := self.notes.missing()) and time.monotonic() < until:
            if now != left:
                left, until = now, time.monotonic() + self.patience_s
            time.sleep(0.1)
        time.sleep(0.5)  # what would come twice
        cycle.stopped.set()
        joins[1]()
