"""What the core makes of access rules: found by mutation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests import judging
from tests._core_test import ffi, lib
from tests.judging import LITERAL, PATTERN, PLAIN, Act, Rule, Who, compiled
from tests.unit.clib import content, nothing_leaks, slice_of


def one(topic: str, kind: int = PATTERN, network: str | None = None) -> Rule:
    return Rule(True, ((topic, kind),), network=network)


@pytest.mark.parametrize(
    ("rules", "has"),
    [
        ([], False),
        ([one("a/%c")], False),
        ([one("a/%i")], True),
        ([one("a/%i", LITERAL)], True),
        ([one("a/%i", PLAIN)], False),
        ([one("a/%i"), one("b")], True),
        ([one("a", network="10.0.0.0/8")], True),
    ],
)
def test_acl_has_addresses_where_a_rule_asks_for_the_address(
    rules: list[Rule], has: bool
) -> None:
    acl = compiled(rules)
    assert bool(lib.nmq_acl_has_addresses(acl)) is has
    lib.nmq_acl_unref(acl)


def test_no_acl_has_no_addresses() -> None:
    assert not lib.nmq_acl_has_addresses(ffi.NULL)


@pytest.mark.parametrize("kind", [PATTERN, PLAIN, LITERAL])
def test_topic_with_more_levels_than_there_can_be_is_refused(kind: int) -> None:
    longest = "a/" * (lib.NMQ_ACL_LEVELS_MAX - 1) + "b"
    with nothing_leaks():
        assert compiled([one(f"{longest}/c", kind)]) == ffi.NULL
        acl = compiled([one(longest, kind)])
        assert judging.tried(acl, Who(), Act(), longest) == (0, True)
        lib.nmq_acl_unref(acl)


@pytest.mark.parametrize("fail", ["nmq_mem_fail_after", "nmq_mem_fail_once"])
def test_rules_are_complete_or_there_are_none_when_memory_is_out(fail: str) -> None:
    """A rule that a shortage took away would be one that nobody misses."""
    rules = [
        Rule(True, (("a/+", PATTERN),), publish=False, qos=frozenset({0})),
        Rule(True, (("a/+", LITERAL), ("b/%c/#", PATTERN)), user_name=None),
        Rule(False, (("a/#", LITERAL), ("c", PLAIN)), user_name="ann"),
        Rule(False, (("#", PATTERN),), client_id="pump", network="127.0.0.0/8"),
    ]
    asked = [(0, "a/+"), (1, "a/+"), (1, "b/pump/x"), (1, "a/#"), (1, "c"), (1, "d")]
    with nothing_leaks():
        for n in range(200):
            getattr(lib, fail)(n)
            acl = compiled(rules)
            lib.nmq_mem_fail_after(-1)
            if acl != ffi.NULL:
                break
        else:
            pytest.fail("with all memory there is, there are none")
        who = Who("pump", "ann")
        acts = [(Act("subscribe", qos=qos), topic) for qos, topic in asked]
        found = [judging.tried(acl, who, *one) for one in acts]
        assert [one and one[0] for one in found] == [0, 1, 1, 2, 2, 3]
        lib.nmq_acl_unref(acl)


@pytest.mark.parametrize(
    ("tail", "user", "between"),
    [
        ("\x01", "u" * 300, "\x01"),  # one byte of a length is not enough
        ("\x01\x01" + "c" * 254, "u" * 257, "\x00\x01"),  # nor is half of them,
        ("\x02\x01" + "c" * 32766, "u" * 257, "\x02\x01"),  # nor all but the first bit
    ],
)
def test_long_names_are_not_taken_for_each_other(
    tail: str, user: str, between: str
) -> None:
    """Names of a rule are one key: where one ends must not be for a client to choose."""
    acl = compiled([Rule(True, (("a", PATTERN),), client_id="c" + tail, user_name=user)])
    other = Who("c", tail.lstrip("\x01\x02") + between + user)
    assert judging.tried(acl, Who("c" + tail, user), Act(), "a") == (0, True)
    assert judging.tried(acl, other, Act(), "a") is None
    lib.nmq_acl_unref(acl)


@contextmanager
def tree_of(rules: list[tuple[int, str, bool, int]]) -> Iterator[Any]:
    """Yield a tree of rules: number, pattern, whether it allows, acts."""
    root = ffi.new("nmq_acl_node *")
    for number, pattern, allow, acts in rules:
        kept = ffi.from_buffer(pattern.encode())
        entry = {"rule": number, "acts": acts, "allow": allow}
        reading = {"marks": True, "literal": False}
        assert lib.nmq_acl_tree_put(root, slice_of(kept), reading, entry) == lib.NMQ_OK
    yield root
    lib.nmq_acl_tree_fini(root)
    assert not any(bytes(ffi.buffer(root)))  # which is a valid empty tree


def children(node: Any) -> dict[str, Any]:
    """Return the children of a node, in the order in which they are walked."""
    found, child = {}, node.first
    while child != ffi.NULL:
        found[content(lib.nmq_level_name(ffi.addressof(child.level))).decode()] = child
        child = child.next
    return found


def test_node_knows_what_no_rule_below_it_can_be_better_than() -> None:
    """A search ends there; without it, one goes through all rules."""
    none, publish, subscribe = lib.NMQ_ACL_NO_RULE, Act("publish").bit(), Act().bit()
    both = publish | subscribe
    rules = [
        (3, "a/+", True, both),
        (4, "b/c", False, publish),
        (5, "a/x", False, both),
        (5, "%c", False, subscribe),
        (6, "a/#", False, both),
        (7, "b/#", False, subscribe),
        (8, "a/x", True, both),
    ]
    with nothing_leaks(), tree_of(rules) as root:
        first = children(root)
        known = {name: (one.least, one.least_deny) for name, one in first.items()}
        assert known == {"a": (3, 5), "b": (4, 7), "%c": (5, 5)}
        assert list(known) == ["a", "b", "%c"]
        second = children(first["a"])
        known = {name: (one.least, one.least_deny) for name, one in second.items()}
        assert known == {"+": (3, none), "x": (5, 5)}
        assert second["x"].own.count == 1  # rule 5 leaves rule 8 nothing to say


P, S = Act("publish").bit(), Act("subscribe").bit()


@pytest.mark.parametrize(
    ("entries", "kept"),
    [
        ([(True, P), (True, P)], [(0, P)]),
        ([(False, P), (False, P)], [(0, P)]),
        ([(False, P), (True, P)], [(0, P)]),
        ([(True, P), (False, P)], [(0, P), (1, P)]),
        ([(True, P), (True, P | S)], [(0, P), (1, S)]),
        ([(False, S), (False, P), (True, P | S)], [(0, S), (1, P)]),
        ([(True, S), (False, P), (True, P | S)], [(0, S), (1, P)]),
        ([(True, S), (False, P), (False, P | S)], [(0, S), (1, P), (2, S)]),
        ([(True, P), (True, 0)], [(0, P)]),
    ],
)
@pytest.mark.parametrize("pattern", ["a", "a/#", "#"])
def test_rule_that_has_nothing_to_say_is_not_kept(
    pattern: str, entries: list[tuple[bool, int]], kept: list[tuple[int, int]]
) -> None:
    rules = [(n, pattern, allow, acts) for n, (allow, acts) in enumerate(entries)]
    with tree_of(rules) as root:
        node = children(root)["a"] if pattern != "#" else root
        found = node.below if "#" in pattern else node.own
        assert [(one.rule, one.acts) for one in found.at[0 : found.count]] == kept


@pytest.mark.parametrize(
    ("first", "last", "has"),
    [
        (0, 2, True),
        (0, 1, False),
        (1, 2, False),
        (2, 5, True),
        (2, 4, False),
        (1, 4, False),
    ],
)
def test_mark_is_looked_for_in_the_text_alone(first: int, last: int, has: bool) -> None:
    kept = ffi.from_buffer(b"%cc%c")
    text = slice_of(kept)
    text.at, text.len = text.at + first, last - first
    assert bool(lib.nmq_acl_has_mark(text, b"c")) is has


def test_rules_for_any_number_of_clients_leave_nothing_behind() -> None:
    with nothing_leaks():
        for count in range(40):
            rules = [replace(one("a"), client_id=f"c{n}") for n in range(count)]
            lib.nmq_acl_unref(compiled(rules))


def test_search_that_is_over_points_to_nothing() -> None:
    acl, search = compiled([one("a")]), ffi.new("nmq_acl_search *")
    kept = ffi.from_buffer(b"a")
    subject = judging.Subject(Who("pump"))
    assert lib.nmq_acl_try(acl, subject.at, Act().bit(), slice_of(kept), search) == 0
    assert (search.best, search.who) == (0, ffi.NULL)
    lib.nmq_acl_unref(acl)
