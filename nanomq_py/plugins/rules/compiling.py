"""A rule as it was given, made into what runs: its statement and its actions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


@dataclass
class Place:
    """Where rules are, and what they may do: of the configuration.

    folder  of files that rules write; None: there is no place
    """

    keys: Keys = field(default_factory=Keys)
    folder: Path | None = None
    node: str = ""


def compiled(spec: RuleSpec, others: Sequence[RuleSpec]) -> Statement:
    """Return the statement of a rule that could be beside the others. Raises RuleFault."""
    check_rule(spec)
    statement = parsed(spec.rawsql)
    _check_paths(spec, others)
    return statement


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
    """Raise TakenError for a file that another action writes."""
    taken = {path for other in others for path in _paths(other)}
    for path in _paths(spec):
        if path in taken:
            raise TakenError(f"action file: path: another action writes {path[:100]!r}")
        taken.add(path)


def _paths(spec: RuleSpec) -> list[str]:
    return [str(each.params.get("path")) for each in flat(spec) if each.name == "file"]


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
    is_foreach = rawsql.split(None, 1)[0].upper() == "FOREACH"
    return list(rows) if is_foreach else rows[0]
