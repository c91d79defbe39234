"""What rules say of a client that has no view of them, and of one whose rules are none."""

from __future__ import annotations

from typing import Any

import pytest

from tests._core_test import ffi, lib
from tests.judging import PATTERN, Act, Rule, Subject, Who, allows, compiled, view_of
from tests.unit.clib import nothing_leaks, slice_of

PUMP = Who("pump", "ann")
RULES = [Rule(True, (("a", PATTERN),)), Rule(False, (("b", PATTERN),))]


def permits(acl: object, topic: str, subject: Subject) -> bool:
    kept = ffi.from_buffer(topic.encode())
    bit = Act("subscribe").bit()
    return bool(lib.nmq_acl_permits(acl, subject.at, bit, slice_of(kept)))


@pytest.mark.parametrize("otherwise", [False, True])
@pytest.mark.parametrize("asks", [False, True])
def test_client_without_rules_of_its_own_is_judged_by_those_for_all(
    otherwise: bool, asks: bool
) -> None:
    acl, subject = compiled(RULES, otherwise, asks), Subject(PUMP)
    assert permits(acl, "a", subject)
    assert not permits(acl, "b", subject)
    # what a server is to be asked about stays until it was asked
    assert permits(acl, "c", subject) is (otherwise or asks)
    lib.nmq_acl_unref(acl)


def test_client_is_denied_what_cannot_be_looked_up_without_memory() -> None:
    acl, subject = compiled(RULES, otherwise=True), Subject(PUMP)
    lib.nmq_mem_fail_after(0)
    permitted = permits(acl, "a", subject)
    lib.nmq_mem_fail_after(-1)
    assert not permitted
    assert permits(acl, "a", subject)
    lib.nmq_acl_unref(acl)


@pytest.mark.parametrize("otherwise", [False, True])
@pytest.mark.parametrize("asks", [False, True])
def test_view_says_what_becomes_of_what_no_rule_decides(
    otherwise: bool, asks: bool
) -> None:
    view, subject = ffi.new("nmq_acl_view *"), Subject(PUMP)
    acl = compiled(RULES, otherwise, asks)
    assert lib.nmq_acl_view_make(view, acl, subject.at) == 0
    assert bool(lib.nmq_acl_asks(view)) is asks
    assert bool(lib.nmq_acl_otherwise(view)) is otherwise
    lib.nmq_acl_view_free(view)


def test_view_of_no_rules_allows_and_asks_nobody() -> None:
    view, subject = ffi.new("nmq_acl_view *"), Subject(PUMP)
    assert lib.nmq_acl_view_make(view, ffi.NULL, subject.at) == 0
    assert not lib.nmq_acl_asks(view)
    assert lib.nmq_acl_otherwise(view)
    assert not lib.nmq_acl_disconnects(view)
    assert permits(ffi.NULL, "b", subject)
    lib.nmq_acl_view_free(view)


@pytest.mark.parametrize("disconnects", [False, True])
def test_view_says_whether_who_is_denied_is_disconnected(disconnects: bool) -> None:
    view, subject = ffi.new("nmq_acl_view *"), Subject(PUMP)
    acl = compiled(RULES, disconnects=disconnects)
    assert lib.nmq_acl_view_make(view, acl, subject.at) == 0
    assert bool(lib.nmq_acl_disconnects(view)) is disconnects
    lib.nmq_acl_view_free(view)


def test_view_with_all_that_it_can_have_leaves_nothing_behind() -> None:
    rules = [
        Rule(True, (("a/%i", PATTERN),)),
        Rule(True, (("b", PATTERN),), client_id=PUMP.client_id),
        Rule(True, (("c", PATTERN),), user_name=PUMP.user_name),
        Rule(True, (("d", PATTERN),), network="127.0.0.0/8"),
    ]
    with nothing_leaks(), view_of(rules, PUMP) as view:
        assert view.count == len(rules)
        for topic in ("a/127.0.0.1", "b", "c", "d"):
            assert judged(view, SUBSCRIBES, topic) == ALLOW
        assert judged(view, SUBSCRIBES, "a/127.0.0.2") == lib.NMQ_ACCESS_PASS


def test_view_of_a_superuser_keeps_no_rules() -> None:
    view, subject = ffi.new("nmq_acl_view *"), Subject(PUMP)
    subject.at.superuser = True
    with nothing_leaks():
        assert lib.nmq_acl_view_make(view, compiled(RULES), subject.at) == 0
        assert allows(view, SUBSCRIBES, "b")
        assert view.acl == ffi.NULL


@pytest.mark.parametrize("user", [None, "ann"])
def test_view_knows_the_names_of_its_client(user: str | None) -> None:
    rules = [Rule(True, ((f"{mark}/%{mark}", PATTERN),)) for mark in "cui"]
    with view_of(rules, Who("pump", user, "10.0.0.7")) as view:
        assert judged(view, SUBSCRIBES, "c/pump") == ALLOW
        assert (judged(view, SUBSCRIBES, "u/ann") == ALLOW) is (user is not None)
        assert judged(view, SUBSCRIBES, "i/10.0.0.7") == ALLOW
    with view_of(rules[:2], PUMP) as view:
        assert view.who.address.at == ffi.NULL  # nobody asks for it: it costs nothing


