"""A rule as it was given, made into what runs: its statement and its actions."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanomq_py.plugins.rules.action import Action, Tools
from nanomq_py.plugins.rules.columns import event_name, example
from nanomq_py.plugins.rules.faults import RuleFault, TakenError
from nanomq_py.plugins.rules.keys import Keys
from nanomq_py.plugins.rules.model import (
    ActionSpec,
    ResourceSpec,
    RuleSpec,
    check_rule,
    flat,
)
from nanomq_py.plugins.rules.parsing import parsed

if TYPE_CHECKING:
    from nanomq_py.broker import Broker
    from nanomq_py.plugins.rules.sql import Statement


# What stands behind the name of a file that is beside another one.
_BESIDE = re.compile(r"\.[0-9]+|-(?:wal|shm|journal)")


@dataclass
class Place:
    """Where rules are, and what they may do: of the configuration.

    folder  of files that rules write; None: there is no place
    """

    keys: Keys = field(default_factory=Keys)
    folder: Path | None = None
    node: str = ""


async def compiled(spec: RuleSpec, others: Sequence[RuleSpec]) -> Statement:
    """Return the statement of a rule that could be beside the others. Raises RuleFault.

    The first one takes some 0.1 s, a long one 0.3 s: others have the loop meanwhile.
    """
    check_rule(spec)
    _check_paths(spec, others)
    return await asyncio.to_thread(parsed, spec.rawsql)


def actions_of(
    rule: RuleSpec,
    broker: Broker,
    place: Place,
    resource: Callable[[str], ResourceSpec],
) -> tuple[Action, ...]:
    """Return the actions of a rule, with their fallbacks. Raises RuleFault."""
    from nanomq_py.plugins.rules.catalog import make_action  # with the first rule

    def made(spec: ActionSpec) -> Action:
        tools = Tools(
            broker,
            place.folder,
            resource,
            rule.id,
            spec.id,
            is_trusted=rule.is_of_file,
            allow=place.keys.allow,
        )
        try:
            action = make_action(spec, tools)
        except RuleFault as fault:
            raise type(fault)(f"action {spec.name[:64]}: {fault}") from None
        action.id = spec.id
        action.fallbacks = tuple(map(made, spec.fallbacks))
        return action

    return tuple(map(made, rule.actions))


def _check_paths(spec: RuleSpec, others: Sequence[RuleSpec]) -> None:
    """Raise TakenError for a file that another action writes.

    A file has others beside it: ``NAME.1`` that was put away, ``NAME-wal`` of SQLite. Tables
    may be in one file.
    """
    files = [path for other in others for path in _paths(other, "file")]
    tables = [path for other in (*others, spec) for path in _paths(other, "sqlite")]
    for path in _paths(spec, "file"):
        _check_is_free(path, (*files, *tables))
        files.append(path)
    for path in _paths(spec, "sqlite"):
        _check_is_free(path, files)


def _check_is_free(path: str, taken: Iterable[str]) -> None:
    """Raise TakenError for a file that is one of these, or beside one."""
    for other in taken:
        if path == other or _is_beside(path, other) or _is_beside(other, path):
            raise TakenError(f"path: another action writes {other[:100]!r}")


def _is_beside(path: str, other: str) -> bool:
    if not path.startswith(other):
        return False
    return _BESIDE.fullmatch(path[len(other) :]) is not None


def _paths(spec: RuleSpec, kind: str) -> list[str]:
    default = "rules.db" if kind == "sqlite" else ""
    return [
        str(each.params.get("path", default)) for each in flat(spec) if each.name == kind
    ]


def resources_of(spec: RuleSpec) -> set[object]:
    """Return the ids of the resources that it uses."""
    return {
        value
        for each in flat(spec)
        if isinstance(value := each.params.get("$resource"), str)
    }


# --- trying one out


def tried(rawsql: str, context: dict[str, Any], node: str) -> Any:
    """Return what a statement selects from a context: a row, of FOREACH a list of them.

    What the context lacks is filled in with examples. None: its WHERE does not want it.
    Raises   RuleFault
    """
    statement = parsed(rawsql)
    first = event_name(statement.topics[0])
    columns = {**example(first or "message_publish", node), **context}
    try:
        rows = statement.run(columns)
    except Exception as fault:
        raise RuleFault(f"rawsql: {fault}") from None
    if not rows:
        return None
    return list(rows) if statement.is_foreach else rows[0]
