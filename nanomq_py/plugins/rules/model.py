"""Rules, their actions and resources as they are given and kept: values, nothing that runs."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterable
from typing import Any

import msgspec

from nanomq_py.plugins.rules.faults import RuleFault

MOST_SQL = 16_384  # letters, as sql/grammar.py
MOST_ACTIONS = 32  # of a rule, their fallbacks among them
MOST_JSON = 65_536  # bytes of the parameters of an action, or the config of a resource
MOST_DESCRIPTION = 1024  # letters
_BAD_ID = "id: {!r}: expected 1 to 64 letters, digits, ':', '_', '.' and '-'"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.-]{0,63}")

Params = dict[str, Any]


class ActionSpec(msgspec.Struct, frozen=True):
    """An action of a rule.

    fallbacks  what is done with a row that it could not take
    """

    name: str
    params: Params = {}
    id: str = ""
    fallbacks: tuple[ActionSpec, ...] = ()


class RuleSpec(msgspec.Struct, frozen=True):
    """A rule.

    on_action_failed  ``stop``: a row that one action could not take goes to none behind it
    created_at        Unix time in milliseconds
    is_of_file        the configuration has it; it is not changed but there
    """

    id: str
    rawsql: str
    actions: tuple[ActionSpec, ...] = ()
    enabled: bool = True
    description: str = ""
    on_action_failed: str = "continue"
    created_at: int = 0
    is_of_file: bool = False


class ResourceSpec(msgspec.Struct, frozen=True):
    """What actions share: a server and how it is called."""

    id: str
    type: str
    config: Params = {}
    description: str = ""
    created_at: int = 0


def new_id(kind: str) -> str:
    """Return an id that nobody has, such as ``rule:1f0c4a7e``."""
    return f"{kind}:{secrets.token_hex(4)}"


def checked_id(text: str) -> str:
    """Return an id that was given. Raises RuleFault."""
    if _ID.fullmatch(text) is None:
        raise RuleFault(_BAD_ID.format(text[:64]))
    return text


def flat(rule: RuleSpec) -> list[ActionSpec]:
    """Return the actions of a rule, each with its fallbacks behind it."""
    return [each for action in rule.actions for each in (action, *action.fallbacks)]


def check_rule(rule: RuleSpec) -> None:
    """Raise RuleFault for what no rule can be; its SQL and its actions aside."""
    checked_id(rule.id)
    if not 0 < len(rule.rawsql) <= MOST_SQL:
        raise RuleFault(f"rawsql: expected 1 to {MOST_SQL} letters")
    _check_description(rule.description)
    if rule.on_action_failed not in ("continue", "stop"):
        raise RuleFault("on_action_failed: expected continue or stop")
    actions = flat(rule)
    if len(actions) > MOST_ACTIONS:
        raise RuleFault(f"actions: expected {MOST_ACTIONS} at most")
    if any(each.fallbacks for action in rule.actions for each in action.fallbacks):
        raise RuleFault("actions: a fallback has no fallbacks")
    ids = [action.id for action in actions]
    if twice := [each for each in ids if ids.count(each) > 1]:
        raise RuleFault(f"actions: id: {twice[0][:64]!r}: two actions have it")
    for action in actions:
        if _ID.fullmatch(action.id) is None:
            raise RuleFault(f"action {action.name[:64]}: {_BAD_ID.format(action.id[:64])}")
        _check_size(f"action {action.name[:64]}: params", action.params)


def check_resource(resource: ResourceSpec) -> None:
    """Raise RuleFault for what no resource can be; its type and config aside."""
    checked_id(resource.id)
    _check_description(resource.description)
    _check_size("config", resource.config)


def _check_description(text: str) -> None:
    if len(text) > MOST_DESCRIPTION:
        raise RuleFault(f"description: expected {MOST_DESCRIPTION} letters at most")


def _check_size(what: str, params: Params) -> None:
    if len(msgspec.json.encode(params)) > MOST_JSON:
        raise RuleFault(f"{what}: expected {MOST_JSON} bytes at most")


def with_ids(actions: Iterable[ActionSpec]) -> tuple[ActionSpec, ...]:
    """Return the actions, each with an id: ``republish_1699876543210123456``."""
    return tuple(
        msgspec.structs.replace(
            each,
            id=each.id or f"{each.name[:32]}_{time.time_ns()}_{secrets.token_hex(2)}",
            fallbacks=with_ids(each.fallbacks),
        )
        for each in actions
    )
