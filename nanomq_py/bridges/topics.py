"""What becomes of topics at a bridge: NanoMQ's and mosquitto's forms as the core's.

::

    forward       sensors/#  -> site/7/sensors/#    text before the wildcards changes
    forward       a/b        -> x                   one topic, whatever it was
    subscription  cmd/#      -> commands/#

A text is taken off the front of the topic, and another put there. What cannot be said like
that is refused.

Source  NanoMQ's documentation, "Data Bridges"; mosquitto.conf(5), "topic"
"""

from __future__ import annotations

from dataclasses import dataclass

from nanomq_py.bridges.patterns import literal_of
from nanomq_py.config.keys.access import is_filter
from nanomq_py.config.keys.bridges import Bridge, BridgeForward, BridgeSubscription


class BadMapping(ValueError):
    """Topics that cannot change like that. ``key`` is the key below the bridge."""

    def __init__(self, key: str, value: str, expected: str) -> None:
        super().__init__(f"{key}={value!r}: expected {expected}")


@dataclass(frozen=True)
class Mapping:
    """What matches ``filter`` has ``take`` taken off its topic, and ``put`` put there.

    fixed   ``put`` is the topic, whatever it was
    """

    filter: str
    take: str = ""
    put: str = ""
    fixed: bool = False

    def of(self, topic: str) -> str | None:
        """Return the topic on the other side; None: there is none. It matches ``filter``."""
        if self.fixed:
            return self.put
        if not topic.startswith(self.take):
            return None
        return (self.put + topic[len(self.take) :]) or None


@dataclass(frozen=True)
class Route:
    """A mapping, and how messages cross by it.

    key     the key below the bridge that says so
    qos     at most
    retain  0: cleared, 1: set, 2: as it is
    """

    key: str
    mapping: Mapping
    qos: int
    retain: int


def _front(filter: str, target: str) -> tuple[str, str] | None:
    """Return the texts before the part that both end with, from the first wildcard on.

    >>> _front("a/+/c", "x/y/+/c"), _front("a/#", "#"), _front("+/a/#", "#")
    (('a/', 'x/y/'), ('a/', ''), None)
    """
    take, put = literal_of(filter), literal_of(target)
    if filter[len(take) :] != target[len(put) :]:
        return None
    if filter[len(take) :] == "#" and take and put:
        return take[:-1], put[:-1]  # a/# matches a, too: that becomes the other's parent
    return take, put


def mapping_of(
    filter: str, target: str, prefix: str, suffix: str, names: tuple[str, str, str]
) -> Mapping:
    """Return how ``filter`` becomes ``target``, with what is put before and behind it.

    names   the keys of target, prefix and suffix, for errors
    Raises  BadMapping
    """
    key, prefix_key, suffix_key = names
    goal = target or filter
    is_one = not set(goal) & set("+#")
    if is_one:
        made = f"{prefix}{goal}{suffix}"
        if not is_filter(made):
            raise BadMapping(key, target, "a topic of fewer bytes and levels")
        return Mapping(filter, put=made, fixed=True) if made != filter else Mapping(filter)
    if suffix:
        raise BadMapping(
            suffix_key, suffix, f"nothing: only one topic takes a suffix, not {goal!r}"
        )
    front = _front(filter, goal)
    if front is None:
        raise BadMapping(
            key, target, f"one topic, or a filter that ends as {filter!r} does from its first"
            " wildcard on"
        )  # fmt: skip
    take, put = front
    if prefix and not is_filter(prefix + goal):
        raise BadMapping(
            prefix_key, prefix, "whole levels, such as site/, and not too many"
        )
    return Mapping(filter, take, prefix + put) if take != prefix + put else Mapping(filter)


def _one(
    member: BridgeForward | BridgeSubscription, at: str, filter: str, target: str, key: str
) -> Mapping:
    names = (f"{at}.{key}", f"{at}.prefix", f"{at}.suffix")
    return mapping_of(filter, target, member.prefix, member.suffix, names)


def forwards_of(bridge: Bridge) -> list[Route]:
    """Return what goes to the other broker, in the order that counts. Raises BadMapping."""
    made = [Route("forwards", Mapping(each), 2, 2) for each in bridge.forwards]
    for number, each in enumerate(bridge.forward, start=1):
        at = f"forward.{number}"
        mapping = _one(each, at, each.local_topic, each.remote_topic, "remote_topic")
        qos = 2 if each.qos is None else each.qos
        made.append(Route(at, mapping, qos, each.retain))
    return made


def subscriptions_of(bridge: Bridge) -> list[Route]:
    """Return what comes from there, in the order that counts. Raises BadMapping."""
    made = []
    for number, each in enumerate(bridge.subscription, start=1):
        at = f"subscription.{number}"
        mapping = _one(each, at, each.topic, each.local_topic, "local_topic")
        made.append(Route(at, mapping, each.qos, each.retain))
    return made
