"""Which rule decides: the core's index against a list, and against the topics themselves."""

from __future__ import annotations

import itertools
from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from tests import judging
from tests.judging import LITERAL, PATTERN, PLAIN, Act, Rule, Who, allows, view_of
from tests.property.test_matching import matches
from tests.unit.clib import fail_each_allocation, nothing_leaks

NAMES = ["", "a", "b", "$x"]


def topics_of(names: list[str]) -> list[str]:
    return [
        "/".join(levels)
        for count in (1, 2, 3)
        for levels in itertools.product(names, repeat=count)
        if any(levels) or count > 1
    ]


TOPICS = topics_of(NAMES)


def filters_of(names: list[str]) -> st.SearchStrategy[str]:
    return (
        st.lists(st.sampled_from([*names, "+"]), min_size=1, max_size=3)
        .flatmap(
            lambda levels: st.sampled_from(
                ["/".join(levels), "/".join([*levels, "#"]), "#"]
            )
        )
        .filter(bool)
    )


FILTERS = filters_of(NAMES)


def matched(filter_: str, topic: str) -> bool:
    return matches(filter_.split("/"), topic.split("/"))


# Client identifiers and user names: plain ones, and those that would be more than a level.
WHO = st.sampled_from(
    ["a", "b", "c", "", "+", "#", "a/b", "/", "$x", "$share", "%c", "a+", "b#"]
)
PATTERNS = filters_of([*NAMES, "%c", "%u", "%i", "a%c", "$%u", "%c%u", "%"])
NOBODY = Who()


def says(allow: bool, pattern: str, text: str, who: Who) -> bool:
    """Say whether such a rule applies to the subscription."""
    rule = Rule(allow, ((pattern, PATTERN),))
    return judging.decided([rule], who, Act(), text) is not None


def covers(pattern: str, text: str, who: Who = NOBODY) -> bool:
    return says(True, pattern, text, who)


def meets(pattern: str, text: str, who: Who = NOBODY) -> bool:
    return says(False, pattern, text, who)


def stands_for(pattern: str, topic: str, who: Who) -> bool:
    """Say whether the topic is one of those that the pattern stands for, by the document."""
    text = judging.spelled(pattern, who)
    return text is not None and matched(text, topic)


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


def test_every_short_pattern_with_every_short_filter() -> None:
    levels = ["", "a", "$x", "+"]
    short = [[one] for one in levels] + [[a, b] for a in levels for b in levels]
    filters = ["#", *map("/".join, short[1:]), *("/".join([*s, "#"]) for s in short)]
    topics = {f: {t for t in TOPICS if matched(f, t)} for f in filters}
    for pattern, filter_ in itertools.product(filters, filters):
        common = topics[pattern] & topics[filter_]
        assert meets(pattern, filter_) == bool(common), (pattern, filter_)
        covered = judging.is_about(True, pattern, PATTERN, NOBODY, Act(), filter_)
        assert covers(pattern, filter_) == covered, (pattern, filter_)
        assert not covered or topics[filter_] <= topics[pattern], (pattern, filter_)


@example("%c/#", "+/#", "+", None)
@example("a/%c/#", "a/+/#", "+", None)
@example("a/%u", "a/#", "c", "#")
@example("a/%u", "a/", "c", "")
@example("%c/#", "$x/#", "$x", None)
@example("$%u/b", "+/b", "c", "x")
@example("/%c%u", "/#", "$x", "a")
@given(PATTERNS, FILTERS, WHO, st.none() | WHO)
def test_nobody_is_granted_a_filter_that_matches_a_topic_outside_his_names(
    pattern: str, filter_: str, client_id: str, user_name: str | None
) -> None:
    who = Who(client_id, user_name)
    levels = set((judging.spelled(pattern, who) or "").split("/"))
    topics = topics_of(sorted({*NAMES, *levels - {"+", "#"}}))
    own = {t for t in topics if stands_for(pattern, t, who)}
    wanted = {t for t in topics if matched(filter_, t)}
    if covers(pattern, filter_, who):
        assert wanted <= own
    assert meets(pattern, filter_, who) == bool(wanted & own)


