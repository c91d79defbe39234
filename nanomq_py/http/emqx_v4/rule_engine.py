"""Rules of v4: those of the plugin ``rules``, in the words of EMQX and of NanoMQ.

Nothing of the plugin is imported while it is not loaded: lists are empty then, which is true,
and to make something is answered with 501.

Source  EMQX 4.4, emqx_rule_engine_api; NanoMQ 0.24, rest_api.c; to delete what is absent
        succeeds there
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec

from nanomq_py.http.codes import Code
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx_v4.stored import store_faults
from nanomq_py.http.emqx_v4.words import Refused
from nanomq_py.http.errors import BadParameter
from nanomq_py.http.rest.endpoint import Call, Endpoint, Listing, Plain
from nanomq_py.http.rest.parameters import Nothing

if TYPE_CHECKING:
    from nanomq_py.plugins.rules.action import Action
    from nanomq_py.plugins.rules.engine import Engine, Rule
    from nanomq_py.plugins.rules.model import ActionSpec, RuleSpec
    from nanomq_py.plugins.rules.plugin import Rules

NAME = "rules"
NOT_LOADED = "the rule engine is not loaded: plugins.load=rules loads it"
PIECE = 100  # rules before others have the loop

Params = dict[str, Any]


class RuleMetrics(msgspec.Struct, frozen=True):
    """EMQX's counters of a rule; ``dropped`` is ours: lost before the rule came to it."""

    node: str
    matched: int
    passed: int
    failed: int
    exception: int
    no_result: int
    dropped: int
    speed: float
    speed_max: float
    speed_last5m: float


class ActionMetrics(msgspec.Struct, frozen=True):
    node: str
    success: int
    failed: int
    taken: int


class ActionRow(msgspec.Struct, frozen=True):
    id: str
    name: str
    params: Params
    fallbacks: list[ActionRow]
    metrics: list[ActionMetrics]


class RuleRow(msgspec.Struct, frozen=True, rename={"topics": "for"}):
    """A rule.

    name   NanoMQ's: what its first action does
    error  why it does not run
    """

    id: str
    name: str
    rawsql: str
    topics: list[str]
    actions: list[ActionRow]
    on_action_failed: str
    metrics: list[RuleMetrics]
    enabled: bool
    created_at: int
    description: str
    error: str


class ActionBody(msgspec.Struct, frozen=True):
    name: str
    params: Params = {}
    id: str = ""
    fallbacks: list[ActionBody] = []


class RuleBody(msgspec.Struct, frozen=True):
    """A rule to make; with ``test`` it is only tried out on the columns of ``ctx``."""

    rawsql: str
    actions: list[ActionBody] = []
    id: str = ""
    enabled: bool = True
    description: str = ""
    on_action_failed: str = "continue"
    test: bool | str = False
    ctx: Params = {}


class RuleChange(msgspec.Struct, frozen=True):
    """What is to be another. What is not named stays."""

    rawsql: str | None = None
    actions: list[ActionBody] | None = None
    enabled: bool | None = None
    description: str | None = None
    on_action_failed: str | None = None


class Test(msgspec.Struct, frozen=True):
    """Whether it is only to be tried out: ``?test`` or ``?test=true``."""

    test: str = "false"

    @property
    def is_test(self) -> bool:
        return self.test in ("", "true")


class RulesQuery(
    msgspec.Struct,
    frozen=True,
    rename={
        "topic": "for",
        "like_id": "_like_id",
        "like_for": "_like_for",
        "like_description": "_like_description",
    },
):
    """Which rules are wanted."""

    enabled: bool | None = None
    topic: str | None = None
    like_id: str = ""
    like_for: str = ""
    like_description: str = ""

    def wants(self, rule: Rule) -> bool:
        spec = rule.spec
        return (
            self.enabled in (None, spec.enabled)
            and (self.topic is None or self.topic in rule.topics)
            and self.like_id in spec.id
            and any(self.like_for in each for each in rule.topics or [""])
            and self.like_description in spec.description
        )


# --- the plugin


def plugin_of(api: Api) -> Rules | None:
    """Return the plugin; None: it is not loaded."""
    held = api.plugins.serving(NAME)
    return None if held is None else cast("Rules | None", held.plugin)


