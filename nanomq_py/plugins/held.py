"""A plugin from its making to its end: what it raises, and how long it takes, ends here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from nanomq_py.broker import Broker
from nanomq_py.config import Config, ConfigError
from nanomq_py.kernel.part import Change
from nanomq_py.plugins.catalog import Loaded
from nanomq_py.plugins.plugin import Plugin, text_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from nanomq_py.http.app import Below
    from nanomq_py.http.guard import Gate

log = logging.getLogger("nanomq.plugins")
T = TypeVar("T")

WITHIN_S = 5.0  # for prepare, start, and what belongs to a change
STOP_WITHIN_S = 1.2  # the whole process stops within 2 s


class State(Enum):
    """How a plugin is."""

    LOADED = "loaded"
    FAILED = "failed"
    STOPPED = "stopped"


class Held:
    """A plugin that the process has.

    plugin   None: it could not be made
    error    what went wrong last; empty: nothing
    serves   whether it has started
    app      its part of the HTTP API, once it was asked for
    spoken   its own dialects of it, once they were asked for
    """

    def __init__(self, loaded: Loaded) -> None:
        """Take note of it: :meth:`make` makes it."""
        self.loaded = loaded
        self.plugin: Plugin | None = None
        self.error = ""
        self.serves = False
        self.app: ASGIApp | None = None
        self.spoken: list[Below] | None = None
        self._late: set[asyncio.Task[object]] = set()
        self._answering: set[asyncio.Task[Any]] = set()

    @property
    def name(self) -> str:
        return self.loaded.name

    @property
    def fault(self) -> str:
        """What is wrong with it; empty: nothing."""
        of_work = self.plugin.fault if self.plugin is not None else ""
        return self.error or of_work or self.loaded.kept

    @property
    def state(self) -> State:
        if self.fault and not (self.serves and self.fault == self.loaded.kept):
            return State.FAILED
        return State.LOADED if self.serves else State.STOPPED

    def make(self, broker: Broker) -> None:
        kind = self.loaded.kind
        if kind is None:
            self.error = self.loaded.fault
            log.error("plugin %s: %s", self.name, self.error, exc_info=self.loaded.raised)
        else:
            self.plugin = self._kept("it cannot be made", lambda: kind(self.name, broker))

    async def prepare(self, config: Config) -> Change | None:
        """Return its change to that configuration. Raises ConfigError, of the plugin."""
        plugin = self.plugin
        if plugin is None:
            return None
        change = await self._within(
            "prepare", lambda: plugin.prepare(config), is_refusal=True
        )
        if change is not None and not isinstance(change, Change):
            self._failed("prepare failed", TypeError(f"{change!r}: expected a Change"))
            return None
        return change

    def renewed(self, change: Change) -> list[str]:
        """Return the keys whose file has another content now."""
        return self._kept("renewed failed", lambda: list(map(str, change.renewed))) or []

    def commit(self, change: Change) -> None:
        self._kept("commit failed", change.commit)

    async def undo(self, change: Change) -> None:
        await self._within("undo", change.undo)

    async def settle(self, change: Change) -> None:
        await self._within("settle", change.settle)

    def refused(self, fault: ConfigError) -> None:
        """Take note that it cannot be used with the first configuration."""
        self._failed("prepare failed", fault)

    async def start(self) -> None:
        """Start it; where that fails, or something before has, end it."""
        if self.plugin is not None and not self.error:
            plugin = self.plugin
            await self._within("start", plugin.start, plugin.start_within_s)
        self.serves = self.plugin is not None and not self.error
        if self.serves:
            log.info("plugin %s %s: started", self.name, self.loaded.origin.version)
            return
        error = self.error
        await self.stop()
        self.error = error

    def leave(self) -> None:
        if self.plugin is not None:
            self._kept("leave failed", self.plugin.leave)

    async def stop(self) -> None:
        """End it, whatever it did."""
        plugin, self.plugin, self.app, self.spoken = self.plugin, None, None, None
        did_serve, self.serves = self.serves, False
        if plugin is None:
            return
        await self._within("stop", plugin.stop, STOP_WITHIN_S)
        self._kept("its work goes on", plugin.end_work)
        for answering in self._answering:
            answering.cancel()
        if did_serve:
            log.info("plugin %s: stopped", self.name)

    def below(self, gate: Gate) -> list[Below]:
        """Return the paths of its own dialects, while it serves."""
        plugin = self.plugin
        if plugin is None or not self.serves:
            return []
        if self.spoken is None:
            from nanomq_py.http.app import Below

            self.spoken = self._kept(
                "its dialects cannot be made",
                lambda: [Below(each) for each in plugin.dialects(gate)],
            )
        return self.spoken or []

    async def answer(self, answers: Awaitable[None]) -> bool:
        """Wait for an answer of its routes; return False if it stops meanwhile."""
        task = asyncio.current_task()
        assert task is not None
        self._answering.add(task)
        try:
            await answers
        except asyncio.CancelledError:
            if self.plugin is not None:
                raise
            return False
        finally:
            self._answering.discard(task)
        return True

    # --- what it raises, and how long it takes

    def _failed(self, what: str, fault: BaseException | None) -> None:
        why = f": {text_of(fault)}" if fault is not None else ""
        self.error = f"{what}{why}"
        log.error("plugin %s: %s", self.name, self.error, exc_info=fault)

    def _kept(self, what: str, act: Callable[[], T]) -> T | None:
        """Return its result; None where it fails."""
        try:
            return act()
        except BaseException as fault:  # SystemExit would end the process
            self._failed(what, fault)
            return None

    async def _within(
        self,
        what: str,
        act: Callable[[], Awaitable[T]],
        within_s: float | None = None,
        *,
        is_refusal: bool = False,
    ) -> T | None:
        """Return its result; None where it fails, or takes longer.

        within_s    None: WITHIN_S
        is_refusal  whether a ConfigError is raised
        """
        most_s = WITHIN_S if within_s is None else within_s
        task = asyncio.ensure_future(_outcome(act))
        try:
            done, _ = await asyncio.wait({task}, timeout=most_s)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not done:
            self._late.add(task)  # it may take no notice
            task.add_done_callback(self._late.discard)
            task.cancel()
            self._failed(f"{what} took longer than {most_s:g} s", None)
            return None
        result, fault = task.result()
        if is_refusal and isinstance(fault, ConfigError):
            raise fault
        if fault is not None:
            self._failed(f"{what} failed", fault)
        return result


async def _outcome(
    act: Callable[[], Awaitable[T]],
) -> tuple[T | None, BaseException | None]:
    """Return its result, or what it raises: out of a task SystemExit would end the loop."""
    try:
        return await act(), None
    except BaseException as fault:
        return None, fault
