"""Rules of one client alone are asked before those for all, by a view and without one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests._core_test import ffi, lib
from tests.judging import Act, Rule, compiled
from tests.unit.clib import slice_of

Rules = list[tuple[bool, str]]  # in order: allows or denies, and a topic
TOPICS = "abc"
SUBSCRIBE = Act("subscribe").bit()
RULES = st.lists(st.tuples(st.booleans(), st.sampled_from(TOPICS)), max_size=3)


def acl_of(rules: Rules, otherwise: bool) -> Any:
    about = [
        Rule(allow, ((topic, lib.NMQ_ACL_TOPIC_PLAIN),), publish=False)
        for allow, topic in rules
    ]
    made = compiled(about, otherwise)
    assert made != ffi.NULL
    return made


@contextmanager
def subject_of(own: Any) -> Iterator[Any]:
    kept = [ffi.from_buffer(b"id"), ffi.new("nmq_peer *")]
    subject = ffi.new("nmq_acl_subject *", {"peer": kept[1], "own": own})
    subject.client_id = slice_of(kept[0])
    yield subject
    lib.nmq_acl_unref(own)


def said(rules: Rules, topic: str) -> bool | None:
    return next((allow for allow, about in rules if about == topic), None)


def expected(
    own: Rules, own_otherwise: bool, rules: Rules, otherwise: bool, t: str
) -> bool:
    mine = said(own, t)
    if mine is None and not own_otherwise:
        return False
    if mine is not None:
        return mine
    general = said(rules, t)
    return otherwise if general is None else general


@given(RULES, st.booleans(), RULES, st.booleans())
def test_own_rules_come_first(
    own: Rules, own_otherwise: bool, rules: Rules, otherwise: bool
) -> None:
    acl = acl_of(rules, otherwise)
    view = ffi.new("nmq_acl_view *")
    with subject_of(acl_of(own, own_otherwise)) as subject:
        assert lib.nmq_acl_view_make(view, lib.nmq_acl_ref(acl), subject) == lib.NMQ_OK
        for topic in TOPICS:
            right = expected(own, own_otherwise, rules, otherwise, topic)
            at = slice_of(ffi.from_buffer(topic.encode()))
            assert bool(lib.nmq_acl_allows(view, SUBSCRIBE, at)) is right
            assert bool(lib.nmq_acl_permits(acl, subject, SUBSCRIBE, at)) is right
        lib.nmq_acl_view_free(view)
    lib.nmq_acl_unref(acl)


def test_own_rules_count_where_there_are_none_for_all() -> None:
    view = ffi.new("nmq_acl_view *")
    with subject_of(acl_of([(True, "a")], False)) as subject:
        assert lib.nmq_acl_view_make(view, ffi.NULL, subject) == lib.NMQ_OK
        for topic, right in (("a", True), ("b", False)):
            at = slice_of(ffi.from_buffer(topic.encode()))
            assert bool(lib.nmq_acl_allows(view, SUBSCRIBE, at)) is right
        lib.nmq_acl_view_free(view)


def test_superuser_needs_no_own_rules() -> None:
    view = ffi.new("nmq_acl_view *")
    with subject_of(acl_of([], False)) as subject:
        subject.superuser = True
        assert lib.nmq_acl_view_make(view, ffi.NULL, subject) == lib.NMQ_OK
        at = slice_of(ffi.from_buffer(b"a"))
        assert lib.nmq_acl_allows(view, SUBSCRIBE, at)
        assert lib.nmq_acl_permits(ffi.NULL, subject, SUBSCRIBE, at)
        lib.nmq_acl_view_free(view)


def test_view_that_cannot_be_made_denies_everything() -> None:
    live = lib.nmq_mem_live()
    for n in itertools.count():
        view = ffi.new("nmq_acl_view *")
        with subject_of(acl_of([(True, "a")], True)) as subject:
            acl = acl_of([(True, "a")], True)
            lib.nmq_mem_fail_after(n)
            status = lib.nmq_acl_view_make(view, acl, subject)
            lib.nmq_mem_fail_after(-1)
            at = slice_of(ffi.from_buffer(b"a"))
            allowed = bool(lib.nmq_acl_allows(view, SUBSCRIBE, at))
            assert allowed is (status == lib.NMQ_OK)
            lib.nmq_acl_view_free(view)
        assert lib.nmq_mem_live() == live
        if status == lib.NMQ_OK:
            break
        assert status == lib.NMQ_ENOMEM
    assert n > 1
