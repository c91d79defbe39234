"""Rules: SQL over messages and events, and what is done with what it selects.

::

    plugins.load=rules

    POST /api/v4/rules     {"rawsql": "SELECT payload.t AS t FROM \\"s/#\\"", "actions": [...]}
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from nanomq_py.broker import Broker
from nanomq_py.config import Config
from nanomq_py.kernel.node import node_name
from nanomq_py.kernel.part import Change
from nanomq_py.plugins.plugin import Plugin
from nanomq_py.plugins.rules.compiling import Place
from nanomq_py.plugins.rules.engine import Engine
from nanomq_py.plugins.rules.keys import SECTION, Keys
from nanomq_py.plugins.rules.model import ActionSpec, RuleSpec

IDLE_S = 10  # between two looks whether $SYS is wanted again


class Rules(Plugin):
    """The rules of a broker: see docs/rules.md."""

    brings = (SECTION,)

    def __init__(self, name: str, broker: Broker) -> None:
        super().__init__(name, broker)
        self.engine = Engine(broker, self.log)
        self._of_file: Sequence[RuleSpec] = ()
        self._has_started = False
        self._told: dict[str, int] = {}
        self._sys_interval_s = 0

    async def prepare(self, config: Config) -> Change:
        return _KeysChange(self, config)

    def use(self, config: Config) -> None:
        keys = config.of_part(Keys)
        self._of_file = of_file(keys)
        self.engine.place = Place(
            keys, _folder(keys, config, self.broker), node_name(config)
        )

        self._sys_interval_s = config.sys_interval

    async def settle(self) -> None:
        if self._has_started:
            await self.engine.use(self._of_file)

    async def start(self) -> None:
        await self.engine.start(self._of_file)
        self._has_started = True
        self.work(self._tell())

    def counters(self) -> Mapping[str, int]:
        return asdict(self.engine.totals)

    async def _tell(self) -> None:
        """Publish what has changed below ``$SYS/broker/rules``, as often as other counters."""
        while True:
            if self._sys_interval_s > 0:
                for name, value in self.counters().items():
                    if self._told.get(name) != value:
                        self._told[name] = value
                        topic = f"$SYS/broker/rules/{name}"
                        self.broker.publish(topic, str(value), retain=True)
            await asyncio.sleep(self._sys_interval_s or IDLE_S)

    async def stop(self) -> None:
        # What waits for rules is kept over a restart, and over a reload of this code.
        stays = any(each.name == self.name for each in self.broker.config.plugged)
        await self.engine.stop(is_unloaded=not stays)


def of_file(keys: Keys) -> list[RuleSpec]:
    """Return the rules of the configuration, by NanoMQ's keys: ``conf:1`` and so on."""
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


class _KeysChange(Change):
    def __init__(self, rules: Rules, config: Config) -> None:
        self._rules = rules
        self._config = config

    def commit(self) -> None:
        self._rules.use(self._config)

    async def settle(self) -> None:
        await self._rules.settle()


def _folder(keys: Keys, config: Config, broker: Broker) -> Path | None:
    if keys.folder:
        return Path(keys.folder).absolute()
    store = broker.store.path
    return None if store is None else store.with_name(f"{store.stem}-rules")
