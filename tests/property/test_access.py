"""Which filters a rule's topic covers and meets, against the topics themselves."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from tests._core_test import ffi, lib
from tests.property.test_matching import matches
from tests.unit.clib import slice_of

NAMES = ["", "a", "b", "$x"]


def topics_of(names: list[str]) -> list[str]:
    return [
        "/".join(levels)
        for count in (1, 2, 3)
        for levels in itertools.product(names, repeat=count)
        if any(levels) or count > 1
    ]


TOPICS = topics_of(NAMES)
FILTERS = (
    st.lists(st.sampled_from([*NAMES, "+"]), min_size=1, max_size=3)
    .flatmap(
        lambda levels: st.sampled_from(["/".join(levels), "/".join([*levels, "#"]), "#"])
    )
    .filter(bool)
)


def matched(filter_: str, topic: str) -> bool:
    return matches(filter_.split("/"), topic.split("/"))


# Client identifiers and user names: plain ones, and those that would be more than a level.
WHO = st.sampled_from(
    ["a", "b", "c", "", "+", "#", "a/b", "/", "$x", "$share", "%c", "a+", "b#"]
)
PATTERNS = (
    st.lists(st.sampled_from([*NAMES, "+", "%c", "%u"]), min_size=1, max_size=3)
    .flatmap(
        lambda levels: st.sampled_from(["/".join(levels), "/".join([*levels, "#"]), "#"])
    )
    .filter(bool)
)
NOBODY = (None, None)
Who = tuple[str | None, str | None]


class View:
    """Access rules as a client with that identifier and user name sees them."""

    def __init__(self, who: Who = NOBODY) -> None:
        self._kept = [ffi.new("char[]", name.encode()) for name in who if name is not None]
        self.at = ffi.new("nmq_acl_view *")
        kept = iter(self._kept)
        for field, name in zip(("client_id", "user_name"), who, strict=True):
            if name is not None:
                slice_ = getattr(self.at, field)
                slice_.at, slice_.len = (
                    ffi.cast("uint8_t *", next(kept)),
                    len(name.encode()),
                )


def _says(ask: Any, pattern: str, text: str, who: Who) -> bool:
    kept = [ffi.from_buffer(pattern.encode()), ffi.from_buffer(text.encode())]
    view = View(who)
    return bool(ask(slice_of(kept[0]), slice_of(kept[1]), view.at))


def covers(pattern: str, text: str, who: Who = NOBODY) -> bool:
    return _says(lib.nmq_acl_covers, pattern, text, who)


def meets(pattern: str, text: str, who: Who = NOBODY) -> bool:
    return _says(lib.nmq_acl_meets, pattern, text, who)


def stands_for(pattern: str, topic: str, who: Who) -> bool:
    """Say whether the topic is one of those that the pattern stands for, by the document."""
    names = dict(zip(("%c", "%u"), who, strict=True))
    levels = pattern.split("/")
    for at, level in enumerate(levels):
        name = names.get(level, level)
        if level in names and (not name or set(name) & set("/+#")):
            return False
        if level in names and at == 0 and name is not None and name.startswith("$"):
            return False
        levels[at] = name or ""
    return matches(levels, topic.split("/"))


@given(FILTERS, st.sampled_from(TOPICS))
def test_pattern_covers_the_topics_that_it_matches(pattern: str, topic: str) -> None:
    assert covers(pattern, topic) == matched(pattern, topic) == meets(pattern, topic)


@given(FILTERS, FILTERS)
def test_pattern_that_covers_a_filter_matches_all_that_the_filter_does(
    pattern: str, filter_: str
) -> None:
    if covers(pattern, filter_):
        assert all(matched(pattern, t) for t in TOPICS if matched(filter_, t))


@example("/#", "+")
@given(FILTERS, FILTERS)
def test_pattern_meets_a_filter_that_has_a_topic_in_common(
    pattern: str, filter_: str
) -> None:
    common = [t for t in TOPICS if matched(pattern, t) and matched(filter_, t)]
    assert meets(pattern, filter_) == bool(common)


@example("%c/#", "+/#", "+", None)
@example("a/%c/#", "a/+/#", "+", None)
@example("a/%u", "a/#", "c", "#")
@example("a/%u", "a/", "c", "")
@example("%c/#", "$x/#", "$x", None)
@given(PATTERNS, FILTERS, WHO, st.none() | WHO)
def test_nobody_is_granted_a_filter_that_matches_a_topic_outside_his_names(
    pattern: str, filter_: str, client_id: str, user_name: str | None
) -> None:
    who = (client_id, user_name)
    plain = {name for name in who if name and not set(name) & set("/+#")}
    topics = topics_of(sorted({*NAMES, *plain}))
    own = {t for t in topics if stands_for(pattern, t, who)}
    wanted = {t for t in topics if matched(filter_, t)}
    if covers(pattern, filter_, who):
        assert wanted <= own
    assert meets(pattern, filter_, who) == bool(wanted & own)


RULES = st.lists(st.tuples(st.booleans(), PATTERNS), max_size=4)


def first_word(
    rules: list[tuple[bool, str]], topic: str, who: Who, otherwise: bool
) -> bool:
    return next((allow for allow, p in rules if stands_for(p, topic, who)), otherwise)


@example([(False, "a/#")], True, "#", "c", None)
@example([(True, "b/+"), (False, "a/%c")], True, "a/+", "b", None)
@given(RULES, st.booleans(), FILTERS, WHO, st.none() | WHO)
def test_whoever_is_granted_a_filter_may_have_each_topic_of_it(
    rules: list[tuple[bool, str]],
    otherwise: bool,
    filter_: str,
    client_id: str,
    user_name: str | None,
) -> None:
    who = (client_id, user_name)
    with acl_view(rules, otherwise, who) as view:
        granted = allows(view, filter_)
        for topic in TOPICS:
            assert allows(view, topic) == first_word(rules, topic, who, otherwise)
            if granted and matched(filter_, topic):
                assert allows(view, topic)


def allows(view: Any, topic: str) -> bool:
    kept = ffi.from_buffer(topic.encode())
    return bool(lib.nmq_acl_allows(view, lib.NMQ_ACL_SUBSCRIBE, slice_of(kept)))


@contextmanager
def acl_view(rules: list[tuple[bool, str]], otherwise: bool, who: Who) -> Iterator[Any]:
    kept = [ffi.new("char[]", pattern.encode()) for _, pattern in rules]
    topics = [ffi.new("char *[]", [text]) for text in kept]
    raw = ffi.new("nmq_acl_rule[]", len(rules))
    for rule, (allow, _), list_ in zip(raw, rules, topics, strict=True):
        rule.allow, rule.subscribe, rule.topics, rule.topic_count = allow, True, list_, 1
    given_ = ffi.new(
        "nmq_acl_rules *", {"at": raw, "count": len(raw), "otherwise": otherwise}
    )
    peer = ffi.new("nmq_peer *")
    subject = ffi.new("nmq_acl_subject *", {"peer": peer})
    named = View(who)
    subject.client_id, subject.user_name = named.at.client_id, named.at.user_name
    view = ffi.new("nmq_acl_view *")
    assert lib.nmq_acl_view_make(view, lib.nmq_acl_new(given_), subject) == 0
    try:
        yield view
    finally:
        lib.nmq_acl_view_free(view)
