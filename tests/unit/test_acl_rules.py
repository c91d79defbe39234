"""acl.rule.N as rules of the core."""

from __future__ import annotations

import pytest

from nanomq_py.auth.acl import for_whom, rules_of_one
from nanomq_py.config import parse
from nanomq_py.config.keys.access import MOST_LEVELS, AclRule, is_filter
from nanomq_py.core.records import RuleTopic
from tests._core_test import lib


@pytest.mark.parametrize(
    ("qos", "expected"),
    [
        ("1", {1}), ("[2,0]", {0, 2}), ('"<=1"', {0, 1}), ('">= 1"', {1, 2}), ('"=2"', {2}),
        ('"<=0"', {0}), ("[0,1,2]", set()), ('"<=2"', set()),
    ],
)  # fmt: skip
def test_qos_of_a_rule(qos: str, expected: set[int]) -> None:
    config = parse(f'acl.rule.1={{"permit":"deny","qos":{qos}}}', "x.conf")
    assert rules_of_one(config.acl_rules[0])[0].qos == expected


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ('"username":"u"', [("u", None, None)]),
        ('"or":[{"username":"u"},{"clientid":"c"},{"username":"u"}]',
         [("u", None, None), (None, "c", None)]),
        ('"and":[{"username":"#"},{"clientid":"c"}]', [(None, "c", None)]),
        ('"username":"u","and":[{"username":"u"},{"ipaddr":"10.1.0.0/16"},'
         '{"ipaddr":"10.0.0.0/8"}]', [("u", None, "10.1.0.0/16")]),
        ('"clientid":"c","or":[{"clientid":"c","username":"a"},{"clientid":"d"},{}]',
         [("a", "c", None), (None, "c", None)]),
        ('"or":[{"username":"#"}]', [(None, None, None)]),
    ],
)  # fmt: skip
def test_whom_and_and_or_name(
    conditions: str, expected: list[tuple[str | None, str | None, str | None]]
) -> None:
    config = parse(f'acl.rule.1={{"permit":"deny",{conditions}}}', "x.conf")
    found = [
        (r.user_name, r.client_id, None if r.network is None else str(r.network))
        for r in rules_of_one(config.acl_rules[0])
    ]
    assert found == expected


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("a/+", RuleTopic("a/+")),
        ("eq a/+", RuleTopic("a/+", literal=True)),
        ("@a/+", RuleTopic("a/+", literal=True)),
        ("@", RuleTopic("@")),
        ("x-${clientid}/${username}", RuleTopic("x-%c/%u")),
        ("equal/a", RuleTopic("equal/a")),
    ],
)
def test_topic_of_a_rule(text: str, topic: RuleTopic) -> None:
    config = parse(f'acl.rule.1={{"permit":"deny","topics":["{text}"]}}', "x.conf")
    assert rules_of_one(config.acl_rules[0])[0].topics == (topic,)


def test_levels_of_a_rule_are_as_many_as_the_core_takes() -> None:
    assert MOST_LEVELS == lib.NMQ_ACL_LEVELS_MAX
    assert is_filter("a/" * 255 + "b")
    assert not is_filter("a/" * 256 + "b")
    names_users = {"a/%u": True, "a/x${username}": True, "a/u": False}
    for topic, named in names_users.items():
        assert (for_whom(AclRule(permit="allow", topics=(topic,))) is not None) == named
