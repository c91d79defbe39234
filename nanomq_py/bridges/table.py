"""All bridges of a broker, by name.

::

    put ──> those that are new or changed     end ──> those that are gone
    fd ──news──> the bridge of that number

Threads  belongs to the event loop
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from nanomq_py.bridges.bridge import Around, Core, RunningBridge, Status
from nanomq_py.bridges.line import State
from nanomq_py.bridges.places import Place
from nanomq_py.bridges.wanted import Wanted
from nanomq_py.core.binding import CoreError
from nanomq_py.core.bridging import BridgeNews
from nanomq_py.kernel.part import Trouble

PROBE_S = 5.0  # to look whether an address answers
DOWN_S = 10.0  # after which it is a trouble


class Told(Core, Protocol):
    """What the core has of bridges."""

    @property
    def fd(self) -> int: ...

    def news(self) -> list[BridgeNews]: ...

    def end_orphans(self) -> int: ...


class Table:
    """The bridges that run."""

    def __init__(self, core: Told, changed: Callable[[str], None]) -> None:
        """Make it, without any. ``changed`` hears of a bridge that is up or down."""
        self._core = core
        self._loop = asyncio.get_running_loop()
        self._around = Around(
            clock=self._loop,
            chance=random.random,
            wall_ms=lambda: time.time_ns() // 1_000_000,
            probe=self._probe,
            changed=changed,
        )
        self._bridges: dict[str, RunningBridge] = {}
        self._gone: list[RunningBridge] = []  # until :meth:`end_gone`
        self._fd = -1
        self._is_leaving = False
        self._probes: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[RunningBridge]:
        return iter(self._bridges.values())

    def use(self, wanted: Mapping[str, Wanted]) -> None:
        """Put these in force; those that are not among them only hang up yet.

        Raises  CoreError; some are in force then
        """
        for name in self._bridges.keys() - wanted.keys():
            gone = self._bridges.pop(name)
            gone.leave()
            self._gone.append(gone)
        for name, new in wanted.items():
            self._put(name, new)
        if self._fd < 0 and (fd := self._core.fd) >= 0:
            self._fd = fd
            self._loop.add_reader(fd, self._drain)

    def _put(self, name: str, new: Wanted) -> None:
        back = next((each for each in self._gone if each.wanted.name == name), None)
        if back is not None:  # it goes on as if it had not been gone
            self._gone.remove(back)
            self._bridges[name] = back
            back.change(new)
            back.go()
        elif name in self._bridges:
            self._bridges[name].change(new)
        else:
            made = RunningBridge(self._core, self._around, new)
            self._bridges[name] = made
            # All other parts of the configuration are in force when it connects.
            self._loop.call_soon(self._go, made)

    def _go(self, made: RunningBridge) -> None:
        if not self._is_leaving and self._bridges.get(made.wanted.name) is made:
            made.go()

    def end_gone(self) -> list[str]:
        """End those that are gone, with what waits in them; return their names."""
        names = [each.wanted.name for each in self._gone]
        self._gone.clear()
        for name in names:
            with contextlib.suppress(CoreError):
                self._core.end(name)
        return names

    def _drain(self) -> None:
        by_number = {each.number: each for each in self._bridges.values()}
        for news in self._core.news():
            if news.number in by_number:
                by_number[news.number].hear(news)

    def _probe(self, place: Place, then: Callable[[bool], None]) -> None:
        task = self._loop.create_task(_find_out(place, then))
        self._probes.add(task)
        task.add_done_callback(self._probes.discard)

    def status(self, name: str) -> Status | None:
        bridge = self._bridges.get(name)
        return None if bridge is None else bridge.status()

    def troubles(self) -> Iterator[Trouble]:
        now_ms = self._around.wall_ms()
        for bridge in self._bridges.values():
            status = bridge.status()
            down_s = (now_ms - status.changed_ms) / 1000
            is_down = status.state not in (State.UP, State.PAUSED)
            if is_down and down_s >= DOWN_S:
                yield Trouble(
                    f"bridge_down/{status.name}",
                    f"bridge {status.name}: not connected to {status.address}:"
                    f" {status.last_error or 'no answer yet'}",
                    {"waiting": status.stats.waiting, "error": status.last_error},
                )
            if status.refused:
                yield Trouble(
                    f"bridge_refused/{status.name}",
                    f"bridge {status.name}: {status.refused}",
                    {"error": status.refused},
                )

    def leave(self) -> None:
        """Connect no more. The core ends the connections with the broker."""
        self._is_leaving = True
        for bridge in self._bridges.values():
            bridge.leave()
        for task in self._probes:
            task.cancel()

    def close(self) -> None:
        """Hear no more of the core, before it is closed."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._fd = -1


async def _connect(place: Place) -> None:
    if place.port:
        _, writer = await asyncio.open_connection(place.host, place.port)
    else:
        _, writer = await asyncio.open_unix_connection(place.host)
    writer.close()


async def _find_out(place: Place, then: Callable[[bool], None]) -> None:
    """Tell whether somebody listens there."""
    try:
        await asyncio.wait_for(_connect(place), PROBE_S)
    except (OSError, asyncio.TimeoutError):
        then(False)
    else:
        then(True)