def made_of(api: Api) -> Engine | None:
    """Return the rules; None: there is none yet."""
    plugin = plugin_of(api)
    return None if plugin is None else plugin.engine


async def engine_of(api: Api) -> Engine:
    """Return the rules, to make one. Raises Refused where the plugin is not loaded."""
    plugin = plugin_of(api)
    if plugin is None:
        raise Refused(Code.UNKNOWN_MISTAKE, NOT_LOADED, 501)
    with store_faults():
        return await plugin.opened()


def not_found() -> Refused:
    return Refused(Code.UNKNOWN_MISTAKE, "Not Found", 404)


@contextlib.contextmanager
def faults() -> Iterator[None]:
    """Raise what a change of rules raises as an error of v4. The plugin is loaded."""
    from nanomq_py.plugins.rules.faults import NotHereError, RuleFault

    try:
        with store_faults():
            try:
                yield
            except NotHereError as fault:
                raise Refused(Code.UNKNOWN_MISTAKE, str(fault), 501) from None
            except RuleFault as fault:
                raise BadParameter(str(fault)) from None
    except OSError as fault:
        raise Refused(Code.UNKNOWN_MISTAKE, str(fault.strerror), 500) from None


@contextlib.contextmanager
def looked_up() -> Iterator[None]:
    """Raise 404 for what there is not. The plugin is loaded."""
    from nanomq_py.plugins.rules.faults import UnknownError

    try:
        yield
    except UnknownError:
        raise not_found() from None


# --- rows


def _action_row(node: str, spec: ActionSpec, action: Action | None) -> ActionRow:
    from nanomq_py.plugins.rules.masks import masked

    success, failed = action.told() if action is not None else (0, 0)
    behind = action.fallbacks if action is not None else [None] * len(spec.fallbacks)
    fallbacks = [
        _action_row(node, each, its)
        for each, its in zip(spec.fallbacks, behind, strict=True)
    ]
    metrics = [ActionMetrics(node, success, failed, success + failed)]
    return ActionRow(spec.id, spec.name, masked(spec.params), fallbacks, metrics)


def _row(node: str, rule: Rule) -> RuleRow:
    spec, counts = rule.spec, rule.counts
    dropped = rule.dropped
    return RuleRow(
        id=spec.id,
        name=spec.actions[0].name if spec.actions else "",
        rawsql=spec.rawsql,
        topics=list(rule.topics),
        actions=[
            _action_row(node, each, rule.actions[at] if rule.actions else None)
            for at, each in enumerate(spec.actions)
        ],
        on_action_failed=spec.on_action_failed,
        metrics=[
            RuleMetrics(
                node=node,
                matched=counts.matched,
                passed=counts.passed,
                failed=counts.failed,
                exception=counts.exception,
                no_result=counts.no_result,
                dropped=dropped,
                speed=counts.rate.current,
                speed_max=counts.rate.max,
                speed_last5m=round(counts.rate.last_5m, 2),
            )
        ],
        enabled=spec.enabled,
        created_at=spec.created_at,
        description=spec.description,
        error=rule.fault,
    )


async def _pieces(api: Api, rules: Sequence[Rule]) -> AsyncIterator[list[RuleRow]]:
    for at in range(0, len(rules), PIECE):
        yield [_row(api.node, rule) for rule in rules[at : at + PIECE]]


# --- endpoints


async def list_rules(api: Api, call: Call[RulesQuery, Nothing]) -> Listing[RuleRow]:
    engine = made_of(api)
    rules = [] if engine is None else [*engine.rules.values()]
    return Listing(None, _pieces(api, [each for each in rules if call.query.wants(each)]))


async def get_rule(api: Api, call: Plain) -> RuleRow:
    engine = made_of(api)
    if engine is None:
        raise not_found()
    with looked_up():
        return _row(api.node, engine.rule(call.path["id"]))


