"""Plugins as an operator sees them: which there are, and to load, unload or renew one.

It changes ``plugins.load``, in force and in the file, as one transaction of the configuration.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from nanomq_py.config import Config, ConfigError
from nanomq_py.kernel.reload import Outcome
from nanomq_py.plugins.catalog import Origin, installed
from nanomq_py.plugins.held import Held, State
from nanomq_py.plugins.part import Plugins


class PluginError(ConfigError):
    """A plugin is not switched as it was asked for; the text says why."""


class AlreadyLoadedError(PluginError):
    """The configuration names it already."""


class NotLoadedError(PluginError):
    """The configuration does not name it."""


class NotInstalledError(PluginError):
    """No package brings a plugin of that name."""


class FailedError(PluginError):
    """Its code cannot be loaded, or it does not start; what was in force is again."""


class Changes(Protocol):
    """What is called of a Reloader."""

    async def reload(self, who: str) -> Outcome: ...

    async def change(self, edit: Callable[[Config], Config], who: str) -> Outcome: ...


@dataclass(frozen=True)
class Listed:
    """A plugin that is installed, or that the configuration names.

    error  what went wrong last; empty: nothing
    """

    name: str
    version: str
    description: str
    state: State
    error: str = ""


def _listed(held: Held) -> Listed:
    origin = held.loaded.origin
    return Listed(held.name, origin.version, origin.summary, held.state, held.fault)


class Switch:
    """Loads and unloads the plugins of a process; ``who`` asks is for the audit line.

    Threads  belongs to the event loop
    """

    def __init__(self, plugins: Plugins, changes: Changes) -> None:
        self._plugins = plugins
        self._changes = changes

    async def all(self) -> list[Listed]:
        """Return those that the configuration names, in its order, then the others."""
        points = await asyncio.to_thread(installed)
        here = [_listed(held) for held in self._plugins.held]
        names = {each.name for each in here}
        others = [
            (name, Origin.of(point))
            for name, point in sorted(points.items())
            if name not in names
        ]
        return here + [
            Listed(name, origin.version, origin.summary, State.STOPPED)
            for name, origin in others
        ]

    async def one(self, name: str) -> Listed | None:
        """Return the plugin of that name; None: there is none."""
        return next((each for each in await self.all() if each.name == name), None)

    async def load(self, name: str, who: str) -> Outcome:
        """Load one, behind the others. Raises ConfigError, as a PluginError or of its keys."""
        points = await asyncio.to_thread(installed)
        if name not in points and self._held(name) is None:
            there = ", ".join(sorted(points)) or "none"
            raise NotInstalledError(f"not installed: {name[:64]}; there is {there}")

        def edit(config: Config) -> Config:
            if name in config.plugins.load:
                raise AlreadyLoadedError(f"plugin {name}: it is loaded")
            return _naming(config, *config.plugins.load, name)

        outcome = await self._changes.change(edit, who)
        held = self._held(name)
        if held is not None and (why := held.error):
            await self.unload(name, who)
            raise FailedError(f"plugin {name}: {why}")
        return outcome

    async def unload(self, name: str, who: str) -> Outcome:
        """Unload one; what it keeps in memory is gone. Raises ConfigError."""

        def edit(config: Config) -> Config:
            if name not in config.plugins.load:
                raise NotLoadedError(f"plugin {name[:64]}: it is not loaded")
            return _naming(config, *(each for each in config.plugins.load if each != name))

        return await self._changes.change(edit, who)

    async def reload(self, name: str, who: str) -> Outcome:
        """Load the code of one anew, as a part of a reload. Raises ConfigError."""
        held = self._held(name)
        if held is None:
            raise NotLoadedError(f"plugin {name[:64]}: it is not loaded")
        held.loaded.expire()
        outcome = await self._changes.reload(who)
        now = self._held(name)
        if now is not None and (why := now.loaded.kept or now.error):
            raise FailedError(f"plugin {name}: {why}")
        return outcome

    def _held(self, name: str) -> Held | None:
        return next((held for held in self._plugins.held if held.name == name), None)


def _naming(config: Config, *names: str) -> Config:
    return replace(config, plugins=replace(config.plugins, load=names))
