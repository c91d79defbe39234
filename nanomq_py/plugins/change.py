"""Other plugins, on their way in and out with a change of the configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from nanomq_py.broker import Broker
from nanomq_py.config import Config, ConfigError
from nanomq_py.kernel.part import Change
from nanomq_py.plugins.catalog import Loaded
from nanomq_py.plugins.held import Held, State


class Holder(Protocol):
    """Who holds the plugins of a process."""

    broker: Broker
    held: list[Held]
    have_begun: bool

    def end_orphans(self) -> None: ...


class PluginsChange(Change):
    """Other plugins, and the changes of those that stay."""

    def __init__(self, plugins: Holder) -> None:
        self._plugins = plugins
        self._before = plugins.held
        self.held: list[Held] = []  # those of the new configuration
        self._changes: list[tuple[Held, Change]] = []

    @property
    def renewed(self) -> list[str]:
        """The prefixes of plugins whose code is new, and the keys that theirs have renewed."""
        before = {each.name: each.loaded for each in self._before}
        new = [e.name for e in self.held if before.get(e.name, e.loaded) is not e.loaded]
        its = [key for held, change in self._changes for key in held.renewed(change)]
        return [*(f"plugins.{name}" for name in new), *its]

    @property
    def _come(self) -> list[Held]:
        return [each for each in self.held if each not in self._before]

    @property
    def _go(self) -> list[Held]:
        return [each for each in self._before if each not in self.held]

    async def prepare(self, config: Config) -> None:
        """Make what is new. Raises ConfigError of a plugin, and nothing has changed then."""
        self.held = [self._held_of(each) for each in config.plugged]
        try:
            for each in self.held:
                if each in self._come:
                    each.make(self._plugins.broker)
                change = await self._prepared(each, config)
                if change is not None:
                    self._changes.append((each, change))
        except BaseException:
            await self.undo()
            raise

    def _held_of(self, plugged: object) -> Held:
        """Return the one that is there; a new one, if that has other code or has failed."""
        assert isinstance(plugged, Loaded)
        for each in self._before:
            if each.loaded is plugged and (each.state is State.LOADED or plugged.fault):
                return each
        return Held(plugged)

    async def _prepared(self, held: Held, config: Config) -> Change | None:
        try:
            return await held.prepare(config)
        except ConfigError as fault:
            if self._plugins.have_begun:
                raise
            held.refused(fault)  # the broker starts without it
            return None

    def commit(self) -> None:
        for held, change in self._changes:
            held.commit(change)
        self._plugins.held = self.held

    async def undo(self) -> None:
        self._plugins.held = self._before
        for held, change in reversed(self._changes):
            await held.undo(change)
        await _stop(self._come)

    async def settle(self) -> None:
        """Stop those that go, and then start those that come."""
        for held, change in self._changes:
            await held.settle(change)
        for each in self._go:
            each.leave()
        await _stop(self._go)
        self._plugins.end_orphans()
        stay = {each.loaded.package for each in self.held}
        for each in self._go:
            if each.loaded.package not in stay:
                await asyncio.to_thread(each.loaded.forget)
        await _start(self._come)


async def _start(held: Sequence[Held]) -> None:
    await asyncio.gather(*(each.start() for each in held))


async def _stop(held: Sequence[Held]) -> None:
    await asyncio.gather(*(each.stop() for each in held))
