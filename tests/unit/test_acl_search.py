"""Which rule decides where two that are alike differ by one thing: found by mutation."""

from __future__ import annotations

import pytest

from tests import judging
from tests.judging import LITERAL, PATTERN, PLAIN, Act, Rule, Who

PUMP, DOLLAR = Who("pump", "ann"), Who("$y", "$z")
SUBSCRIBES, PUBLISHES, HEARS = Act("subscribe"), Act("publish"), Act("hear")


def allow(topic: str, kind: int = PATTERN) -> Rule:
    return Rule(True, ((topic, kind),))


def deny(topic: str, kind: int = PATTERN) -> Rule:
    return Rule(False, ((topic, kind),))


def literal(topic: str) -> Rule:
    return deny(topic, LITERAL)


TO_A = (("a", PATTERN),)


def of_network(network: str) -> Rule:
    return Rule(True, TO_A, network=network)


CASES: list[tuple[list[Rule], Who, Act, str, int | None]] = [
    # a name behind a mark is no first level: "$" hides nothing there [MQTT-4.7.2-1]
    ([allow("%c/#")], PUMP, PUBLISHES, "pump/$x", 0),
    ([allow("%c/+")], PUMP, SUBSCRIBES, "pump/$x", 0),
    ([allow("%c/%u")], Who("pump", "$z"), PUBLISHES, "pump/$z", 0),
    ([allow("%c/x")], DOLLAR, PUBLISHES, "$y/x", None),
    # a rule that denies meets a filter with a wildcard behind, or in place of, a mark
    ([deny("%c/b")], PUMP, SUBSCRIBES, "pump/+", 0),
    ([deny("%c/b")], PUMP, SUBSCRIBES, "pum/+", None),
    ([deny("%c")], PUMP, SUBSCRIBES, "pump/#", 0),
    ([deny("%c/#")], PUMP, SUBSCRIBES, "pump/$x/+", 0),
    ([deny("a/%c/b")], PUMP, SUBSCRIBES, "a/pump/+", 0),
    ([deny("a/%c/b")], PUMP, SUBSCRIBES, "a/+/b", 0),
    ([deny("a/%c/b")], PUMP, SUBSCRIBES, "a/+/c", None),
    ([deny("a/%c/b")], PUMP, SUBSCRIBES, "a/ann/+", None),
    ([deny("%c/b")], DOLLAR, SUBSCRIBES, "$y/+", None),
    ([deny("%c/b")], DOLLAR, SUBSCRIBES, "+/b", None),
    ([deny("a/%u")], DOLLAR, SUBSCRIBES, "a/+", 0),
    # a rule that allows must cover the filter, also where one that denies stands below
    ([allow("a/b"), deny("a/b")], PUMP, SUBSCRIBES, "a/+", 1),
    ([allow("a/b"), deny("a/b")], PUMP, SUBSCRIBES, "a/#", 1),
    ([allow("a/b"), deny("a/b/#")], PUMP, SUBSCRIBES, "a/+", 1),
    ([allow("a/b"), deny("a/b")], PUMP, SUBSCRIBES, "a/b", 0),
    ([allow("a/%c"), deny("a/%c")], PUMP, SUBSCRIBES, "#", 1),
    ([allow("a/+"), deny("a/b")], PUMP, SUBSCRIBES, "a/+", 0),
    # an empty level
    ([deny("/+")], PUMP, SUBSCRIBES, "/#", 0),
    ([deny("/#")], PUMP, SUBSCRIBES, "+", None),
    ([deny("/#")], PUMP, SUBSCRIBES, "+/+", 0),
    # filters that are taken literally
    ([literal("a/+")], PUMP, SUBSCRIBES, "a/+", 0),
    ([literal("a/+")], PUMP, SUBSCRIBES, "a/b", None),
    ([literal("a/#")], PUMP, SUBSCRIBES, "a/#", 0),
    ([literal("a/#")], PUMP, SUBSCRIBES, "a", None),
    ([literal("a/b/c")], PUMP, PUBLISHES, "a/b/c", 0),
    ([literal("a/b/c")], PUMP, PUBLISHES, "a/b", None),
    ([literal("%c")], PUMP, PUBLISHES, "pump", 0),
    ([literal("%c")], PUMP, PUBLISHES, "ann", None),
    ([literal("%c/x")], PUMP, SUBSCRIBES, "pump/x", 0),
    ([literal("x/%c/y")], DOLLAR, SUBSCRIBES, "x/$y/y", 0),
    ([literal("%c/%u")], Who("pump", "$z"), SUBSCRIBES, "pump/$z", 0),
    ([literal("a/%u")], DOLLAR, SUBSCRIBES, "a/$z", 0),
    ([literal("%c")], DOLLAR, PUBLISHES, "$y", None),
    ([allow("#"), literal("#")], PUMP, SUBSCRIBES, "#", 0),
    ([literal("#"), allow("#")], PUMP, SUBSCRIBES, "#", 0),
    ([literal("#"), allow("#")], PUMP, SUBSCRIBES, "+/a", 1),
    ([allow("a", LITERAL), literal("a")], PUMP, SUBSCRIBES, "a", 0),
    ([literal("a"), allow("a", LITERAL)], PUMP, SUBSCRIBES, "a", 0),
    ([literal("a/+")], PUMP, PUBLISHES, "a/b", None),
    ([Rule(False, (("a", LITERAL),), publish=False)], PUMP, PUBLISHES, "a", None),
    # one that denies says nothing of what is heard; who is granted one may hear its topics
    ([literal("a/b")], PUMP, HEARS, "a/b", None),
    ([allow("a/+", LITERAL)], PUMP, HEARS, "a/b", 0),
    ([allow("a/%c", LITERAL)], PUMP, HEARS, "a/pump", 0),
    ([Rule(True, (("a", LITERAL),), subscribe=False)], PUMP, HEARS, "a", None),
    # a mark that is none, beside one
    ([allow("a/%c", PLAIN), deny("a/%c")], PUMP, PUBLISHES, "a/%c", 0),
    ([deny("a/%c"), allow("a/%c", PLAIN)], PUMP, PUBLISHES, "a/pump", 0),
    # levels with marks side by side
    ([allow("a/%c"), deny("a/%u"), allow("a/%i")], PUMP, PUBLISHES, "a/pump", 0),
    ([allow("a/%c"), deny("a/%u"), allow("a/%i")], PUMP, PUBLISHES, "a/ann", 1),
    ([allow("a/%c"), deny("a/%u"), allow("a/%i")], PUMP, PUBLISHES, "a/127.0.0.1", 2),
    # what a rule is not about: the smallest bit of an act is publishing at QoS 0
    ([Rule(True, TO_A, subscribe=False, qos=frozenset({1}))], PUMP, PUBLISHES, "a", None),
    ([Rule(True, TO_A, publish=False)], PUMP, PUBLISHES, "a", None),
    # the last bits of an address
    ([of_network("2001:db8::7/128")], Who("x", None, "2001:db8::7"), PUBLISHES, "a", 0),
    ([of_network("2001:db8::7/128")], Who("x", None, "2001:db8::6"), PUBLISHES, "a", None),
    ([of_network("2001:db8::6/127")], Who("x", None, "2001:db8::7"), PUBLISHES, "a", 0),
    ([of_network("2001:db8::6/127")], Who("x", None, "2001:db8::5"), PUBLISHES, "a", None),
]


@pytest.mark.parametrize(("rules", "who", "act", "topic", "expected"), CASES)
def test_rule_that_decides(
    rules: list[Rule], who: Who, act: Act, topic: str, expected: int | None
) -> None:
    assert judging.deciding(rules, who, act, topic) == expected
    assert judging.decided(rules, who, act, topic) == expected