@pytest.mark.parametrize("fail", ["nmq_mem_fail_after", "nmq_mem_fail_once"])
def test_view_is_complete_or_denies_everything_when_memory_is_out(fail: str) -> None:
    rules = [
        Rule(False, (("a", PATTERN), ("a/%i", PATTERN))),
        Rule(False, (("b/%u", PATTERN),), user_name="ann"),
        Rule(False, (("c/%c", PATTERN),), client_id="pump"),
    ]
    marks = [f"own/%{mark}" for mark in "cui"]
    own = Rule(False, tuple((topic, PATTERN) for topic in ["own", *marks]))
    denied = ["own", "own/pump", "own/ann", "own/127.0.0.1"]
    denied += ["a", "a/127.0.0.1", "b/ann", "c/pump"]
    for n in range(200):
        view, subject = ffi.new("nmq_acl_view *"), Subject(PUMP)
        with nothing_leaks():
            subject.at.own = compiled([own], otherwise=True)
            acl = compiled(rules, otherwise=True)
            getattr(lib, fail)(n)
            status = lib.nmq_acl_view_make(view, acl, subject.at)
            lib.nmq_mem_fail_after(-1)
            assert not any(allows(view, SUBSCRIBES, topic) for topic in denied)
            assert allows(view, SUBSCRIBES, "x") is (status == lib.NMQ_OK)
            lib.nmq_acl_view_free(view)
            lib.nmq_acl_unref(subject.at.own)
        if status == lib.NMQ_OK:
            break
        assert status == lib.NMQ_ENOMEM
    else:
        pytest.fail("with all memory there is, it denies")


# --- what a rule is about

ALLOW, DENY = lib.NMQ_ACCESS_ALLOW, lib.NMQ_ACCESS_DENY
PUBLISHES, SUBSCRIBES, RETAINS = (
    Act("publish"),
    Act("subscribe"),
    Act("publish", retain=True),
)


def judged(view: Any, act: Act, topic: str) -> int:
    kept = ffi.from_buffer(topic.encode())
    return int(lib.nmq_acl_judge(view, act.bit(), slice_of(kept)))


@pytest.mark.parametrize(
    ("qos", "retain"),
    [
        ((), ()),
        ((), (False,)),
        ((), (True,)),
        ((0,), ()),
        ((1,), (False,)),
        ((2,), (True,)),
    ],
)
def test_rule_is_about_the_qos_and_retain_that_it_names_and_about_all_without(
    qos: tuple[int, ...], retain: tuple[bool, ...]
) -> None:
    rule = Rule(
        True, (("a", PATTERN),), qos=frozenset(qos), retain=frozenset(retain)
    )  # an empty set: nothing is said
    with view_of([rule], PUMP) as view:
        for each in range(3):
            asked = judged(view, Act("subscribe", qos=each), "a")
            assert (asked == ALLOW) is (not qos or each in qos)
            for flag in (False, True):
                asked = judged(view, Act("publish", qos=each, retain=flag), "a")
                named = (not qos or each in qos) and (not retain or flag in retain)
                assert (asked == ALLOW) is named


# --- what is remembered of the packet before

LONGEST = "x" * 60


@pytest.mark.parametrize(
    ("before", "then"),
    [
        ((PUBLISHES, "a"), (PUBLISHES, "b")),
        ((PUBLISHES, "a"), (PUBLISHES, "ab")),
        ((PUBLISHES, "ab"), (PUBLISHES, "a")),
        ((PUBLISHES, "a"), (SUBSCRIBES, "a")),
        ((PUBLISHES, "a"), (RETAINS, "a")),
        ((PUBLISHES, LONGEST), (PUBLISHES, LONGEST[1:] + "y")),
        ((PUBLISHES, LONGEST), (PUBLISHES, LONGEST + "x")),
        ((PUBLISHES, LONGEST + "x"), (PUBLISHES, LONGEST + "y")),
        ((PUBLISHES, "x" * 257), (PUBLISHES, "x")),
    ],
)
def test_answer_is_that_of_its_own_topic_and_act(
    before: tuple[Act, str], then: tuple[Act, str]
) -> None:
    act, topic = before
    rule = Rule(True, ((topic, PATTERN),), subscribe=False, retain=frozenset({act.retain}))
    with view_of([rule], PUMP) as view:
        for _ in range(2):
            assert judged(view, *before) == ALLOW
            assert judged(view, *then) == lib.NMQ_ACCESS_PASS
            assert judged(view, *then) == lib.NMQ_ACCESS_PASS


@pytest.mark.parametrize(("topic", "is_kept"), [(LONGEST, True), (LONGEST + "x", False)])
def test_topic_of_the_packet_before_is_not_looked_up_again(
    topic: str, is_kept: bool
) -> None:
    with view_of([Rule(True, ((topic, PATTERN),))], PUMP) as view:
        assert judged(view, PUBLISHES, topic) == ALLOW
        view.count = 0  # as if there were no rules
        again = judged(view, PUBLISHES, topic)
        view.count = 1
        assert again == (ALLOW if is_kept else lib.NMQ_ACCESS_PASS)


def test_view_that_is_made_anew_remembers_nothing() -> None:
    subject = Subject(PUMP)
    with view_of(RULES, PUMP) as view:
        assert judged(view, PUBLISHES, "a") == ALLOW
        acl = compiled([Rule(False, (("a", PATTERN),))], otherwise=True)
        assert lib.nmq_acl_view_make(view, acl, subject.at) == 0
        assert judged(view, PUBLISHES, "a") == DENY
