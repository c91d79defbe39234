"""Access rules judged by a list that is gone through, and the same rules in the core.

The list is slow and plain: what the index of the core says must be what it says.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests._core_test import ffi, lib
from tests.unit.clib import slice_of

PATTERN = lib.NMQ_ACL_TOPIC_PATTERN
PLAIN = lib.NMQ_ACL_TOPIC_PLAIN
LITERAL = lib.NMQ_ACL_TOPIC_LITERAL


@dataclass(frozen=True)
class Who:
    """A client."""

    client_id: str = ""
    user_name: str | None = None
    address: str = "127.0.0.1"


@dataclass(frozen=True)
class Act:
    """What it does: publishes, subscribes, or is to get a message that waits for it."""

    kind: str = "subscribe"
    qos: int = 0
    retain: bool = False

    def bit(self) -> int:
        """Return it as csrc/route/acl_act.h has it."""
        if self.kind == "hear":
            return 0x200
        return 1 << (2 * self.qos + self.retain if self.kind == "publish" else 6 + self.qos)


@dataclass(frozen=True)
class Rule:
    """One rule; None: any."""

    allow: bool
    topics: tuple[tuple[str, int], ...]
    publish: bool = True
    subscribe: bool = True
    client_id: str | None = None
    user_name: str | None = None  # empty: who has none
    network: str | None = None
    qos: frozenset[int] = frozenset({0, 1, 2})
    retain: frozenset[bool] = frozenset({False, True})


# --- the list


def spelled(pattern: str, who: Who) -> str | None:
    """Return the pattern with the names in place of the marks; None: it stands for nothing."""
    names = {"%c": who.client_id, "%u": who.user_name or "", "%i": who.address}
    out = ""
    while pattern:
        name = names.get(pattern[:2])
        if name is None:
            out, pattern = out + pattern[0], pattern[1:]
            continue
        if not name or set(name) & set("/+#") or (not out and name.startswith("$")):
            return None
        out, pattern = out + name, pattern[2:]
    return out


def hides(pattern: list[str], topic: list[str]) -> bool:
    """Say whether a wildcard meets a first level that begins with "$" [MQTT-4.7.2-1]."""
    return any(
        one[0] in ("+", "#") and other[0].startswith("$")
        for one, other in ((pattern, topic), (topic, pattern))
    )


def covers(pattern: list[str], topic: list[str]) -> bool:
    match pattern, topic:
        case ["#"], _:
            return True
        case [p, *ps], [t, *ts]:
            return (t != "#" if p == "+" else p == t) and covers(ps, ts)
        case _:
            return pattern == topic == []


def meets(pattern: list[str], topic: list[str]) -> bool:
    match pattern, topic:
        case (["#"], _) | (_, ["#"]):
            return True
        case [p, *ps], [t, *ts]:
            return (p == t or "+" in (p, t)) and meets(ps, ts)
        case _:
            return pattern == topic == []


def only_the_empty_topic(one: list[str], other: list[str]) -> bool:
    """Say whether all that both match is the empty text, which is no topic."""
    return any(
        a in (["", "#"], [""]) and b in (["+"], [""])
        for a, b in ((one, other), (other, one))
    )


def is_about(allow: bool, pattern: str, kind: int, who: Who, act: Act, topic: str) -> bool:
    text = pattern if kind == PLAIN else spelled(pattern, who)
    if text is None:
        return False
    if kind == LITERAL and not (allow and act.kind == "hear"):
        return text == topic and act.kind != "hear"
    levels, of_topic = text.split("/"), topic.split("/")
    if hides(levels, of_topic):
        return False
    if allow:
        return covers(levels, of_topic)
    return meets(levels, of_topic) and not only_the_empty_topic(levels, of_topic)


def names(rule: Rule, who: Who) -> bool:
    address = ipaddress.ip_address(who.address)
    return (
        rule.client_id in (None, who.client_id)
        and rule.user_name in (None, who.user_name or "")
        and (rule.network is None or address in ipaddress.ip_network(rule.network))
    )


def is_for(rule: Rule, act: Act) -> bool:
    if act.kind == "publish":
        return rule.publish and act.qos in rule.qos and act.retain in rule.retain
    if act.kind == "hear":
        return rule.subscribe and (rule.allow or len(rule.qos) == 3)
    return rule.subscribe and act.qos in rule.qos


def deciding(rules: Sequence[Rule], who: Who, act: Act, topic: str) -> int | None:
    """Return the number of the first rule that applies."""
    for number, rule in enumerate(rules):
        if (
            is_for(rule, act)
            and names(rule, who)
            and any(is_about(rule.allow, t, k, who, act, topic) for t, k in rule.topics)
        ):
            return number
    return None


# --- the core


def _fill(raw: Any, rule: Rule, kept: list[Any]) -> None:
    def text(value: str) -> Any:
        kept.append(ffi.new("char[]", value.encode()))
        return kept[-1]

    raw.allow, raw.publish, raw.subscribe = rule.allow, rule.publish, rule.subscribe
    raw.qos_set = sum(1 << qos for qos in rule.qos)
    raw.retain_set = sum(1 << retain for retain in rule.retain)
    raw.client_id = ffi.NULL if rule.client_id is None else text(rule.client_id)
    raw.user_name = ffi.NULL if rule.user_name is None else text(rule.user_name)
    if rule.network is not None:
        network = ipaddress.ip_network(rule.network)
        packed = network.network_address.packed
        raw.address[0 : len(packed)] = packed
        raw.address_len, raw.prefix_bits = len(packed), network.prefixlen
    topics = ffi.new("nmq_acl_topic[]", len(rule.topics))
    for one, (topic, kind) in zip(topics, rule.topics, strict=True):
        one.text, one.kind = text(topic), kind
    kept.append(topics)
    raw.topics, raw.topic_count = topics, len(rule.topics)


def compiled(
    rules: Sequence[Rule],
    otherwise: bool = False,
    asks: bool = False,
    disconnects: bool = False,
) -> Any:
    """Return an acl of the core; NULL: memory is out. Whoever gets it unrefs it."""
    kept: list[Any] = []
    raw = ffi.new("nmq_acl_rule[]", len(rules))
    for one, rule in zip(raw, rules, strict=True):
        _fill(one, rule, kept)
    given = ffi.new("nmq_acl_rules *", {"at": raw, "count": len(raw)})
    given.otherwise, given.asks, given.deny_disconnects = otherwise, asks, disconnects
    return lib.nmq_acl_new(given)


class Subject:
    """A ``nmq_acl_subject``."""

    def __init__(self, who: Who) -> None:
        packed = ipaddress.ip_address(who.address).packed
        self._peer = ffi.new("nmq_peer *", {"address_len": len(packed)})
        self._peer.address[0 : len(packed)] = packed
        self._kept = [
            ffi.new("char[]", (n or "").encode()) for n in (who.client_id, who.user_name)
        ]
        self.at = ffi.new("nmq_acl_subject *", {"peer": self._peer})
        client_id, user_name = self._kept
        self.at.client_id.at = ffi.cast("uint8_t *", client_id)
        self.at.client_id.len = len(client_id) - 1
        if who.user_name is not None:
            self.at.user_name.at = ffi.cast("uint8_t *", user_name)
            self.at.user_name.len = len(user_name) - 1


@contextmanager
def view_of(rules: Sequence[Rule], who: Who, otherwise: bool = False) -> Iterator[Any]:
    """Yield what such a client sees of the rules."""
    view = ffi.new("nmq_acl_view *")
    subject = Subject(who)
    assert lib.nmq_acl_view_make(view, compiled(rules, otherwise), subject.at) == 0
    try:
        yield view
    finally:
        lib.nmq_acl_view_free(view)


def allows(view: Any, act: Act, topic: str) -> bool:
    kept = ffi.from_buffer(topic.encode())
    return bool(lib.nmq_acl_allows(view, act.bit(), slice_of(kept)))


def tried(acl: Any, who: Who, act: Act, topic: str) -> tuple[int, bool] | None:
    """Return the number of the rule that decides, and what it says."""
    search, subject = ffi.new("nmq_acl_search *"), Subject(who)
    kept = ffi.from_buffer(topic.encode())
    assert lib.nmq_acl_try(acl, subject.at, act.bit(), slice_of(kept), search) == 0
    found = search.best != lib.NMQ_ACL_NO_RULE
    return (int(search.best), bool(search.allow)) if found else None


def decided(rules: Sequence[Rule], who: Who, act: Act, topic: str) -> int | None:
    """Return the number of the rule that decides, as the index finds it."""
    acl = compiled(rules)
    try:
        found = tried(acl, who, act, topic)
    finally:
        lib.nmq_acl_unref(acl)
    assert found is None or found[1] == rules[found[0]].allow
    return None if found is None else found[0]
