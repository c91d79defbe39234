"""What a plugin is: a part of another package, found by its entry point.

::

    [project.entry-points."nanomq_py.plugins"]
    counter = "nanomq_counter:Counter"         plugins.load=counter
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Container, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nanomq_py.consumers import OF_PLUGINS, end_orphans
from nanomq_py.kernel.part import Part

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from nanomq_py.broker import Broker
    from nanomq_py.http.app import Dialect
    from nanomq_py.http.guard import Gate

IDLE_S = 10  # between two looks whether counters are wanted below $SYS again


def text_of(fault: BaseException) -> str:
    """Return the kind of a fault and its text, which may raise itself."""
    try:
        return f"{type(fault).__name__}: {fault}"
    except Exception:
        return type(fault).__name__


class Plugin(Part):
    """A part of the process that ``plugins.load`` names.

    It is made, and :meth:`prepare` is called, before the change is in force that loads it; then
    :meth:`start`. An exception out of any method is logged, and leaves the rest running; only
    a ConfigError of :meth:`prepare` means that the configuration is refused. ``brings`` are
    sections named ``plugins.NAME`` or below it.

    Threads  belongs to the event loop, and must never block it: nobody else has a turn then
    """

    fault = ""  # of the work that failed last
    # How long its start may take; None: as any plugin's, 5 s.
    start_within_s: float | None = None

    def __init__(self, name: str, broker: Broker) -> None:
        """Make it. The broker may not run yet.

        name  that of its entry point
        """
        self.name = name
        self.broker = broker
        self.log = logging.getLogger(f"nanomq.plugins.{name}")
        self._tasks: set[asyncio.Task[None]] = set()

    def routes(self) -> Sequence[BaseRoute]:
        """Return its part of the HTTP API: paths below ``/plugins/NAME``.

        It is called once, for the first request, which has logged in: ``request.state.who``
        says who asks. A body is of 1 MiB at most.
        """
        return ()

    def counters(self) -> Mapping[str, int]:
        """Return what it counts, by names of its own, since it was loaded."""
        return {}

    def end_orphans(self, wanted: Container[str] = ()) -> None:
        """End its consumers that are not open, but for those of a wanted name.

        It is for the end of :meth:`start`: what the process before consumed for is not
        always there any more. Its consumers are named ``plugins/NAME/...``; once the
        configuration names it no more, the broker ends them.
        """
        end_orphans(self.broker, f"{OF_PLUGINS}{self.name}/", wanted.__contains__)

    async def tell_counters(self) -> None:
        """Publish what has changed of :meth:`counters`, as often as other counters.

        They are retained below ``$SYS/broker/NAME``. It is work: it does not end.
        """
        told: dict[str, int] = {}
        while True:
            interval_s = self.broker.config.sys_interval
            if interval_s > 0:
                for name, value in self.counters().items():
                    if told.get(name) != value:
                        told[name] = value
                        topic = f"$SYS/broker/{self.name}/{name}"
                        self.broker.publish(topic, str(value), retain=True)
            await asyncio.sleep(interval_s or IDLE_S)

    def dialects(self, gate: Gate) -> Sequence[Dialect]:
        """Return APIs of its own, each with all paths below its prefix and its own login.

        It is called once, for the first request. They are served until the plugin stops.

        gate   judges users and passwords of the HTTP API
        """
        return ()

    def work(self, work: Coroutine[Any, Any, object]) -> None:
        """Have that done beside everything else: until it ends, or the plugin has stopped.

        What it raises is logged.
        """
        task = asyncio.get_running_loop().create_task(self._done(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())  # where it has not even begun

    async def _done(self, work: Coroutine[Any, Any, object]) -> None:
        try:
            await work
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as fault:  # SystemExit would end the loop
            self.fault = text_of(fault)
            self.log.exception("plugin %s: its work failed", self.name)

    def end_work(self) -> None:
        """Cancel the work that is still under way; it is called after :meth:`stop`."""
        for task in self._tasks:
            task.cancel()
