"""All rules and resources: made, changed and forgotten while the broker runs.

::

    create ──> compiled (SQL, actions) ──> in the store ──> running

A change that cannot be made leaves everything as it was.

Threads  belongs to the event loop
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from nanomq_py.plugins.rules.action import Action, Complaints, count_on, forget
from nanomq_py.plugins.rules.columns import event_name, wanted_of
from nanomq_py.plugins.rules.compiling import Place, actions_of, compiled, resources_of
from nanomq_py.plugins.rules.counters import RuleCounts, Totals
from nanomq_py.plugins.rules.faults import RuleFault, TakenError, UnknownError
from nanomq_py.plugins.rules.model import (
    ResourceSpec,
    RuleSpec,
    check_resource,
    flat,
    new_id,
    with_ids,
)
from nanomq_py.plugins.rules.running import Running
from nanomq_py.plugins.rules.table import RuleTable
from nanomq_py.store.faults import StoreError
from nanomq_py.store.moment import wall_s

if TYPE_CHECKING:
    from nanomq_py.broker import Broker
    from nanomq_py.plugins.rules.sql import Statement

MOST_RESOURCES = 1000
PATIENCE_S = 30.0  # publishers wait so long while actions take nothing
# What starting a rule may raise: of its parameters, the broker, the store, the system.
FAULTS = (ValueError, RuntimeError, StoreError, OSError)


@dataclass(eq=False)
class Rule:
    """A rule that there is.

    actions  as they run; also of a rule that is not enabled
    topics   of its FROM
    running  None: it is not enabled, or cannot run
    fault    why it cannot
    """

    spec: RuleSpec
    counts: RuleCounts
    complaints: Complaints
    statement: Statement | None = None
    actions: tuple[Action, ...] = ()
    topics: tuple[str, ...] = ()
    running: Running | None = None
    fault: str = ""
    lost: int = 0  # by those that ran before

    @property
    def id(self) -> str:
        return self.spec.id

    @property
    def filters(self) -> list[str]:
        """The Topic Filters of its FROM."""
        return [topic for topic in self.topics if event_name(topic) is None]

    @property
    def all_actions(self) -> Iterator[Action]:
        """Its actions and their fallbacks."""
        for action in self.actions:
            yield action
            yield from action.fallbacks

    @property
    def dropped(self) -> int:
        running = self.running.lost if self.running is not None else 0
        return self.counts.dropped + self.lost + running


class Engine:
    """The rules and resources of a broker."""

    def __init__(self, broker: Broker, log: logging.Logger) -> None:
        self.broker = broker
        self._log = log
        self._turn = asyncio.Lock()
        self._table: RuleTable | None = None
        self.place = Place()
        self.rules: dict[str, Rule] = {}
        self.resources: dict[str, ResourceSpec] = {}
        self.totals = Totals()

    # --- start and stop

    async def start(self, of_file: Sequence[RuleSpec]) -> None:
        """Load and start the rules of the store, and those of the configuration.

        Raises  StoreError
        """
        async with self._turn:
            self._table = RuleTable(self.broker.store)
            rules, resources = await self._table.all()
            self.resources = {each.id: each for each in resources}
            for spec in (*rules, *of_file):
                await self._begin_again(spec)

    async def _begin_again(self, spec: RuleSpec) -> None:
        """Start a rule of before; one that cannot run any more is there, and says why."""
        counts, complaints = RuleCounts(), Complaints(self._log, spec.id)
        rule = Rule(spec, counts, complaints)
        try:
            rule = await self._compiled(spec, counts, complaints)
            await self._run(rule)
        except FAULTS as fault:
            self._does_not_run(rule, fault)
        self.rules[spec.id] = rule

    def _does_not_run(self, rule: Rule, fault: Exception) -> None:
        rule.fault = str(fault)
        self._log.error("rule %s: it does not run: %s", rule.id, fault)

    async def use(self, of_file: Sequence[RuleSpec]) -> None:
        """Have these rules of the configuration in place of those of before."""
        async with self._turn:
            new = {each.id: each for each in of_file}
            for rule in [each for each in self.rules.values() if each.spec.is_of_file]:
                if new.get(rule.id) == rule.spec:
                    del new[rule.id]
                else:
                    await self._end(rule, is_gone=rule.id not in new)
                    del self.rules[rule.id]
            for spec in new.values():
                if spec.id not in self.rules:
                    await self._begin_again(spec)

    async def stop(self, *, is_unloaded: bool) -> None:
        """Stop all. is_unloaded: what waits for them is forgotten; else it is kept."""
        async with self._turn:
            rules = list(self.rules.values())
            await asyncio.gather(*(self._end(each, is_gone=is_unloaded) for each in rules))
            self.rules = {}

    @property
    def waited_for(self) -> frozenset[str]:
        """The consumers of rules that cannot run now: what comes is kept until they can."""
        rules = self.rules.values()
        return frozenset(_consumer_name(e.id) for e in rules if e.spec.enabled and e.fault)

    # --- one rule

    async def _compiled(
        self, spec: RuleSpec, counts: RuleCounts, complaints: Complaints
    ) -> Rule:
        """Return a rule that can run. Raises RuleFault."""
        others = [rule.spec for rule in self.rules.values() if rule.id != spec.id]
        statement = await compiled(spec, others)
        actions = actions_of(spec, self.broker, self.place, self.resource)
        return Rule(spec, counts, complaints, statement, actions, tuple(statement.topics))

    async def _run(self, rule: Rule) -> None:
        """Start it, if it is enabled. Raises RuleFault, StoreError, OSError."""
        if not rule.spec.enabled or rule.statement is None:
            return
        for action in rule.all_actions:
            await action.open()
        names = [name for topic in rule.topics if (name := event_name(topic)) is not None]
        keys = self.place.keys
        consumer = None
        if filters := rule.filters:
            consumer = self.broker.consume(
                _consumer_name(rule.id),
                filters,
                max_messages=keys.max_messages,
                max_bytes=keys.max_bytes,
                patience_s=PATIENCE_S,
            )
        rule.running = Running(
            rule.statement,
            rule.actions,
            rule.counts,
            self.totals,
            rule.complaints,
            stops_at_failure=rule.spec.on_action_failed == "stop",
            node=self.place.node,
            wanted=wanted_of(rule.spec.rawsql),
        )
        rule.running.start(consumer, self.broker, names)

    async def _end(self, rule: Rule, *, is_gone: bool) -> None:
        """Stop a rule. is_gone: what waits for it is forgotten."""
        if rule.running is not None:
            # A consumer that stays goes on counting what it drops.
            rule.lost += rule.running.lost if is_gone else rule.running.lost_events
            await rule.running.stop()
            rule.running = None
        for action in rule.all_actions:
            with contextlib.suppress(Exception):
                await action.close()
        if is_gone:
            self._forget_messages(rule)

    def _forget_messages(self, rule: Rule) -> None:
        with contextlib.suppress(KeyError):
            self.broker.end_consumer(_consumer_name(rule.id))

    # --- what who manages rules calls

    def rule(self, rule_id: str) -> Rule:
        """Return a rule. Raises UnknownError."""
        if rule_id not in self.rules:
            raise UnknownError(f"Rule {rule_id[:64]} Not Found")
        return self.rules[rule_id]

    async def create(self, spec: RuleSpec) -> Rule:
        """Make a rule; one without an id gets one. Raises RuleFault, StoreError, OSError."""
        async with self._turn:
            if spec.id in self.rules:
                raise TakenError(f"rule {spec.id[:64]}: Already Exists")
            if len(self.rules) >= self.place.keys.max_rules:
                raise RuleFault(
                    f"there are {len(self.rules)} rules: plugins.rules.max_rules"
                )
            made = msgspec.structs.replace(
                spec,
                id=spec.id or new_id("rule"),
                actions=with_ids(spec.actions),
                created_at=round(wall_s() * 1000),
            )
            rule = await self._compiled(made, RuleCounts(), Complaints(self._log, made.id))
            try:
                await self._run(rule)
                await self._keep(made)
            except BaseException:
                await self._end(rule, is_gone=True)
                raise
            self.rules[rule.id] = rule
            return rule

    async def update(self, rule_id: str, change: Callable[[RuleSpec], RuleSpec]) -> Rule:
        """Change a rule; it keeps its counters. Raises RuleFault, StoreError, OSError."""
        async with self._turn:
            before = self.rule(rule_id)
            self._check_is_ours(before)
            made = change(before.spec)
            made = msgspec.structs.replace(made, actions=with_ids(made.actions))
            rule = await self._compiled(made, before.counts, before.complaints)
            await self._end(before, is_gone=not made.enabled)
            rule.lost = before.lost
            count_on(before.all_actions, rule.all_actions)
            try:
                await self._run(rule)
                await self._keep(made)
            except BaseException:
                await self._end(rule, is_gone=False)
                await self._restore(before)
                raise
            self.rules[rule_id] = rule
            if not rule.filters:
                self._forget_messages(rule)  # those of the FROM before
            stay = {action.id for action in flat(made)}
            await forget(a for a in before.all_actions if a.id not in stay)
            return rule

    async def _restore(self, rule: Rule) -> None:
        """Start a rule again that was to be another."""
        try:
            await self._run(rule)
        except FAULTS as fault:
            self._does_not_run(rule, fault)

    async def delete(self, rule_id: str) -> None:
        """Forget a rule. Raises UnknownError, RuleFault, StoreError."""
        async with self._turn:
            rule = self.rule(rule_id)
            self._check_is_ours(rule)
            assert self._table is not None
            await self._table.delete(rule.spec)
            del self.rules[rule_id]
            await self._end(rule, is_gone=True)
            await forget(rule.all_actions)

    async def _keep(self, spec: RuleSpec | ResourceSpec) -> None:
        assert self._table is not None  # it has started
        await self._table.put(spec)

    def _check_is_ours(self, rule: Rule) -> None:
        if rule.spec.is_of_file:
            raise RuleFault(f"rule {rule.id}: the configuration has it: change it there")

    def reset(self, rule_id: str) -> None:
        """Count a rule and its actions from 0 again. Raises UnknownError."""
        rule = self.rule(rule_id)
        rule.counts.__init__()  # type: ignore[misc] # who runs holds it
        rule.lost = -(rule.running.lost if rule.running is not None else 0)
        for action in rule.all_actions:
            action.reset()

    # --- resources

    def resource(self, resource_id: str) -> ResourceSpec:
        """Return a resource. Raises UnknownError."""
        if resource_id not in self.resources:
            raise UnknownError(f"Resource {resource_id[:64]} Not Found")
        return self.resources[resource_id]

    def _users(self, resource_id: str) -> list[Rule]:
        return [
            rule for rule in self.rules.values() if resource_id in resources_of(rule.spec)
        ]

    async def create_resource(self, spec: ResourceSpec) -> ResourceSpec:
        """Make a resource; one without an id gets one. Raises RuleFault, StoreError."""
        async with self._turn:
            if spec.id in self.resources:
                raise TakenError(f"resource {spec.id[:64]}: Already Exists")
            if len(self.resources) >= MOST_RESOURCES:
                raise RuleFault(f"there are {MOST_RESOURCES} resources")
            made = msgspec.structs.replace(
                spec,
                id=spec.id or new_id("resource"),
                created_at=round(wall_s() * 1000),
            )
            self.check_resource(made)
            await self._keep(made)
            self.resources[made.id] = made
            return made

    def check_resource(self, spec: ResourceSpec) -> None:
        """Raise RuleFault for a resource that could not be made."""
        from nanomq_py.plugins.rules.catalog import check_config

        check_resource(spec)
        check_config(spec, self.place.keys.allow)

    async def update_resource(
        self, resource_id: str, change: Callable[[ResourceSpec], ResourceSpec]
    ) -> ResourceSpec:
        """Change a resource that no rule uses which runs. Raises RuleFault, StoreError."""
        async with self._turn:
            made = change(self.resource(resource_id))
            self.check_resource(made)
            self._check_is_free(resource_id, "disable")
            await self._keep(made)
            self.resources[resource_id] = made
            for rule in self._users(resource_id):  # they do not run
                with contextlib.suppress(RuleFault):
                    anew = await self._compiled(rule.spec, rule.counts, rule.complaints)
                    count_on(rule.all_actions, anew.all_actions)
                    rule.actions = anew.actions
            return made

    async def delete_resource(self, resource_id: str) -> None:
        """Forget a resource that no rule uses. Raises UnknownError, TakenError, StoreError."""
        async with self._turn:
            spec = self.resource(resource_id)
            self._check_is_free(resource_id, "delete")
            assert self._table is not None
            await self._table.delete(spec)
            del self.resources[resource_id]

    def _check_is_free(self, resource_id: str, do: str) -> None:
        users = self._users(resource_id)
        if do == "disable":
            users = [each for each in users if each.running is not None]
        if users:
            names = ", ".join(each.id for each in users[:5])
            raise TakenError(f"rules depend on this resource, {do} them first: {names}")

    def is_alive(self, spec: ResourceSpec) -> bool:
        """Return whether it could be used when it was last; True: it was not used yet."""
        users = self._users(spec.id)
        return not any(action.trouble for rule in users for action in rule.all_actions)


def _consumer_name(rule_id: str) -> str:
    return f"plugins/rules/{rule_id}"
