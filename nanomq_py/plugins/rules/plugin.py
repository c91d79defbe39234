"""Rules: SQL over messages and events, and what is done with what it selects.

::

    plugins.load=rules

    POST /api/v4/rules     {"rawsql": "SELECT payload.t AS t FROM \\"s/#\\"", "actions": [...]}

Most of it is imported with the first rule.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from nanomq_py.broker import Broker
from nanomq_py.config import Config
from nanomq_py.kernel.node import node_name
from nanomq_py.kernel.part import Change
from nanomq_py.plugins.plugin import Plugin
from nanomq_py.plugins.rules.keys import SECTION, Keys
from nanomq_py.plugins.rules.table import are_kept

if TYPE_CHECKING:
    from nanomq_py.plugins.rules.compiling import Place
    from nanomq_py.plugins.rules.engine import Engine
    from nanomq_py.plugins.rules.model import RuleSpec


class Rules(Plugin):
    """The rules of a broker: see docs/rules.md.

    engine  None: there is no rule yet
    """

    brings = (SECTION,)

    def __init__(self, name: str, broker: Broker) -> None:
        super().__init__(name, broker)
        self.engine: Engine | None = None
        self._turn = asyncio.Lock()
        self._config = broker.config
        self._keys = Keys()
        self._has_started = False

    async def prepare(self, config: Config) -> Change:
        return _KeysChange(self, config)

    def use(self, config: Config) -> None:
        self._config = config
        self._keys = config.of_part(Keys)
        if self.engine is not None:
            self.engine.place = self._place()

    async def settle(self) -> None:
        if self._has_started and (self.engine is not None or self._keys.rules):
            engine = await self.opened()
            await engine.use(of_file(self._keys))
            self.end_orphans(engine.waited_for)

    async def start(self) -> None:
        if self._keys.rules or await are_kept(self.broker.store):
            self.end_orphans((await self.opened()).waited_for)
        else:
            self.end_orphans()
        self._has_started = True

    async def opened(self) -> Engine:
        """Return the rules, and start those that there are. Raises StoreError."""
        async with self._turn:
            if self.engine is None:
                from nanomq_py.plugins.rules.engine import Engine

                engine = Engine(self.broker, self.log)
                engine.place = self._place()
                await engine.start(of_file(self._keys))
                self.engine = engine
                self.work(self.tell_counters())
            return self.engine

    def _place(self) -> Place:
        from nanomq_py.plugins.rules.compiling import Place

        folder = _folder(self._keys, self.broker)
        return Place(self._keys, folder, node_name(self._config))

    def counters(self) -> Mapping[str, int]:
        return {} if self.engine is None else asdict(self.engine.totals)

    async def stop(self) -> None:
        # What waits for rules is kept over a restart, and over a reload of this code.
        stays = any(each.name == self.name for each in self.broker.config.plugged)
        if self.engine is not None:
            await self.engine.stop(is_unloaded=not stays)


class _KeysChange(Change):
    def __init__(self, rules: Rules, config: Config) -> None:
        self._rules = rules
        self._config = config

    def commit(self) -> None:
        self._rules.use(self._config)

    async def settle(self) -> None:
        await self._rules.settle()


def of_file(keys: Keys) -> list[RuleSpec]:
    """Return the rules of the configuration, by NanoMQ's keys: ``conf:1`` and so on."""
    if not keys.rules:
        return []
    from nanomq_py.plugins.rules.model import ActionSpec, RuleSpec

    made = []
    for number, rule in enumerate(keys.rules, 1):
        actions = []
        if rule.table:
            params = {"table": rule.table, "path": keys.sqlite_path}
            actions.append(ActionSpec("sqlite", params, f"sqlite_{number}"))
        if rule.topic:
            params = {"topic": rule.topic}
            if rule.address:
                params["address"] = rule.address
            actions.append(ActionSpec("repub", params, f"repub_{number}"))
        spec = RuleSpec(f"conf:{number}", rule.sql, tuple(actions), is_of_file=True)
        made.append(spec)
    return made


def _folder(keys: Keys, broker: Broker) -> Path | None:
    if keys.folder:
        return Path(keys.folder).absolute()
    store = broker.store.path
    return None if store is None else store.with_name(f"{store.stem}-rules")
