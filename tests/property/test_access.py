"""Which filters a rule's topic covers, against the topics themselves."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from tests._core_test import ffi, lib
from tests.property.test_matching import matches
from tests.unit.clib import slice_of

NAMES = ["", "a", "b", "$x"]
TOPICS = [
    "/".join(levels)
    for count in (1, 2, 3)
    for levels in itertools.product(NAMES, repeat=count)
    if any(levels) or count > 1
]
FILTERS = (
    st.lists(st.sampled_from([*NAMES, "+"]), min_size=1, max_size=3)
    .flatmap(
        lambda levels: st.sampled_from(["/".join(levels), "/".join([*levels, "#"]), "#"])
    )
    .filter(bool)
)


def matched(filter_: str, topic: str) -> bool:
    return matches(filter_.split("/"), topic.split("/"))


def covers(pattern: str, text: str) -> bool:
    kept = [ffi.from_buffer(pattern.encode()), ffi.from_buffer(text.encode())]
    view = ffi.new("nmq_acl_view *")
    return bool(lib.nmq_acl_covers(slice_of(kept[0]), slice_of(kept[1]), view))


@given(FILTERS, st.sampled_from(TOPICS))
def test_pattern_covers_the_topics_that_it_matches(pattern: str, topic: str) -> None:
    assert covers(pattern, topic) == matched(pattern, topic)


@given(FILTERS, FILTERS)
def test_pattern_that_covers_a_filter_matches_all_that_the_filter_does(
    pattern: str, filter_: str
) -> None:
    if covers(pattern, filter_):
        assert all(matched(pattern, t) for t in TOPICS if matched(filter_, t))
