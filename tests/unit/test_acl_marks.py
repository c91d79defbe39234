"""Levels of a rule's topic in which marks stand for names of the client, one by one."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from nanomq_py.core.records import Rule, RuleTopic, Trial
from nanomq_py.core.rules import Rules


def is_meant(rule: str, topic: str, *, publish: bool = True) -> bool:
    """Return whether a rule with that topic decides for one client."""
    rules = Rules(
        [Rule(allow=True, publish=True, subscribe=True, topics=(RuleTopic(rule),))],
        otherwise=False,
        deny_disconnects=False,
    )
    trial = Trial(
        topic=topic,
        client_id="pump",
        user_name="ann",
        address=ip_address("192.0.2.7"),
        publish=publish,
    )
    return rules.decides(trial) == 0


@pytest.mark.parametrize(
    ("rule", "topic"),
    [
        ("a/%c", "a/pump"),
        ("%u/a", "ann/a"),
        ("%i", "192.0.2.7"),
        ("a/x-%c", "a/x-pump"),
        ("a/%c-x", "a/pump-x"),
        ("a/%c%u", "a/pumpann"),
        ("a/%c-%u-%i", "a/pump-ann-192.0.2.7"),
        ("a/%", "a/%"),
        ("a/%%c", "a/%pump"),
        ("a/%c%", "a/pump%"),
        ("a/%d%c", "a/%dpump"),
        ("a/%C%c", "a/%Cpump"),
        ("$%c/a", "$pump/a"),
        ("a/%c-ac", "a/pump-ac"),
        ("a/ui%c", "a/uipump"),
    ],
)
def test_level_is_the_one_that_the_marks_stand_for(rule: str, topic: str) -> None:
    assert is_meant(rule, topic)
    assert is_meant(rule, topic, publish=False)
    wrong = {
        topic + "x",
        topic[:-1],
        topic.replace("a", "b", 1),
        topic.replace("p", "q", 1),
        topic.replace("mp", "pm"),
        topic.replace("%", "x"),
        topic.replace("7", "8"),
        "b" + topic,
        rule,
    }
    for other in wrong - {topic}:
        assert not is_meant(rule, other), other


@pytest.mark.parametrize("name", ["", "a/b", "+", "#", "p+", "a#"])
def test_name_that_is_no_part_of_a_level_stands_for_none(name: str) -> None:
    rules = Rules(
        [
            Rule(allow=True, publish=True, subscribe=True, topics=(RuleTopic(text),))
            for text in ("a/%c", "a/x%c", "a/%c/#")
        ],
        otherwise=False,
        deny_disconnects=False,
    )
    for topic in (f"a/{name}", f"a/x{name}", "a/", "a/x", "a/%c"):
        if "+" not in topic and "#" not in topic:
            trial = Trial(topic=topic, client_id=name, publish=True)
            assert rules.decides(trial) is None, topic


def test_name_with_a_dollar_is_hidden_where_the_topic_begins_with_it() -> None:
    """[MQTT-4.7.2-1], for a name that a client chose."""
    for rule, topic, decides in (
        ("%c", "$x", False),
        ("x%c", "x$x", True),
        ("a/%c", "a/$x", True),
    ):
        rules = Rules(
            [Rule(allow=True, publish=True, subscribe=True, topics=(RuleTopic(rule),))],
            otherwise=False,
            deny_disconnects=False,
        )
        trial = Trial(topic=topic, client_id="$x", publish=True)
        assert (rules.decides(trial) == 0) is decides, rule
