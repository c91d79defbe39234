"""A change of the configuration as one transaction, whoever asks for it.

1. read and check the whole; 2. compare it with what runs; 3. prepare everything that can
fail; 4. put it in force at once; 5. on any failure undo, and go on as before. Asked for by
SIGHUP, ``nanomq reload``, and the HTTP API.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from nanomq_py.config import Config, ConfigError
from nanomq_py.config.declare.key import Applies
from nanomq_py.config.file import ConfFile, Replacement
from nanomq_py.config.reader import Reading
from nanomq_py.config.settings import Difference, differences, line_of, names_of
from nanomq_py.core.binding import CoreError
from nanomq_py.kernel.part import Change, Part
from nanomq_py.kernel.parts import Changes, Parts

log = logging.getLogger("nanomq")
audit = logging.getLogger("nanomq.audit")


@dataclass(frozen=True)
class Outcome:
    """What a change did: names of keys.

    applied  in force now
    restart  have another value than the process began with, and wait for a restart
    unused   changed, and without effect in this version
    """

    applied: tuple[str, ...]
    restart: tuple[str, ...]
    unused: tuple[str, ...]


class _FileChange(Change):
    """The file, which is replaced already: undo puts the old one back."""

    def __init__(self, replacement: Replacement) -> None:
        self._replacement = replacement

    async def undo(self) -> None:
        await asyncio.to_thread(self._replacement.undo)


class Reloader:
    """Takes the process from one configuration to the next, one change at a time."""

    def __init__(self, file: ConfFile, parts: Parts) -> None:
        """Begin with ``file.reading``, which is in force, or will be at the start."""
        self.file = file
        self._parts = parts
        self._began_with = file.reading.config
        self.turn = asyncio.Lock()  # held by a change, and while the parts are started
        self._closed = False

    @property
    def config(self) -> Config:
        """The configuration that was accepted last."""
        return self.file.reading.config

    @property
    def path(self) -> Path | None:
        """The configuration file; None: there is none."""
        return self.file.path

    async def begin(self) -> None:
        """Start the parts. Call with the turn. Raises ConfigError, and what a part raises."""
        with self.file.reading.placing():
            await self._parts.begin(self.config)

    async def reload(self, who: str) -> Outcome:
        """Read the file again and put it in force.

        who     asked for it: for the audit line
        Raises  ConfigError saying why not; everything is as it was then
        """

        async def act() -> Outcome:
            reading = await asyncio.to_thread(lambda: self.file.read(anew=True))
            with reading.placing():
                return await self._apply(reading, self._parts, who, write=False)

        return await self._in_turn(act, who)

    async def change(
        self, edit: Callable[[Config], Config], who: str, before: Part | None = None
    ) -> Outcome:
        """Put another configuration in force, and write it to the file.

        edit    returns it, given the one in force; may raise
        before  what else belongs to the change, such as files
        Raises  ConfigError saying why not; everything is as it was then
        """

        async def act() -> Outcome:
            reading = await asyncio.to_thread(
                lambda: self.file.edited(edit(self.file.reading.config))
            )
            parts = self._parts if before is None else Parts([before, self._parts])
            return await self._apply(reading, parts, who, write=True)

        return await self._in_turn(act, who)

    async def write(self, text: str, who: str) -> Outcome:
        """Put what a text says in force, and write it to the file in place of the old one.

        who     as for :meth:`reload`
        Raises  ConfigError saying why not, NotWrittenError where the text is not at fault;
                everything is as it was then
        """

        async def act() -> Outcome:
            reading = await asyncio.to_thread(self.file.saying, text)
            return await self._apply(reading, self._parts, who, write=True)

        return await self._in_turn(act, who)

    async def close(self, timeout_s: float) -> None:
        """Refuse changes from now on, and return when the one under way has ended."""
        self._closed = True
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.turn.acquire(), timeout_s)
            self.turn.release()

    async def _in_turn(self, act: Callable[[], Awaitable[Outcome]], who: str) -> Outcome:
        async def alone() -> Outcome:
            async with self.turn:
                try:
                    if self._closed:
                        raise ConfigError("the broker is stopping")
                    return await act()
                except ConfigError as fault:
                    audit.info("%s: refused: %s", who, fault)
                    raise
                except OSError as fault:  # such as no descriptor left
                    why = fault.strerror or str(fault)
                    audit.info("%s: refused: %s", who, why)
                    raise ConfigError(f"not put in force: {why}") from None

        # Whoever asked may go away: the change is still done, or undone, to its end.
        return await asyncio.shield(asyncio.create_task(alone()))

    async def _apply(
        self, reading: Reading, parts: Parts, who: str, *, write: bool
    ) -> Outcome:
        found = await asyncio.to_thread(differences, self.config, reading.config)
        changes = await parts.prepare(reading.config)
        try:
            if write:
                await self._write(reading, changes)
            changes.commit()
        except BaseException as fault:
            await changes.undo()
            if isinstance(fault, CoreError):
                raise ConfigError(f"not put in force: {fault}") from None
            raise
        renewed = changes.renewed
        self.file.reading = reading
        await changes.settle()
        outcome = self._outcome(found, renewed)
        _tell(who, found, renewed)
        return outcome

    async def _write(self, reading: Reading, changes: Changes) -> None:
        """Replace the file, as the last thing that can fail. Raises ConfigError."""
        replacement = await asyncio.to_thread(self.file.replacement, reading)
        if replacement is not None:
            changes.all.insert(0, _FileChange(replacement))
            await asyncio.to_thread(replacement.commit)

    def _outcome(self, found: list[Difference], renewed: list[str]) -> Outcome:
        def names(applies: Applies) -> tuple[str, ...]:
            return names_of([d for d in found if d.applies is applies])

        waiting = [
            difference
            for difference in differences(self._began_with, self.config)
            if difference.applies is Applies.RESTART
        ]
        applied = dict.fromkeys([*names(Applies.HOT), *renewed])
        return Outcome(tuple(applied), names_of(waiting), names(Applies.NEVER))


def _tell(who: str, found: list[Difference], renewed: list[str]) -> None:
    """Write the audit line. Secrets are hidden."""
    texts = [line_of(found), *(f"{name}: another content" for name in renewed)]
    audit.info("%s: %s", who, "; ".join(filter(None, texts)) or "nothing changed")
