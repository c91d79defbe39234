"""What `nanomq acl test` answers: acl_trial.h for rules alone, acl_tried.h for a client."""

from __future__ import annotations

from typing import Any

import pytest

from tests._core_test import ffi, lib
from tests.judging import PATTERN, Act, Rule, Subject, Who, compiled
from tests.unit.clib import nothing_leaks, slice_of


def one(topic: str, network: str | None = None, user_name: str | None = None) -> Rule:
    return Rule(True, ((topic, PATTERN),), network=network, user_name=user_name)


def trial_of(topic: bytes, kept: list[Any], **more: object) -> Any:
    kept += [ffi.new("char[]", b"pump"), ffi.new("char[]", topic)]
    return ffi.new("nmq_acl_trial *", {"client_id": kept[-2], "topic": kept[-1], **more})


@pytest.mark.parametrize(
    ("topic", "publish", "status"),
    [
        (b"b", True, lib.NMQ_OK),
        (b"b", False, lib.NMQ_OK),
        (b"$share/g/b", False, lib.NMQ_OK),
        (b"c", True, lib.NMQ_ENOENT),
        (b"+", True, lib.NMQ_ETOPIC),
        (b"#/a", False, lib.NMQ_EFILTER),
    ],
)
def test_trial_names_the_rule_that_decides(
    topic: bytes, publish: bool, status: int
) -> None:
    kept: list[Any] = []
    acl, number = compiled([one("a"), one("b")]), ffi.new("uint32_t *", 7)
    trial = trial_of(topic, kept, publish=publish)
    assert lib.nmq_acl_trial_run(acl, trial, number) == status
    assert number[0] == (1 if status == lib.NMQ_OK else 7)
    lib.nmq_acl_unref(acl)


def test_trial_without_rules_has_none_that_decides() -> None:
    kept: list[Any] = []
    number = ffi.new("uint32_t *")
    trial = trial_of(b"a", kept, publish=True)
    assert lib.nmq_acl_trial_run(ffi.NULL, trial, number) == lib.NMQ_ENOENT
    trial = trial_of(b"+", kept, publish=True)
    assert lib.nmq_acl_trial_run(ffi.NULL, trial, number) == lib.NMQ_ETOPIC


def test_trial_without_memory_says_so() -> None:
    kept: list[Any] = []
    acl, number = compiled([one("a")]), ffi.new("uint32_t *")
    trial = trial_of(b"a", kept, publish=True)
    lib.nmq_mem_fail_after(0)
    status = lib.nmq_acl_trial_run(acl, trial, number)
    lib.nmq_mem_fail_after(-1)
    assert status == lib.NMQ_ENOMEM
    lib.nmq_acl_unref(acl)


def test_trial_is_of_a_client_with_its_user_and_address() -> None:
    rules = [one("a", user_name="ann"), one("a", network="10.0.0.7/32"), one("a")]
    acl, kept, number = compiled(rules), [ffi.new("char[]", b"ann")], ffi.new("uint32_t *")
    for more, expected in (
        ({"user_name": kept[0]}, 0),
        ({"address": bytes([10, 0, 0, 7]), "address_len": 4}, 1),
        ({"address": bytes([10, 0, 0, 8]), "address_len": 4}, 2),
        ({}, 2),
    ):
        trial = trial_of(b"a", kept, publish=True, **more)
        assert lib.nmq_acl_trial_run(acl, trial, number) == lib.NMQ_OK
        assert number[0] == expected
    lib.nmq_acl_unref(acl)


@pytest.mark.parametrize("publish", [False, True])
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("retain", [False, True])
def test_trial_is_of_what_the_client_does(publish: bool, qos: int, retain: bool) -> None:
    kept: list[Any] = []
    tried = ffi.new("nmq_acl_tried *")
    trial = trial_of(b"a", kept, publish=publish, qos=qos, retain=retain)
    assert lib.nmq_acl_tried_read(trial, tried) == lib.NMQ_OK
    assert tried.act == Act("publish" if publish else "subscribe", qos, retain).bit()