def _specs(given: Sequence[ActionBody], level: int = 0) -> tuple[ActionSpec, ...]:
    """Return the actions. Raises BadParameter for fallbacks of fallbacks."""
    if level > 1 and given:
        raise BadParameter("actions: a fallback has no fallbacks")
    from nanomq_py.plugins.rules.model import ActionSpec

    return tuple(
        ActionSpec(each.name, each.params, each.id, _specs(each.fallbacks, level + 1))
        for each in given
    )


async def create_rule(api: Api, call: Call[Test, RuleBody]) -> RuleRow | Any:
    body = call.body
    engine = await engine_of(api)
    if call.query.is_test or body.test in (True, "true"):
        return await _tried(engine, body)
    from nanomq_py.plugins.rules.model import RuleSpec

    spec = RuleSpec(
        id=body.id,
        rawsql=body.rawsql,
        actions=_specs(body.actions),
        enabled=body.enabled,
        description=body.description,
        on_action_failed=body.on_action_failed,
    )
    with faults():
        return _row(api.node, await engine.create(spec))


async def _tried(engine: Engine, body: RuleBody) -> Any:
    """Return what the statement selects. Raises Refused where it selects nothing."""
    from nanomq_py.plugins.rules.action import json_of, plain_row
    from nanomq_py.plugins.rules.compiling import tried
    from nanomq_py.plugins.rules.faults import RowError

    with faults():
        found = await asyncio.to_thread(tried, body.rawsql, body.ctx, engine.place.node)
        if found is None:
            raise Refused(Code.UNKNOWN_MISTAKE, "SQL Not Match", 404)
        rows = found if isinstance(found, list) else [found]
        try:
            told = [msgspec.Raw(json_of(plain_row(each))) for each in rows]
        except RowError as fault:
            raise BadParameter(f"rawsql: {fault}") from None
    return told if isinstance(found, list) else told[0]


async def update_rule(api: Api, call: Call[Nothing, RuleChange]) -> RuleRow:
    engine = made_of(api)
    if engine is None:
        raise not_found()
    body = call.body
    given = msgspec.structs.asdict(body)
    changes = {name: value for name, value in given.items() if value is not None}

    def change(before: RuleSpec) -> RuleSpec:
        if body.actions is not None:
            changes["actions"] = _with_secrets(_specs(body.actions), before.actions)
        return msgspec.structs.replace(before, **changes)

    with looked_up():
        engine.rule(call.path["id"])
    with faults():
        return _row(api.node, await engine.update(call.path["id"], change))


def _with_secrets(
    given: tuple[ActionSpec, ...], before: tuple[ActionSpec, ...]
) -> tuple[ActionSpec, ...]:
    """Return actions with the secrets that they had, by their ids or else their places."""
    from nanomq_py.plugins.rules.masks import unmasked

    by_id = {each.id: each for each in before}
    made = []
    for at, each in enumerate(given):
        old = by_id.get(each.id) or (before[at] if at < len(before) else None)
        params = unmasked(each.params, old.params if old is not None else {})
        behind = old.fallbacks if old is not None else ()
        fallbacks = _with_secrets(each.fallbacks, behind)
        made.append(msgspec.structs.replace(each, params=params, fallbacks=fallbacks))
    return tuple(made)


async def delete_rule(api: Api, call: Plain) -> None:
    engine = made_of(api)
    if engine is not None and call.path["id"] in engine.rules:
        with faults():
            await engine.delete(call.path["id"])


async def reset_metrics(api: Api, call: Plain) -> None:
    engine = made_of(api)
    if engine is None:
        raise not_found()
    with looked_up():
        engine.reset(call.path["id"])


ENDPOINTS = [
    Endpoint(method="GET", path="/rules", act=list_rules, summary="Rules."),
    Endpoint(method="GET", path="/rules/{id}", act=get_rule, summary="One rule."),
    Endpoint(method="POST", path="/rules", act=create_rule, summary="Make or try one."),
    Endpoint(method="PUT", path="/rules/{id}", act=update_rule, summary="Change a rule."),
    Endpoint(method="DELETE", path="/rules/{id}", act=delete_rule, summary="Forget it."),
    Endpoint(
        method="PUT",
        path="/rules/{id}/reset_metrics",
        act=reset_metrics,
        summary="Count a rule from 0 again.",
    ),
]
