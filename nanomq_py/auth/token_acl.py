"""What a token allows its client, as EMQX reads it: the claim ``auth.jwt.acl_claim``.

::

    {"pub": ["up/${clientid}"], "sub": ["down/#"], "all": []}     all else is denied
    [{"permission": "deny", "action": "publish", "topic": "a/#", "qos": [1, 2],
      "retain": true}, ...]                                       all else passes

In topics ``${clientid}`` (or ``%c``) is the client identifier, ``${username}`` (``%u``) the
user name; the core puts them in place, so that no name adds a level or a wildcard. ``eq F`` is
about the filter F itself. A rule that cannot be kept to the letter refuses the token: a rule
less would be another right.

Source  EMQX 5, Client Authorization in JWT
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from nanomq_py.config.keys.access import is_filter
from nanomq_py.core.records import Rule, RuleTopic
from nanomq_py.core.rules import Rules
from nanomq_py.tokens.jws import Refused

_MARKS = {"${clientid}": "%c", "${username}": "%u"}
_EQUAL = "eq "
_QOS: dict[int | str, int] = {0: 0, 1: 1, 2: 2, "0": 0, "1": 1, "2": 2}
_RETAIN: dict[bool | int | str | None, bool | None] = {
    **dict.fromkeys((None, "all")),
    **dict.fromkeys((True, "true", "1"), True),  # 1 is True
    **dict.fromkeys((False, "false", "0"), False),
}

_Topics = list[str]
_Qos = int | str  # a text may have several, with commas between


class _Lists(msgspec.Struct, forbid_unknown_fields=True):
    pub: _Topics = []
    sub: _Topics = []
    all: _Topics = []


class _Rule(msgspec.Struct, forbid_unknown_fields=True):
    permission: Literal["allow", "deny"]
    action: Literal["publish", "pub", "subscribe", "sub", "all"]
    topic: str | None = None
    topics: _Topics = []
    qos: _Qos | list[_Qos] | None = None
    retain: bool | int | str | None = None


def _topic(text: str) -> RuleTopic:
    is_literal = text.startswith(_EQUAL)
    topic = text.removeprefix(_EQUAL)
    for placeholder, mark in _MARKS.items():
        topic = topic.replace(placeholder, mark)
    if "${" in topic:
        raise Refused("its ACL has a placeholder that is not known here")
    if not is_filter(topic) or not topic.isprintable():
        raise Refused("its ACL has a topic that is no topic filter")
    return RuleTopic(topic, literal=is_literal)


def _qos(given: _Qos | list[_Qos] | None) -> frozenset[int]:
    """Return which QoS a rule is about; empty: any."""
    if given is None:
        return frozenset()
    parts: list[_Qos] = []
    for one in given if isinstance(given, list) else [given]:
        parts += one.split(",") if isinstance(one, str) else [one]
    if not parts or not all(part in _QOS for part in parts):
        raise Refused("its ACL has a rule about a QoS that is none")
    return frozenset(_QOS[part] for part in parts)


def _retain(given: bool | int | str | None) -> bool | None:
    """Return which RETAIN a rule is about; None: either."""
    if given not in _RETAIN:
        raise Refused("its ACL has a rule about a RETAIN that is none")
    return _RETAIN[given]


def _of_lists(lists: _Lists) -> Sequence[Rule]:
    given = ((lists.pub, True, False), (lists.sub, False, True), (lists.all, True, True))
    return [
        Rule(allow=True, publish=publish, subscribe=subscribe, topics=(_topic(topic),))
        for topics, publish, subscribe in given
        for topic in topics
    ]


def _rule(rule: _Rule) -> Rule:
    topics = rule.topics if rule.topic is None else [rule.topic]
    if not topics:
        raise Refused("its ACL has a rule without a topic")
    publish = rule.action in ("publish", "pub", "all")
    retain = _retain(rule.retain)
    return Rule(
        allow=rule.permission == "allow",
        publish=publish,
        subscribe=rule.action in ("subscribe", "sub", "all"),
        qos=_qos(rule.qos),
        retain=retain if publish else None,  # a subscription has none
        topics=tuple(map(_topic, topics)),
    )


def rules_of(claim: object) -> Rules:
    """Return the rules of a claim, for one client. Raises Refused."""
    try:
        if isinstance(claim, dict):
            lists = msgspec.convert(claim, _Lists)
            return Rules(_of_lists(lists), otherwise=False, deny_disconnects=False)
        rules = msgspec.convert(claim, list[_Rule])
    except msgspec.ValidationError:
        raise Refused("its ACL is none that is known here") from None
    return Rules(list(map(_rule, rules)), otherwise=True, deny_disconnects=False)
