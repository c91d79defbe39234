"""Several parts as one: prepared, put in force, started and stopped together, or not at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Sequence

from nanomq_py.config import Config, ConfigError
from nanomq_py.kernel.part import Change, Hears, Part, Trouble, put_in_force

log = logging.getLogger("nanomq")


class Changes(Change):
    """The changes of several parts, in the order in which they are put in force."""

    def __init__(self, changes: Sequence[Change] = ()) -> None:
        self.all = list(changes)

    @property
    def renewed(self) -> list[str]:
        return [name for change in self.all for name in change.renewed]

    def commit(self) -> None:
        for change in self.all:
            change.commit()

    async def undo(self) -> None:
        for change in reversed(self.all):
            await change.undo()

    async def settle(self) -> None:
        for change in self.all:
            await change.settle()


class Parts(Part):
    """Parts in their order: a part that needs another comes after it."""

    def __init__(self, parts: Sequence[Part], spare: Collection[str] = ()) -> None:
        """Take them.

        spare  names of those without which the process starts if they fail
        """
        self._parts = list(parts)
        self._spare = spare

    def add(self, part: Part) -> None:
        """Take one more, before the first :meth:`prepare`. It hears nothing."""
        self._parts.append(part)

    @property
    def hears(self) -> Hears:
        return {kind: act for part in self._parts for kind, act in part.hears.items()}

    def troubles(self) -> Iterable[Trouble]:
        return (trouble for part in self._parts for trouble in part.troubles())

    async def prepare(self, config: Config) -> Changes:
        made = Changes()
        try:
            for part in self._parts:
                change = await self._prepared(part, config)
                if change is not None:
                    made.all.append(change)
        except BaseException:
            await made.undo()
            raise
        return made

    async def _prepared(self, part: Part, config: Config) -> Change | None:
        try:
            return await part.prepare(config)
        except ConfigError as fault:
            if part.name not in self._spare:
                raise
            log.error("%s; the broker goes on without it", fault)
            return None

    async def begin(self, config: Config) -> None:
        """Start all of them, or none. Raises ConfigError or CoreError."""
        change = await self.prepare(config)
        await put_in_force(change)
        self._spare = ()
        try:
            await self.start()
        except BaseException:
            self.leave()
            await self.stop()
            raise

    async def start(self) -> None:
        for part in self._parts:
            await part.start()

    def leave(self) -> None:
        for part in reversed(self._parts):
            part.leave()

    async def stop(self) -> None:
        """End them side by side, the last one first: all of them have two seconds."""
        await asyncio.gather(*(part.stop() for part in reversed(self._parts)))
