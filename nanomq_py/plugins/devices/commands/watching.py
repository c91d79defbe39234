"""What clients do that matters to commands, watched only while a command needs it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from nanomq_py.broker import Broker
from nanomq_py.plugins.devices.commands.outbound import number_in, topic_of
from nanomq_py.plugins.devices.commands.turn import Happened, Kind

if TYPE_CHECKING:
    from typing import Protocol

    from nanomq_py.events import Acked, Connected, Events, Subscribed

    class Devices(Container[str], Iterable[str], Protocol):
        """Serial numbers."""


ACKS_S = 10.0  # that acknowledgements are looked at, after the last publication
MOST_OTHERS = 20_000  # of other messages meanwhile: a busy broker is not slowed down


class Watching:
    """Events of clients, for those devices that have an open command.

    Threads  belongs to the event loop
    """

    def __init__(
        self,
        broker: Broker,
        prefix: str,
        devices: Devices,
        happen: Callable[[Happened], object],
        work: Callable[[Coroutine[Any, Any, object]], None],
    ) -> None:
        """Make it.

        prefix   of topics; it may be replaced
        devices  whose events matter; they may change
        happen   takes note of what has happened
        work     has a coroutine run beside everything else
        """
        self._broker = broker
        self.prefix = prefix
        self._devices = devices
        self._happen = happen
        self._work = work
        self._coming: Events[Connected | Subscribed] | None = None
        self._acks: Events[Acked] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def is_online(self, sn: str) -> bool:
        client = self._broker.client(sn)
        return client is not None and client.connected

    def begin(self) -> None:
        """Watch who connects and subscribes, from now to the :meth:`end`."""
        if self._coming is None:
            from nanomq_py.events import Connected, Subscribed

            self._coming = self._broker.events([Connected, Subscribed])
            self._work(self._follow(self._coming))

    def end(self) -> None:
        """Watch nothing any more."""
        coming, self._coming = self._coming, None
        if coming is not None:
            coming.close()
        self._end_acks()

    def expect_acks(self) -> None:
        """Watch acknowledgements for some seconds: something is about to be published."""
        if self._acks is None:
            from nanomq_py.events import Acked

            self._acks = self._broker.events([Acked])
            self._work(self._follow_acks(self._acks))
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(ACKS_S, self._end_acks)

    def _end_acks(self) -> None:
        acks, self._acks = self._acks, None
        if acks is not None:
            acks.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _follow(self, events: Events[Connected | Subscribed]) -> None:
        from nanomq_py.events import Connected

        lost = 0
        async for event in events:
            sn = event.client.client_id
            if sn in self._devices:
                kind = Kind.CAME if isinstance(event, Connected) else Kind.LISTENS
                self._happen(Happened(kind, sn))
            if events.dropped != lost:
                lost = events.dropped
                for each in list(self._devices):
                    if self.is_online(each):
                        self._happen(Happened(Kind.CAME, each))

    async def _follow_acks(self, events: Events[Acked]) -> None:
        others = 0
        async for event in events:
            message, sn = event.message, event.client.client_id
            if message.topic_name != topic_of(self.prefix, sn):
                others += 1
                if others > MOST_OTHERS:
                    events.close()
                    return
            elif event.reason_code < 0x80 and (n := number_in(message.payload)) is not None:
                self._happen(Happened(Kind.ACKNOWLEDGED, sn, n))