# --- many rules

PEOPLE = st.builds(
    Who,
    client_id=WHO,
    user_name=st.none() | WHO.filter(bool),
    address=st.sampled_from(["127.0.0.1", "10.0.0.7", "10.1.0.7", "::1", "2001:db8::7"]),
)
ACTS = st.builds(
    Act,
    kind=st.sampled_from(["publish", "subscribe", "subscribe", "hear"]),
    qos=st.integers(0, 2),
    retain=st.booleans(),
)
KINDS = st.sampled_from([PATTERN, PATTERN, PLAIN, LITERAL])
RULES = st.builds(
    Rule,
    allow=st.booleans(),
    topics=st.lists(st.tuples(PATTERNS, KINDS), max_size=3).map(tuple),
    publish=st.booleans(),
    subscribe=st.sampled_from([True, True, False]),
    client_id=st.none() | WHO,
    user_name=st.none() | WHO,
    network=st.none()
    | st.sampled_from(["10.0.0.7/32", "10.0.0.0/15", "0.0.0.0/0", "::/0", "2001:db8::/33"]),
    qos=st.sets(st.integers(0, 2), min_size=1).map(frozenset),
    retain=st.sets(st.booleans(), min_size=1).map(frozenset),
)


def asked_of(act: Act, topic: str) -> str:
    """Return a topic that such an act can have: a filter only where one subscribes."""
    return topic if act.kind == "subscribe" else topic.replace("+", "a").replace("#", "b")


def test_every_kind_of_condition_for_every_kind_of_client() -> None:
    networks = [None, "10.0.0.7/32", "10.0.0.0/15", "10.4.0.0/14", "0.0.0.0/0", "::/0",
                "2001:db8::/33", "2001:db8::7/128"]  # fmt: skip
    addresses = ["10.0.0.7", "10.0.0.6", "10.1.0.7", "10.2.0.7", "10.7.0.7", "::1",
                 "11.1.0.7", "14.4.0.7", "2001:db8::7", "2001:db8:8000::7",
                 "2001:db9::7"]  # fmt: skip
    conditions = itertools.product([None, "a", "ab", ""], [None, "", "b", "bc"], networks)
    rules = [
        Rule(n % 2 == 0, ((f"t/{n}", PATTERN),), client_id=c, user_name=u, network=network)
        for n, (c, u, network) in enumerate(conditions)
    ]
    acl = judging.compiled(rules)
    for client_id, user, address in itertools.product(
        ["a", "ab", "c"], [None, "b", "bc", "c"], addresses
    ):
        who = Who(client_id, user, address)
        for n, rule in enumerate(rules):
            found = judging.tried(acl, who, Act(), f"t/{n}")
            assert found == ((n, rule.allow) if judging.names(rule, who) else None)
    judging.lib.nmq_acl_unref(acl)


def one(allow: bool, pattern: str, kind: int = PATTERN) -> Rule:
    return Rule(allow, ((pattern, kind),))


# A name that looks like a mark, and a mark, on one level; each is not the other.
@example([one(True, "a/%c", PLAIN), one(False, "a/%c")], Who("x"), Act(), "a/x")
@example([one(False, "a/%c"), one(True, "a/%c", PLAIN)], Who("x"), Act(), "a/%c")
@example([one(False, "a/%c")], Who("x"), Act(), "a/%c")
@example([Rule(True, (("a", PATTERN),), retain=frozenset({False}))], NOBODY,
         Act("publish", retain=True), "a")  # fmt: skip
