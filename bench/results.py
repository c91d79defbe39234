"""What was measured: the answers of every run, and their medians."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from bench.api import Row
from bench.scenarios import Figure, Scenario

Answer = dict[str, float]


@dataclass
class Runs:
    """The answers of one scenario, by broker."""

    scenario: Scenario
    answers: dict[str, list[Answer]] = field(default_factory=dict)

    def median(self, peer: str, figure: Figure) -> float | None:
        """Return the median of its rounds; None where the broker did not run."""
        values = [answer[figure.key] for answer in self.answers.get(peer, [])]
        return statistics.median(values) if values else None

    def lost(self, peer: str) -> float:
        """Return the messages that did not arrive, in all rounds."""
        return sum(answer.get("lost", 0) for answer in self.answers.get(peer, []))


@dataclass
class Results:
    """One whole run."""

    cores: int
    rounds: int
    runs: list[Runs]
    trie: list[Answer]
    api: list[Row]
    costs: dict[str, list[Answer]]  # "subscribers" of a filter, "filters" of a session
