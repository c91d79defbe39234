"""Keys of who may log in, and who may do what: auth, auth.N, acl.rule.N."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from nanomq_py.config.declare.family import BadMember, Line
from nanomq_py.config.declare.key import Checked, Key, key
from nanomq_py.config.values.kind import BadValue, Listed, Optional
from nanomq_py.config.values.networks import network
from nanomq_py.config.values.texts import List, Text

# Those who can say whether a client may come in, in the order that holds without
# auth.chain. auth/roster.py makes them.
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


Network: TypeAlias = "IPv4Network | IPv6Network"


@dataclass(frozen=True, kw_only=True)
class User(Checked):
    """One ``auth.N``: a client that may log in."""

    login: str = key("login", Text(empty=False), "", "User name.")
    password: str = key("password", Text(empty=False), "", "Password.", secret=True)


class BadRule(BadMember):
    """An access rule cannot be used; the first argument says what was expected."""

    def __str__(self) -> str:
        return f"acl.rule: expected {self.args[0]}"


class Condition(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What a client has to be; an absent field, or a name ``#``, is anyone."""

    username: str | None = None
    clientid: str | None = None
    ipaddr: str | None = None

    def asked(self) -> Asked:
        """Return its parts. Raises BadRule."""
        return Asked(
            None if self.username == ANYONE else self.username,
            None if self.clientid == ANYONE else self.clientid,
            None if self.ipaddr is None else _network(self.ipaddr),
        )


class Asked(NamedTuple):
    """What is asked of a client; None: nothing."""

    username: str | None = None
    clientid: str | None = None
    network: Network | None = None

    def joined(self, other: Asked) -> Asked | None:
        """Return what asks for both; None: no client can be both."""
        names = (self.username, other.username), (self.clientid, other.clientid)
        if any(None not in pair and pair[0] != pair[1] for pair in names):
            return None
        network = self.network or other.network
        if self.network is not None and other.network is not None:
            networks = sorted((self.network, other.network), key=lambda n: n.prefixlen)
            if not _lies_in(networks[1], networks[0]):
                return None
            network = networks[1]
        username, clientid = (a if a is not None else b for a, b in names)
        return Asked(username, clientid, network)


class _RuleJson(
    msgspec.Struct, forbid_unknown_fields=True, rename={"and_": "and", "or_": "or"}
):
    permit: Literal["allow", "deny"]
    username: str | None = None
    clientid: str | None = None
    ipaddr: str | None = None
    and_: tuple[Condition, ...] = ()
    or_: tuple[Condition, ...] | None = None
    action: Literal["publish", "subscribe", "pubsub"] = "pubsub"
    qos: int | str | tuple[int, ...] = ()
    retain: bool | None = None
    topics: tuple[str, ...] = ("#",)


RULE_LINE = Key(
    name="",
    kind=Line(
        _RuleJson,
        '{"permit":"allow","username":"u","action":"publish","topics":["a/#"]}',
    ),
    help="An access rule.",
)

ANYONE = "#"  # what NanoMQ writes for any user name or client identifier
MOST_LEVELS = 256  # of a topic
_PERMITS = ("allow", "deny")
_ACTIONS = ("publish", "subscribe", "pubsub")
_ALL_QOS = (0, 1, 2)
_COMPARED = re.compile(r"(<=|>=|=|)\s*([012])")


def _network(text: str) -> Network:
    try:
        return network(text)
    except BadValue as bad:
        usually = "an ipaddr such as 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32"
        raise BadRule(bad.expected(usually)) from None


def _lies_in(inner: Network, outer: Network) -> bool:
    return inner.version == outer.version and inner.network_address in outer


def _qos(given: int | str | tuple[int, ...]) -> tuple[int, ...]:
    """Return which QoS the rule is about; empty: any. Raises BadRule."""
    if isinstance(given, str):
        found = _COMPARED.fullmatch(given.strip())
        if found is None:
            raise BadRule(f'qos such as 1, [0,1] or "<=1", not {given!r}')
        compared, to = found[1], int(found[2])
        given = tuple(
            q
            for q in _ALL_QOS
            if (q == to or (compared == "<=" and q < to) or (compared == ">=" and q > to))
        )
    given = (given,) if isinstance(given, int) else given
    if not set(given) <= set(_ALL_QOS):
        raise BadRule(f"qos of 0 to 2, not {given!r}")
    chosen = tuple(sorted(set(given)))
    return () if chosen == _ALL_QOS else chosen


def is_filter(text: str) -> bool:
    """Say whether the text is a Topic Filter (MQTT 5.0, 4.7) of few enough levels."""
    levels = text.split("/")
    return (
        0 < len(text.encode()) <= 65535
        and len(levels) <= MOST_LEVELS
        and all(level in ("+", "#") or not set(level) & set("+#") for level in levels)
        and "#" not in levels[:-1]
    )


def literal(topic: str) -> str | None:
    """Return the filter that the topic names literally, as ``@F`` or ``eq F``, or None.

    Source  NanoMQ's auth_acl (``@``), EMQX's rules (``eq``)

    >>> literal("eq a/+"), literal("@#"), literal("a/+")
    ('a/+', '#', None)
    """
    for mark in ("@", "eq "):
        if topic.startswith(mark) and len(topic) > len(mark):
            return topic[len(mark) :]
    return None


@dataclass(frozen=True, kw_only=True)
class AclRule:
    """One ``acl.rule.N``; an absent field matches everyone."""

    permit: str
    username: str | None = None
    clientid: str | None = None
    ipaddr: str | None = None
    and_: tuple[Condition, ...] = ()
    or_: tuple[Condition, ...] | None = None
    action: str = "pubsub"
    qos: tuple[int, ...] = ()  # empty: any
    retain: bool | None = None  # of what is published; None: either
    topics: tuple[str, ...] = ("#",)
    where: str = field(default="", compare=False)  # FILE:LINE: acl.rule.N, for errors

    def __post_init__(self) -> None:
        """Raise BadRule saying what was expected."""
        for words, given in ((_PERMITS, self.permit), (_ACTIONS, self.action)):
            if given not in words:
                raise BadRule(f"{' or '.join(words)}, not {given!r}")
        object.__setattr__(self, "qos", _qos(self.qos))
        if self.retain is not None and self.action == "subscribe":
            raise BadRule("retain only where the action is publish or pubsub")
        names = [n for c in self._conditions for n in (c.username, c.clientid) if n]
        if not all(map(str.isprintable, (*names, *self.topics))):
            raise BadRule("names and topics of printable characters")
        if not self.asked:
            raise BadRule("conditions that one client can meet")
        for topic in self.topics:
            if not is_filter(literal(topic) or topic):
                raise BadRule(f"topics that are topic filters, not {topic!r}")

    @property
    def _conditions(self) -> tuple[Condition, ...]:
        own = Condition(self.username, self.clientid, self.ipaddr)
        return (own, *self.and_, *(self.or_ or ()))

    @property
    def asked(self) -> list[Asked]:
        """What is asked of a client: one of these."""
        all_of: Asked | None = Asked()
        for condition in self._conditions[: 1 + len(self.and_)]:
            all_of = None if all_of is None else all_of.joined(condition.asked())
        any_of = (Condition(),) if self.or_ is None else self.or_
        joined = [all_of and all_of.joined(one.asked()) for one in any_of]
        return list(dict.fromkeys(one for one in joined if one is not None))
