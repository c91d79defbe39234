"""Whether messages could go round between this broker and another one.

::

    here ──forward of a bridge──> there ──subscription of another bridge──> here ──> ...

What a bridge brings it does not forward, and with MQTT 5.0 (No Local), or where the other
broker knows that it is a bridge (3.1.1), nothing that it forwards comes back to it. Two bridges
to one broker know nothing of each other: what could go round between them is refused.

Source  MQTT 5.0, 3.8.3.1 No Local; mosquitto.conf(5), "try_private"
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nanomq_py.bridges.patterns import meet
from nanomq_py.bridges.topics import Mapping, Route

MOST_ROUNDS = 16  # what lives longer goes round for ever, for all that anybody can tell
MOST_STEPS = 20_000  # of one search


@dataclass(frozen=True)
class Ways:
    """What one bridge does with topics.

    places    addresses of the other broker
    is_quiet  the other broker sends it nothing of its own
    """

    name: str
    places: frozenset[str]
    is_quiet: bool
    forwards: Sequence[Route]
    subscriptions: Sequence[Route]


@dataclass(frozen=True)
class Loop:
    """Who sends out and who brings back: bridges and keys, for the error."""

    out: tuple[str, Route]
    back: tuple[str, Route]

    def __str__(self) -> str:
        (one, forward), (other, subscription) = self.out, self.back
        to, of = forward.mapping, subscription.mapping
        return (
            f"bridge.mqtt.{one}.{forward.key}: {to.filter!r} goes there, and"
            f" bridge.mqtt.{other}.{subscription.key}: {of.filter!r} brings it back, again and"
            " again"
        )


def image(mapping: Mapping, topics: str) -> str | None:
    """Return the filter of what the topics that match both become; None: nothing.

    >>> image(Mapping("a/#", "a", "b"), "a/+/c")
    'b/+/c'
    """
    met = meet(mapping.filter, topics)
    return None if met is None else mapping.of(met)


def _sent(
    bridges: Sequence[Ways], topics: str, via: str
) -> Iterator[tuple[Ways, Route, str]]:
    """Yield who forwards topics that a bridge has brought, by what, and as what."""
    for one in bridges:
        if one.name == via:
            continue  # it does not forward what it brings
        for forward in one.forwards:
            if (there := image(forward.mapping, topics)) is not None:
                yield one, forward, there


def _returns(
    bridges: Sequence[Ways], topics: str, via: str
) -> Iterator[tuple[tuple[str, str], Loop]]:
    """Yield as what topics that a bridge has brought come back, with who brings them."""
    for one, forward, there in _sent(bridges, topics, via):
        for other in bridges:
            if other is one and one.is_quiet:
                continue
            for back in other.subscriptions:
                if (here := image(back.mapping, there)) is not None:
                    yield (here, other.name), Loop((one.name, forward), (other.name, back))


def _near(ways: Ways, bridges: Sequence[Ways]) -> list[Ways]:
    return [other for other in bridges if ways.places & other.places]


def find_echo(ways: Ways) -> Loop | None:
    """Return how the bridge brings back what it forwards, to where it has it from."""
    if ways.is_quiet:
        return None
    for forward in ways.forwards:
        there = image(forward.mapping, forward.mapping.filter)
        for back in ways.subscriptions if there is not None else ():
            here = image(back.mapping, there or "")
            if here is not None and meet(here, forward.mapping.filter) is not None:
                return Loop((ways.name, forward), (ways.name, back))
    return None


def find_loop(bridges: Sequence[Ways]) -> Loop | None:
    """Return how messages could go round for ever between here and one other broker.

    It may be wrong where a search is too long, and then finds one that there is not.
    """
    for ways in bridges:
        near = _near(ways, bridges)
        if len(near) > 1 and (found := _Search(near).run()) is not None:
            return found
    return None


class _Search:
    """One search: it goes after each topic until that dies out, or goes round."""

    def __init__(self, bridges: Sequence[Ways]) -> None:
        self._bridges = bridges
        self._steps = 0
        self._done: set[tuple[str, str]] = set()  # topics, and who brought them: these die

    def run(self) -> Loop | None:
        begins = (route.mapping.filter for ways in self._bridges for route in ways.forwards)
        found = (self._after((topics, ""), ()) for topics in begins)
        return next((loop for loop in found if loop is not None), None)

    def _after(self, at: tuple[str, str], path: tuple[tuple[str, str], ...]) -> Loop | None:
        for then, loop in _returns(self._bridges, *at):
            self._steps += 1
            is_long = len(path) >= MOST_ROUNDS or self._steps > MOST_STEPS
            if then in path or is_long:
                return loop
            if then not in self._done:
                if (found := self._after(then, (*path, then))) is not None:
                    return found
                self._done.add(then)
        return None