# --- acl_tried.h

ALLOW, DENY, LATER = lib.NMQ_ACCESS_ALLOW, lib.NMQ_ACCESS_DENY, lib.NMQ_ACCESS_LATER
SUPERUSER, OWN = lib.NMQ_DECIDER_SUPERUSER, lib.NMQ_DECIDER_OWN
RULE, NONE = lib.NMQ_DECIDER_RULE, lib.NMQ_DECIDER_NONE
RULES = [one("x"), one("a"), Rule(False, (("b", PATTERN),))]
MINE = [one("y"), one("z"), one("b"), Rule(False, (("a", PATTERN),))]
# otherwise and asks of the rules, None: there are none; own rules and their otherwise
Case = tuple[tuple[bool, bool] | None, tuple[list[Rule], bool] | None, str]


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (((False, False), None, "a"), (ALLOW, RULE, 1)),
        (((True, True), None, "b"), (DENY, RULE, 2)),
        (((False, False), None, "c"), (DENY, NONE, 0)),
        (((True, False), None, "c"), (ALLOW, NONE, 0)),
        (((False, True), None, "c"), (LATER, NONE, 0)),
        (((True, True), None, "c"), (LATER, NONE, 0)),
        ((None, None, "c"), (ALLOW, NONE, 0)),
        (((False, False), (MINE, True), "a"), (DENY, OWN, 3)),
        (((False, False), (MINE, True), "b"), (ALLOW, OWN, 2)),
        (((False, False), (MINE, True), "x"), (ALLOW, RULE, 0)),
        (((False, True), (MINE, True), "c"), (LATER, NONE, 0)),
        (((True, False), (MINE, False), "b"), (ALLOW, OWN, 2)),
        (((True, False), (MINE, False), "x"), (DENY, OWN, 0)),
        (((True, True), (MINE, False), "c"), (DENY, OWN, 0)),
        ((None, (MINE, True), "c"), (ALLOW, NONE, 0)),
        ((None, (MINE, False), "c"), (DENY, OWN, 0)),
    ],
)
@pytest.mark.parametrize("superuser", [False, True])
def test_ruling_names_who_decides(
    case: Case, expected: tuple[int, int, int], superuser: bool
) -> None:
    for_all, own, topic = case
    subject, out = Subject(Who("pump")), ffi.new("nmq_acl_ruling *")
    kept = ffi.from_buffer(topic.encode())
    tried = ffi.new("nmq_acl_tried *", {"act": Act().bit(), "topic": slice_of(kept)})
    with nothing_leaks():
        acl = ffi.NULL if for_all is None else compiled(RULES, *for_all)
        subject.at.own = ffi.NULL if own is None else compiled(*own)
        subject.at.superuser = superuser
        assert lib.nmq_acl_tried_rule(acl, subject.at, tried, out) == lib.NMQ_OK
        found = (out.access, out.by, out.rule)
        assert found == ((ALLOW, SUPERUSER, 0) if superuser else expected)
        assert bool(out.otherwise) is (for_all is None or for_all[0])
        lib.nmq_acl_unref(acl)
        lib.nmq_acl_unref(subject.at.own)


@pytest.mark.parametrize("own", [False, True])
def test_ruling_without_memory_is_none(own: bool) -> None:
    subject, out = Subject(Who("pump")), ffi.new("nmq_acl_ruling *", {"rule": 7})
    kept = ffi.from_buffer(b"a")
    tried = ffi.new("nmq_acl_tried *", {"act": Act().bit(), "topic": slice_of(kept)})
    acl = compiled(RULES, otherwise=True)
    subject.at.own = acl if own else ffi.NULL
    lib.nmq_mem_fail_once(0)
    status = lib.nmq_acl_tried_rule(acl, subject.at, tried, out)
    lib.nmq_mem_fail_after(-1)
    assert (status, out.rule) == (lib.NMQ_ENOMEM, 7)
    lib.nmq_acl_unref(acl)
