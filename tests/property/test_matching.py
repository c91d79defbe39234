"""The trees against ten lines that say what the specification says (MQTT 5.0, 4.7)."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests._core_test import ffi, lib
from tests.unit.clib import message
from tests.unit.test_trees import Retained, Tree

LEVEL = st.sampled_from(["a", "b", "", "$x"])  # few, so that they meet
TOPIC = st.lists(LEVEL, min_size=1, max_size=4).filter(lambda t: t != [""])
FILTER = st.builds(
    lambda body, end: body + end,
    st.lists(st.one_of(LEVEL, st.just("+")), max_size=4),
    st.sampled_from([[], ["#"]]),
).filter(lambda f: f not in ([], [""]))


def by_the_rule(filter_: list[str], topic: list[str]) -> bool:
    """MQTT 5.0, 4.7.1: what a filter matches, level by level."""
    match filter_, topic:
        case ["#"], _:
            return True
        case [f, *fs], [t, *ts]:
            return f in ("+", t) and by_the_rule(fs, ts)
        case _:
            return filter_ == topic == []


def matches(filter_: list[str], topic: list[str]) -> bool:
    hidden = topic[0].startswith("$") and filter_[0] in ("+", "#")  # [MQTT-4.7.2-1]
    return not hidden and by_the_rule(filter_, topic)


@pytest.mark.spec("MQTT-4.7.2-1", "MQTT-4.7.3-4")
@given(filters=st.lists(FILTER, max_size=10), topic=TOPIC)
@example(filters=[["a", "#"]], topic=["a"])
@example(filters=[["#"], ["+", "a"]], topic=["$x", "a"])
def test_match_finds_what_the_rule_finds(
    filters: list[list[str]], topic: list[str]
) -> None:
    tree = Tree()
    for n, filter_ in enumerate(filters):
        tree.put("/".join(filter_), n + 1)  # client n + 1 holds filters[n]
    expected = [n + 1 for n, f in enumerate(filters) if matches(f, topic)]
    assert tree.match("/".join(topic)) == expected
    ffi.release(tree.at)


@given(topics=st.lists(TOPIC, max_size=12), filter_=FILTER)
def test_retained_match_finds_what_the_rule_finds(
    topics: list[list[str]], filter_: list[str]
) -> None:
    kept = Retained()
    for topic in topics:
        kept.put("/".join(topic), b"x")
    expected = {"/".join(t) for t in topics if matches(filter_, t)}
    assert kept.match("/".join(filter_)).keys() == expected
    ffi.release(kept.at)


class TreeMachine(RuleBasedStateMachine):
    """Puts and deletes in any order leave what a set of pairs would hold."""

    def __init__(self) -> None:
        super().__init__()
        self.tree = Tree()
        self.model: dict[tuple[str, str, int], int] = {}

    @rule(
        filter_=FILTER, group=st.sampled_from(["", "$share/g/", "$share/h/"]),
        client=st.integers(1, 4), options=st.integers(0, 2),
    )  # fmt: skip
    def put(self, filter_: list[str], group: str, client: int, options: int) -> None:
        text = "/".join(filter_)
        new = (group, text, client) not in self.model
        assert self.tree.put(group + text, client, options) == int(new)
        self.model[group, text, client] = options

    @rule(
        filter_=FILTER, group=st.sampled_from(["", "$share/g/"]), client=st.integers(1, 4)
    )
    def delete(self, filter_: list[str], group: str, client: int) -> None:
        text = "/".join(filter_)
        held = self.model.pop((group, text, client), None) is not None
        assert self.tree.delete(group + text, client) == (0 if held else lib.NMQ_ENOENT)

    @rule(topic=TOPIC)
    def match(self, topic: list[str]) -> None:
        expected = sorted(
            (client, options, 0)
            for (_, text, client), options in self.model.items()
            if matches(text.split("/"), topic)
        )
        assert self.tree.match_all("/".join(topic)) == expected

    @invariant()
    def count_is_true(self) -> None:
        assert lib.nmq_tree_count(self.tree.at) == len(self.model)


TestTreeMachine = TreeMachine.TestCase
TestTreeMachine.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


STEP = st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 50), st.booleans())


@given(steps=st.lists(STEP, max_size=60), sweeps=st.lists(st.integers(0, 60), max_size=5))
def test_sweep_removes_exactly_what_has_expired(
    steps: list[tuple[str, int, bool]], sweeps: list[int]
) -> None:
    """0 as a time of expiry is never; an empty payload removes."""
    retain = ffi.gc(lib.nmq_retain_new(), lib.nmq_retain_free)
    model: dict[str, int] = {}
    every = max(len(steps) // (len(sweeps) + 1), 1)
    times = iter(sorted(sweeps))
    for n, (topic, expires_at, keep) in enumerate(steps):
        made = message(
            f"t/{topic}".encode(), b"x" if keep else b"", expires_at_ms=expires_at
        )
        assert lib.nmq_retain_put(retain, made) == 0
        lib.nmq_message_unref(made)
        model.pop(topic, None)
        if keep:
            model[topic] = expires_at
        if n % every == every - 1:
            now = next(times, 0)
            due = lib.nmq_retain_sweep(retain, now, 100, ffi.NULL, ffi.NULL)
            model = {t: e for t, e in model.items() if e == 0 or e > now}
            assert due == min((e for e in model.values() if e), default=0)
        assert lib.nmq_retain_count(retain) == len(model)


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(1, 60), st.sampled_from(["", "g", "h"])),
        max_size=300,
    )
)
def test_many_subscribers_of_one_filter_come_and_go(
    steps: list[tuple[bool, int, str]],
) -> None:
    """The list of a filter is the set of those who are there, long or short."""
    tree = Tree()
    model: dict[tuple[str, int], bool] = {}
    for add, client, group in steps:
        text = f"$share/{group}/a/#" if group else "a/#"
        known = (group, client) in model
        if add:
            assert tree.put(text, client) == (0 if known else 1)
            model[group, client] = True
        else:
            assert tree.delete(text, client) == (0 if known else lib.NMQ_ENOENT)
            model.pop((group, client), None)
    assert tree.match("a/b") == sorted(client for _, client in model)
