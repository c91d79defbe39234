"""Keys of who may log in, and who may do what: auth, auth.N, acl.rule.N."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import msgspec

from nanomq_py.config.declare.family import BadMember, Line
from nanomq_py.config.declare.key import Checked, Key, key
from nanomq_py.config.values.kind import BadValue, Listed, Optional
from nanomq_py.config.values.networks import network
from nanomq_py.config.values.texts import List, Text

# Those who can say whether a client may come in, in their usual order.
MEMBERS = ("jwt", "users", "file", "database", "http", "certificate", "anonymous")
PLUGIN = "plugin:"  # begins the name of one that a program or a plugin adds


@dataclass(frozen=True)
class Members(Listed):
    """Members of the chain, each once, with commas between."""

    @property
    def expected(self) -> str:
        return f"some of {', '.join(MEMBERS)}, {PLUGIN}NAME, each once, with commas between"

    def parse(self, text: str) -> tuple[str, ...]:
        given = List().parse(text)
        for name in given:
            added = name.removeprefix(PLUGIN)
            if name not in MEMBERS and (added == name or not added):
                raise BadValue
        if len(set(given)) < len(given):
            raise BadValue
        return given


@dataclass(frozen=True, kw_only=True)
class Auth(Checked):
    """Who says whether a client may come in."""

    chain: tuple[str, ...] = key(
        "chain",
        Members(),
        (),
        "Own key: who is asked whether a client may come in, one after the other, until one"
        " knows it; nobody else is asked. A program or a plugin adds plugin:NAME. Default: all"
        f" that the configuration uses, in the order {', '.join(MEMBERS[:-1])}, those of"
        f" plugins, {MEMBERS[-1]}.",
    )
    password_file: str | None = key(
        "password_file",
        Optional(Text()),
        None,
        "Own key: a file of more users, a line USER:HASH for each; nanomq passwd writes it, and"
        " mosquitto's files can be used. A reload reads it again.",
        private_file=True,
    )
    superusers: tuple[str, ...] = key(
        "superusers",
        List(),
        (),
        "Own key: names of users for whom no access rule counts, once they have proved the"
        " name. A certificate does not make one.",
    )


@dataclass(frozen=True, kw_only=True)
class User(Checked):
    """One ``auth.N``: a client that may log in."""

    login: str = key("login", Text(empty=False), "", "User name.")
    password: str = key("password", Text(empty=False), "", "Password.", secret=True)


class BadRule(BadMember):
    """An access rule cannot be used; the first argument says what was expected."""

    def __str__(self) -> str:
        return f"acl.rule: expected {self.args[0]}"


class _RuleJson(msgspec.Struct, forbid_unknown_fields=True):
    permit: Literal["allow", "deny"]
    username: str | None = None
    clientid: str | None = None
    ipaddr: str | None = None
    action: Literal["publish", "subscribe", "pubsub"] = "pubsub"
    topics: tuple[str, ...] = ("#",)


RULE_LINE = Key(
    name="",
    kind=Line(
        _RuleJson,
        '{"permit":"allow","username":"u","action":"publish","topics":["a/#"]}',
    ),
    help="An access rule.",
)

_PERMITS = ("allow", "deny")
_ACTIONS = ("publish", "subscribe", "pubsub")


def _check_network(text: str) -> None:
    try:
        network(text)
    except BadValue as bad:
        usually = "an ipaddr such as 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32"
        raise BadRule(bad.expected(usually)) from None


def is_filter(text: str) -> bool:
    """Say whether the text is a Topic Filter (MQTT 5.0, 4.7)."""
    levels = text.split("/")
    return (
        bool(text)
        and all(level in ("+", "#") or not set(level) & set("+#") for level in levels)
        and "#" not in levels[:-1]
    )


@dataclass(frozen=True, kw_only=True)
class AclRule:
    """One ``acl.rule.N``; an absent field matches everyone."""

    permit: str
    username: str | None = None
    clientid: str | None = None
    ipaddr: str | None = None
    action: str = "pubsub"
    topics: tuple[str, ...] = ("#",)
    where: str = field(default="", compare=False)  # FILE:LINE: acl.rule.N, for errors

    def __post_init__(self) -> None:
        """Raise BadRule saying what was expected."""
        for words, given in ((_PERMITS, self.permit), (_ACTIONS, self.action)):
            if given not in words:
                raise BadRule(f"{' or '.join(words)}, not {given!r}")
        texts = (self.username or "", self.clientid or "", *self.topics)
        if not all(map(str.isprintable, texts)):
            raise BadRule("names and topics of printable characters")
        if self.ipaddr is not None:
            _check_network(self.ipaddr)
        for topic in self.topics:
            if not is_filter(topic):
                raise BadRule(f"topics that are topic filters, not {topic!r}")
