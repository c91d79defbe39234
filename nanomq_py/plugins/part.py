"""The plugins of a process, which follow ``plugins.load``.

Who names no plugin loads nothing of what finds and holds them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from nanomq_py.config import Config
from nanomq_py.consumers import OF_PLUGINS, end_orphans
from nanomq_py.kernel.part import Change, Part, Trouble

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from nanomq_py.broker import Broker
    from nanomq_py.http.app import Below
    from nanomq_py.http.guard import Gate
    from nanomq_py.plugins.held import Held


class Plugins(Part):
    """The plugins that the configuration names.

    held  in the order of ``plugins.load``
    """

    name = "plugins"

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.held: list[Held] = []
        self.have_begun = False

    async def prepare(self, config: Config) -> Change | None:
        if not config.plugged and not self.held:
            self.have_begun = True
            return None
        from nanomq_py.plugins.change import PluginsChange

        change = PluginsChange(self)
        await change.prepare(config)
        return change

    async def start(self) -> None:
        self.have_begun = True
        self.end_orphans()
        await asyncio.gather(*(each.start() for each in self.held))

    def end_orphans(self) -> None:
        """End consumers of plugins that the configuration does not name."""
        names = {each.name for each in self.held}
        end_orphans(self.broker, OF_PLUGINS, lambda it: it.split("/")[1] in names)

    def leave(self) -> None:
        for each in reversed(self.held):
            each.leave()

    async def stop(self) -> None:
        held, self.held = self.held, []
        await asyncio.gather(*(each.stop() for each in held))

    def troubles(self) -> Iterable[Trouble]:
        for each in self.held:
            if each.fault:
                message = f"plugin {each.name}: {each.fault}"
                yield Trouble(f"plugin_failed/{each.name}", message, {"plugin": each.name})

    # --- their part of the HTTP API

    def serving(self, name: str) -> Held | None:
        """Return the plugin of that name, if it serves."""
        return next((e for e in self.held if e.name == name and e.serves), None)

    def below(self, gate: Gate) -> Iterator[tuple[Held, Below]]:
        """Yield the paths of dialects that plugins which serve bring, each with its plugin."""
        for held in self.held:
            for each in held.below(gate):
                yield held, each

    def pages(self, gate: Gate) -> ASGIApp:
        """Return what answers for all paths below ``/plugins``."""
        pages: ASGIApp | None = None

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal pages
            if not self.held:
                from starlette.exceptions import HTTPException

                raise HTTPException(404)
            if pages is None:
                from nanomq_py.plugins.pages import Pages

                pages = Pages(self.serving, gate)
            await pages(scope, receive, send)

        return answer