@example([one(False, "a/%i")], Who(address="10.0.0.7"), Act(), "a/10.0.0.7")
# A rule that comes later stands where an earlier one has led.
@example([one(False, "a/x"), one(True, "#"), one(False, "a")], Who("x"), Act(), "a")
@given(st.lists(RULES, max_size=8), PEOPLE, ACTS, PATTERNS)
def test_index_finds_the_rule_that_a_list_finds(
    rules: list[Rule], who: Who, act: Act, topic: str
) -> None:
    topic = asked_of(act, topic)
    found = judging.deciding(rules, who, act, topic)
    assert judging.decided(rules, who, act, topic) == found
    with view_of(rules, who, otherwise=True) as view:
        assert allows(view, act, topic) == (found is None or rules[found].allow)


FEW = st.lists(
    st.builds(
        Rule,
        allow=st.booleans(),
        topics=st.lists(st.tuples(FILTERS, KINDS), min_size=1, max_size=2).map(tuple),
    ),
    min_size=1,
    max_size=40,
)


@given(FEW, FILTERS, ACTS)
def test_index_of_many_rules_for_everybody_finds_the_first(
    rules: list[Rule], topic: str, act: Act
) -> None:
    topic = asked_of(act, topic)
    found = judging.deciding(rules, NOBODY, act, topic)
    assert judging.decided(rules, NOBODY, act, topic) == found


@example([Rule(False, (("a/#", PATTERN),))], True, "#", Who("b"), 0)
@example(
    [Rule(True, (("b/+", PATTERN),)), Rule(False, (("a/%c", PATTERN),))],
    True,
    "a/+",
    Who("b"),
    0,
)
@example(
    [Rule(False, (("a", PATTERN),), qos=frozenset({2})), Rule(True, (("#", PATTERN),))],
    False,
    "a",
    NOBODY,
    1,
)
@given(st.lists(RULES, max_size=6), st.booleans(), FILTERS, PEOPLE, st.integers(0, 2))
def test_whoever_is_granted_a_filter_may_have_each_topic_of_it(
    rules: list[Rule], otherwise: bool, filter_: str, who: Who, qos: int
) -> None:
    # A filter that is named literally says nothing about the topics that it matches.
    plain = [
        replace(r, topics=tuple((t, PATTERN if k == LITERAL else k) for t, k in r.topics))
        for r in rules
    ]
    act = Act(qos=qos)
    with (
        view_of(rules, who, otherwise) as view,
        view_of(plain, who, otherwise) as all_plain,
    ):
        granted, granted_plain = allows(view, act, filter_), allows(all_plain, act, filter_)
        for topic in (t for t in TOPICS if matched(filter_, t)):
            if granted_plain:
                assert allows(all_plain, act, topic)
                assert allows(all_plain, Act("hear"), topic)
            if granted:
                assert allows(view, Act("hear"), topic)


SEVERAL = [
    Rule(True, (("a/+", PATTERN), ("a/+", LITERAL), ("b/%i", PATTERN)), user_name="u"),
    Rule(False, (("a/b/c", PATTERN), ("a/#", PATTERN)), network="127.0.0.0/8"),
    Rule(False, (("#", PATTERN),), client_id="c", user_name=""),
]


def test_rules_without_memory_leave_nothing_behind() -> None:
    def make() -> int:
        made.append(judging.compiled(SEVERAL))
        return 0 if made[-1] != judging.ffi.NULL else -1

    made: list[object] = []
    with nothing_leaks():
        assert fail_each_allocation(make, lambda: None) == 0
        judging.lib.nmq_acl_unref(made[-1])


def test_view_without_memory_denies_everything() -> None:
    view, subject = judging.ffi.new("nmq_acl_view *"), judging.Subject(Who("x", "u"))
    with nothing_leaks():
        acl = judging.compiled(SEVERAL, otherwise=True)
        judging.lib.nmq_mem_fail_after(2)
        made = judging.lib.nmq_acl_view_make(view, acl, subject.at)
        judging.lib.nmq_mem_fail_after(-1)
        assert made == -1
        assert not allows(view, Act(), "x")
        judging.lib.nmq_acl_view_free(view)
