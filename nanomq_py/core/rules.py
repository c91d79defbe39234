"""Access rules as the C core takes them, and whose connections end."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

from nanomq_py.core.native import CoreError, c_text, check, ffi, lib
from nanomq_py.core.records import Kick, Rule, RuleTopic, Trial

if TYPE_CHECKING:
    from nanomq_py._core import CData, Chars, nmq_acl, nmq_acl_rule, nmq_acl_trial, nmq_kick


class Access(IntEnum):
    """``enum nmq_access``: what is answered to an AccessNote for one topic."""

    ALLOW = lib.NMQ_ACCESS_ALLOW
    DENY = lib.NMQ_ACCESS_DENY
    PASS = lib.NMQ_ACCESS_PASS  # no opinion: what holds otherwise decides


class Packed:
    """Rules in the core's form, for :class:`Rules` to be made of again and again.

    Threads  made in any; nobody changes it after that
    Cost     one object for the garbage collector, which stops everybody while it looks at all:
             there may be 100,000
    """

    __slots__ = ("_kept", "at", "count")

    def __init__(self, rules: Sequence[Rule]) -> None:
        kept: list[CData] = []
        self.count = len(rules)
        self.at = ffi.new("nmq_acl_rule[]", self.count)
        for raw, rule in zip(self.at, rules, strict=True):
            _fill_rule(raw, rule, kept)
        self._kept = tuple(kept)  # what the C structs point to


def _joined(pieces: Sequence[Packed]) -> nmq_acl_rule:
    """Return all of them in one array; texts stay theirs."""
    array = ffi.new("nmq_acl_rule[]", sum(piece.count for piece in pieces))
    at = 0
    for piece in pieces:
        array[at : at + piece.count] = piece.at  # at once, where the item is the same
        at += piece.count
    return array


class Rules:
    """Access rules, made ready: the first that applies decides.

    before            rules that stand before the others
    asks              what none applies to is asked: AccessNote
    otherwise         what holds when nobody has an opinion: True allows
    deny_disconnects  a client that does what it may not is disconnected
    Threads           may be dropped in any: the end of 100,000 takes a tenth of a second
    """

    def __init__(
        self,
        rules: Sequence[Rule] = (),
        *,
        before: Sequence[Packed] = (),
        asks: bool = False,
        otherwise: bool,
        deny_disconnects: bool,
    ) -> None:
        self._handle: nmq_acl = ffi.NULL  # allows everything
        # Their texts are there until they were copied.
        pieces = [piece for piece in (*before, Packed(rules)) if piece.count]
        if otherwise and not pieces and not asks:
            return
        array = _joined(pieces)
        all_rules = ffi.new(
            "nmq_acl_rules *",
            {
                "at": array,
                "count": len(array),
                "asks": asks,
                "otherwise": otherwise,
                "deny_disconnects": deny_disconnects,
            },
        )
        made = lib.nmq_acl_new(all_rules)
        if made == ffi.NULL:
            raise CoreError(lib.NMQ_ENOMEM)
        self._handle = ffi.gc(made, lib.nmq_acl_unref)

    @property
    def handle(self) -> nmq_acl:
        """The handle, which stays the object's."""
        return self._handle

    def decides(self, trial: Trial) -> int | None:
        """Return the number of the rule that decides, None where none does.

        Raises   CoreError where the topic is none
        """
        kept: list[CData] = []
        number = ffi.new("uint32_t *")
        status = lib.nmq_acl_trial_run(self._handle, c_trial(trial, kept), number)
        if status == lib.NMQ_ENOENT:
            return None
        check(status)
        return int(number[0])


def c_trial(trial: Trial, kept: list[CData]) -> nmq_acl_trial:
    """Return it as C has it; it lives as long as ``kept``."""
    raw = ffi.new("nmq_acl_trial *")
    raw.client_id = c_text(trial.client_id, kept)
    raw.user_name = c_text(trial.user_name, kept)
    raw.topic = c_text(trial.topic, kept)
    raw.publish, raw.qos, raw.retain = trial.publish, trial.qos, trial.retain
    if trial.address is not None:
        packed = trial.address.packed
        raw.address[0 : len(packed)] = packed
        raw.address_len = len(packed)
    return raw


def _kind_of(topic: RuleTopic) -> int:
    if topic.literal:
        return int(lib.NMQ_ACL_TOPIC_LITERAL)
    return int(lib.NMQ_ACL_TOPIC_PATTERN if topic.marks else lib.NMQ_ACL_TOPIC_PLAIN)


def _fill_rule(raw: nmq_acl_rule, rule: Rule, kept: list[CData]) -> None:
    def text(value: str | None) -> Chars:
        return c_text(value, kept)

    raw.allow, raw.publish, raw.subscribe = rule.allow, rule.publish, rule.subscribe
    raw.qos_set = sum(1 << qos for qos in rule.qos)
    raw.retain_set = 0 if rule.retain is None else 1 << rule.retain
    raw.client_id, raw.user_name = text(rule.client_id), text(rule.user_name)
    if rule.network is not None:
        packed = rule.network.network_address.packed
        raw.address[0 : len(packed)] = packed
        raw.address_len, raw.prefix_bits = len(packed), rule.network.prefixlen
    topics = ffi.new("nmq_acl_topic[]", len(rule.topics))
    for one, topic in zip(topics, rule.topics, strict=True):
        if isinstance(topic, str):
            topic = RuleTopic(topic)
        one.text, one.kind = text(topic.text), _kind_of(topic)
    kept.append(topics)
    raw.topics, raw.topic_count = topics, len(rule.topics)


def c_kick(kick: Kick, kept: list[CData]) -> nmq_kick:
    """Return it as C has it; it lives as long as ``kept``."""
    names = ffi.new("char *[]", [c_text(name, kept) for name in kick.user_names])
    listeners = ffi.new("uint32_t[]", kick.listeners)
    raw = ffi.new("nmq_kick *")
    raw.user_names, raw.user_name_count = names, len(kick.user_names)
    raw.listeners, raw.listener_count = listeners, len(kick.listeners)
    raw.with_names = kick.with_names
    raw.foreign, raw.every_foreign = kick.foreign, kick.every_foreign
    raw.every_user, raw.other_names = kick.every_user, kick.other_names
    raw.wills = kick.wills
    raw.reason_code = kick.reason_code
    kept += [names, listeners]
    return raw
