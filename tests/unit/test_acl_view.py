"""What rules say of a client that has no view of them, and of one whose rules are none."""

from __future__ import annotations

import pytest

from tests._core_test import ffi, lib
from tests.judging import PATTERN, Act, Rule, Subject, Who, compiled
from tests.unit.clib import slice_of

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
    assert permits(ffi.NULL, "b", subject)
    lib.nmq_acl_view_free(view)
