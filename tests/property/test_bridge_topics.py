"""bridges/: topics on their way, and loops, against topics that are sent one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanomq_py.bridges.loops import MOST_ROUNDS, Ways, find_echo, find_loop
from nanomq_py.bridges.patterns import covers, literal_of, meet
from nanomq_py.bridges.topics import (
    BadMapping,
    Mapping,
    Route,
    forwards_of,
    mapping_of,
    subscriptions_of,
)
from nanomq_py.config.keys.bridges import Bridge, BridgeForward, BridgeSubscription

pytestmark = pytest.mark.plain

NAMES = ("remote_topic", "prefix", "suffix")
LEVELS = st.sampled_from(["a", "b", "ab", ""])
TOPICS = st.lists(LEVELS, min_size=1, max_size=4).map("/".join).filter(bool)
FILTERS = st.one_of(
    st.builds(
        lambda levels, tail: "/".join([*levels, *tail]),
        st.lists(st.sampled_from(["a", "b", "ab", "+"]), max_size=3),
        st.sampled_from([("#",), ("a",), ("+",)]),
    ),
    TOPICS,
)
PARTS = st.sampled_from(["", "a/", "b", "/a"])


def matches(filter: str, topic: str) -> bool:
    """The rule of 4.7.1 in five lines."""
    levels, names = filter.split("/"), topic.split("/")
    if levels[-1] == "#":
        levels.pop()
        names = names[: len(levels)]
    return len(levels) == len(names) and all(
        one in ("+", other) for one, other in zip(levels, names, strict=True)
    )


@given(FILTERS, FILTERS, TOPICS)
def test_two_filters_have_in_common_what_both_match(one: str, two: str, topic: str) -> None:
    both = meet(one, two)
    common = both is not None and matches(both, topic)
    assert common == (matches(one, topic) and matches(two, topic))
    assert meet(two, one) == both
    if covers(one, two) and matches(two, topic):
        assert matches(one, topic)


def test_wildcards_do_not_begin_topics_of_the_broker() -> None:
    assert meet("#", "$SYS/a") is None  # 4.7.2
    assert meet("+/a", "$SYS/#") is None
    assert meet("$SYS/#", "$SYS/+/b") == "$SYS/+/b"


@given(FILTERS, FILTERS | st.just(""), PARTS, PARTS, TOPICS)
def test_topic_changes_as_its_filter_does(
    filter: str, target: str, prefix: str, suffix: str, topic: str
) -> None:
    try:
        mapping = mapping_of(filter, target, prefix, suffix, NAMES)
    except BadMapping:
        # What changes behind its first wildcard is no text that is put in front.
        goal = target or filter
        assert set(goal) & set("+#")
        tail = goal[len(literal_of(goal)) :]
        glued = prefix + goal  # b# is no filter
        whole = all(
            level in ("+", "#") or not set(level) & set("+#") for level in glued.split("/")
        )
        assert suffix or not whole or tail != filter[len(literal_of(filter)) :]
        return
    assert mapping.filter.startswith(mapping.take)  # as csrc/bridge wants it
    if not matches(filter, topic):
        return
    made = mapping.of(topic)
    if not set(target or filter) & set("+#"):
        assert made == prefix + (target or filter) + suffix
    elif made is not None:
        assert made.startswith(prefix)
        assert matches(target or filter, made[len(prefix) :])
        behind = len(topic) - len(literal_of(filter))
        assert behind <= 0 or made.endswith(topic[len(topic) - behind :])
    else:
        assert not prefix + literal_of(target).rstrip(
            "/"
        )  # a of a/#, which becomes nothing


ROUTES = st.builds(
    lambda filter, target: (filter, target),
    FILTERS,
    st.sampled_from(["#", "a/#", "b/#", "a/b/#", "a", "b/a", "+", "a/+", ""]),
)


def routes(pairs: list[tuple[str, str]]) -> list[Route]:
    made = []
    for number, (filter, target) in enumerate(pairs):
        try:
            mapping = mapping_of(filter, target, "", "", NAMES)
        except BadMapping:
            continue
        made.append(Route(f"n.{number}", mapping, 2, 2))
    return made


BRIDGES = st.lists(
    st.tuples(
        st.lists(ROUTES, max_size=2).map(routes),
        st.lists(ROUTES, max_size=2).map(routes),
        st.booleans(),
    ),
    min_size=2,
    max_size=3,
).map(
    lambda made: [
        Ways(str(number), frozenset({"h"}), quiet, out, back)
        for number, (out, back, quiet) in enumerate(made)
    ]
)


def lives(bridges: list[Ways], topic: str) -> bool:
    """Whether a message that a client publishes is still on its way after many rounds."""
    now = {(topic, "")}
    for _ in range(2 * MOST_ROUNDS):
        now = {
            (here, other.name)
            for name, via in now
            for one in bridges
            if one.name != via
            for forward in one.forwards
            if matches(forward.mapping.filter, name)
            and (there := forward.mapping.of(name)) is not None
            for other in bridges
            if other.name != one.name or not one.is_quiet
            for back in other.subscriptions
            if matches(back.mapping.filter, there)
            and (here := back.mapping.of(there)) is not None
            and len(here) < 200
        }
    return bool(now)


@given(BRIDGES, TOPICS)
def test_what_goes_round_is_found(bridges: list[Ways], topic: str) -> None:
    if lives(bridges, topic):
        assert find_loop(bridges) is not None


def bridge(
    name: str,
    out: tuple[str, str] | None,
    back: tuple[str, str] | None,
    *,
    quiet: bool = True,
) -> Ways:
    return Ways(
        name,
        frozenset({"h:1"}),
        quiet,
        routes([out] if out else []),
        routes([back] if back else []),
    )


BOTH = ("a/#", "b/#"), ("b/#", "a/#")


def test_two_bridges_that_bring_back_what_the_other_sends_are_a_loop() -> None:
    found = find_loop([bridge("x", BOTH[0], None), bridge("y", None, BOTH[1])])
    assert str(found) == (
        "bridge.mqtt.x.n.0: 'a/#' goes there, and bridge.mqtt.y.n.0: 'b/#' brings it back,"
        " again and again"
    )
    other = replace(bridge("y", None, BOTH[1]), places=frozenset({"other:1"}))
    assert find_loop([bridge("x", BOTH[0], None), other]) is None
    assert (
        find_loop([bridge("x", BOTH[0], None), bridge("y", None, ("b/#", "c/#"))]) is None
    )


def test_one_bridge_both_ways_is_none_where_the_other_broker_sends_nothing_back() -> None:
    assert find_echo(bridge("x", *BOTH)) is None
    assert find_echo(bridge("x", *BOTH, quiet=False)) is not None
    assert find_echo(bridge("x", BOTH[0], ("b/#", "c/#"), quiet=False)) is None
    assert find_loop([bridge("x", *BOTH, quiet=False)]) is None  # it comes back once


def test_topics_that_grow_each_time_are_a_loop() -> None:
    pair = [bridge("x", ("a/#", ""), None), bridge("y", None, ("a/#", "a/b/#"))]
    assert find_loop(pair) is not None


def test_routes_are_in_the_order_in_which_they_count() -> None:
    made = Bridge(
        name="b",
        forwards=("f/#",),
        forward=(
            BridgeForward(local_topic="up/#", remote_topic="site/up/#", qos=1, retain=0),
            BridgeForward(local_topic="state", prefix="p/", suffix="/s"),
            BridgeForward(local_topic="#", prefix="all/"),
            BridgeForward(local_topic="t/+", remote_topic="one"),
        ),
        subscription=(
            BridgeSubscription(topic="cmd/+/x", local_topic="c/+/x", qos=2, retain=1),
        ),
    )
    assert forwards_of(made) == [
        Route("forwards", Mapping("f/#"), 2, 2),
        Route("forward.1", Mapping("up/#", "up", "site/up"), 1, 0),
        Route("forward.2", Mapping("state", put="p/state/s", fixed=True), 2, 2),
        Route("forward.3", Mapping("#", "", "all/"), 2, 2),
        Route("forward.4", Mapping("t/+", put="one", fixed=True), 2, 2),
    ]
    assert subscriptions_of(made) == [
        Route("subscription.1", Mapping("cmd/+/x", "cmd/", "c/"), 2, 1)
    ]


@pytest.mark.parametrize(
    ("forward", "says"),
    [
        (
            BridgeForward(local_topic="+/nanomq/#", remote_topic="#"),
            "forward.1.remote_topic='#': expected one topic, or a filter that ends as"
            " '+/nanomq/#' does from its first wildcard on",
        ),
        (
            BridgeForward(local_topic="a/#", suffix="/s"),
            "forward.1.suffix='/s': expected nothing: only one topic takes a suffix",
        ),
        (
            BridgeForward(local_topic="a/#", prefix="x/" * 300),
            "expected whole levels, such as site/, and not too many",
        ),
    ],
)
def test_mapping_that_cannot_be_is_refused_with_its_reason(
    forward: BridgeForward, says: str
) -> None:
    with pytest.raises(BadMapping) as caught:
        forwards_of(Bridge(name="b", forward=(forward,)))
    assert says in str(caught.value)
