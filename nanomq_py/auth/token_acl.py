"""What a token allows its client, as EMQX reads it: the claim ``auth.jwt.acl_claim``.

::

    {"pub": ["up/${clientid}"], "sub": ["down/#"], "all": []}     all else is denied
    [{"permission": "deny", "action": "publish", "topic": "a/#"}, ...]     all else passes

In topics a level ``${clientid}`` (or ``%c``) is the client identifier, ``${username}`` (``%u``)
the user name; the core puts them in place, so that no name adds a level or a wildcard. A rule
that cannot be kept to the letter refuses the token: a rule less would be another right.

Source  EMQX 5, Client Authorization in JWT
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from nanomq_py.config.keys.access import is_filter
from nanomq_py.core.records import Rule
from nanomq_py.core.rules import Rules
from nanomq_py.tokens.jws import Refused

_MARKS = {"${clientid}": "%c", "${username}": "%u"}
MOST_LEVELS = 256  # of a topic

_Topics = list[str]
_Qos = Literal[0, 1, 2, "0", "1", "2"]


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
    retain: Literal["all", "true", "false", "1", "0", 0, 1] | bool | None = None


def _level(level: str) -> str:
    marked = _MARKS.get(level, level)
    if any(mark in marked for mark in ("${", "%c", "%u")) and marked not in ("%c", "%u"):
        raise Refused("its ACL has a placeholder that is not a whole level")
    return marked


def _topic(text: str) -> str:
    if text.startswith("eq "):
        raise Refused("its ACL has a topic of another kind (eq)")
    topic = "/".join(map(_level, text.split("/")))
    if not is_filter(topic) or not topic.isprintable() or topic.count("/") >= MOST_LEVELS:
        raise Refused("its ACL has a topic that is no topic filter")
    return topic


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
    if rule.qos is not None or rule.retain not in (None, "all"):
        raise Refused("its ACL has a rule about QoS or RETAIN")
    return Rule(
        allow=rule.permission == "allow",
        publish=rule.action in ("publish", "pub", "all"),
        subscribe=rule.action in ("subscribe", "sub", "all"),
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
