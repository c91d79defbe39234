"""Commands under way: from a caller to the store, to devices, and back.

::

    add() ──> store ──┐
    answers ──────────┤                    commit
    devices come ─────┼─> happened ──turn──> store ──> publish, acknowledge the answers
    time ─────────────┘      ^                              │
                             └───── nobody has taken it ────┘

Threads  belongs to the event loop
Cost     no command: nothing but a consumer that waits. Events of clients are asked for while
         a command is open, those of acknowledgements for some seconds after one was published
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

from nanomq_py.broker import Broker
from nanomq_py.plugins.devices.commands import machine, outbound, table
from nanomq_py.plugins.devices.commands.answers import read_answer
from nanomq_py.plugins.devices.commands.room import Limits, Room
from nanomq_py.plugins.devices.commands.turn import (
    Happened,
    Kind,
    Said,
    Turn,
    resume,
    take_turn,
)
from nanomq_py.plugins.devices.commands.watching import Watching
from nanomq_py.plugins.devices.reports import BadReport, Why
from nanomq_py.store.faults import StoreError
from nanomq_py.store.moment import wall_s
from nanomq_py.store.schema import bring

if TYPE_CHECKING:
    from nanomq_py.consumers import Consumer
    from nanomq_py.core.message import Message

log = logging.getLogger("nanomq.plugins.devices")
T = TypeVar("T")

CONSUMER = "plugins/devices/answers"
MOST_MESSAGE_BYTES = 1 << 20  # of a message that is looked at
LOOK_S = 60.0  # the clock may have been set meanwhile
STORE_AGAIN_S = 1.0  # after the store could not be used


class Held(Struct, frozen=True):
    """How much there is: see Room."""

    open: int
    kept: int
    size: int


class Commands:
    """The commands of all devices.

    counts   by name: made, tried, repeated_tries, answered, repeated, strange, refused,
             succeeded, failed, expired; since the start
    room     how many there are; its limits may be replaced at any time
    """

    def __init__(
        self,
        broker: Broker,
        work: Callable[[Coroutine[Any, Any, object]], None],
        *,
        prefix: str = "dma",
        limits: Limits | None = None,
        may_speak: Callable[[str, str], bool] = lambda client_id, sn: False,
        refused: Callable[[str, str, BadReport], None] = lambda who, topic, fault: None,
    ) -> None:
        """Make it. Nothing is done before :meth:`start`.

        work       has a coroutine run beside everything else
        prefix     of topics
        may_speak  whether a client may speak for a device that it is not
        refused    is told of a client whose message is no answer, its topic, and why
        """
        self.room = Room(limits or Limits())
        self.counts: Counter[str] = Counter()
        self._broker = broker
        self._work = work
        self._prefix = prefix
        self._may_speak = may_speak
        self._refused = refused
        self._happened: dict[Happened | Said, None] = {}  # in order, each once
        self._written: asyncio.Future[None] | None = None  # of what has happened
        self._woken = asyncio.Event()
        self._ready = asyncio.Event()  # once it is known what the process before has left
        self._adding: set[asyncio.Future[Any]] = set()
        self._watching = Watching(broker, prefix, self.room.open, self.happen, work)
        self._consumer: Consumer | None = None
        self._stopped = False

    # --- its life

    async def start(self) -> None:
        """Begin; what takes long is done beside everything else. Raises StoreError."""
        await bring(self._broker.store, table.SCHEMA)
        self._hear()
        self._work(self._go_on())

    async def _go_on(self) -> None:
        """Take up what the process before has left, and then what happens."""
        await self._kept_trying(self._resume)
        if self.room.kept:
            self._woken.set()
        self._ready.set()
        await self._turns()

    async def _resume(self) -> None:
        store, room = self._broker.store, self.room
        opened, (room.kept, room.size) = await store.read(
            lambda it: (table.all_opened(it), table.kept(it))
        )
        room.open.clear()
        room.open.update(each.sn for each in opened)
        if opened:
            self._watching.begin()  # before anybody's presence is asked for
            online = {sn for sn in room.open if self._watching.is_online(sn)}
            await store.write(
                lambda it: resume(it, is_online=online.__contains__, now=wall_s())
            )

    def _hear(self) -> None:
        """Take answers, from the topics that count now."""
        if self._consumer is not None:
            self._consumer.close()
        topics = [f"{self._prefix}/{each}" for each in outbound.ANSWERS]
        self._consumer = self._broker.consume(CONSUMER, topics)
        self._work(self._consume(self._consumer))

    def use_prefix(self, prefix: str) -> None:
        """Have another prefix count from now on."""
        if prefix != self._prefix:
            self._prefix = self._watching.prefix = prefix
            if self._consumer is not None:
                self._hear()

    def stop(self) -> None:
        """Begin nothing any more. What has happened and is not written comes again."""
        self._stopped = True
        self._watching.end()
        if self._consumer is not None:
            self._consumer.close()
        self._woken.set()

    def end(self) -> None:
        """Forget the answers that were not taken, after :meth:`stop`."""
        with suppress(KeyError):
            self._broker.end_consumer(CONSUMER)

    # --- its caller's side

    def held(self) -> Held:
        """Return how much there is now."""
        return Held(self.room.open.total(), self.room.kept, self.room.size)

    async def add(self, order: table.Order, sns: Sequence[str]) -> list[int]:
        """Have devices do something; return the numbers of the commands, in that order.

        They are on the disk then. Raises ValueError for a serial number that cannot be, its
        TooManyError, and StoreError; nothing has changed then.
        """
        for sn in sns:
            outbound.checked_sn(sn)
        await self._ready.wait()
        self.room.check(sns, len(order.body))
        task = asyncio.ensure_future(self._added(order, sns))
        self._adding.add(task)  # to its end, whoever waits
        task.add_done_callback(self._adding.discard)
        return await asyncio.shield(task)

    async def _added(self, order: table.Order, sns: Sequence[str]) -> list[int]:
        self.room.take(sns, len(order.body))
        self._watching.begin()
        now = wall_s()
        made = [
            machine.made(
                machine.Command(
                    0,
                    sn,
                    order.publish_now,
                    max(1, order.max_retries),
                    now + order.expires_s,
                ),
                now,
                online=self._watching.is_online(sn),
            )
            for sn in sns
        ]
        try:
            numbers = await self._broker.store.write(
                lambda it: table.add(it, order, made, now)
            )
        except BaseException:
            self.room.give(sns, len(order.body))
            raise
        self.counts["made"] += len(sns)
        self._woken.set()
        return numbers

    async def get(self, number: int) -> table.Row | None:
        """Return that command; None: there is none, or it has expired."""
        return await self._broker.store.read(lambda it: table.row_of(it, number, wall_s()))

    async def page(
        self, sender: str | None, *, offset: int, limit: int
    ) -> tuple[list[table.Row], int]:
        """Return commands of a sender, or all, the newest first; and how many there are."""
        return await self._broker.store.read(
            lambda it: table.rows_of(it, sender, wall_s(), offset, limit)
        )

    async def reply(self, number: int) -> table.Reply | None:
        """Return the latest answer to that command; None: there is none."""
        return await self._broker.store.read(lambda it: table.reply_of(it, number))

    async def replies(
        self, sender: str | None, *, offset: int, limit: int
    ) -> tuple[list[table.Reply], int]:
        """Return answers to a sender's commands, or all, and how many there are."""
        return await self._broker.store.read(
            lambda it: table.replies_of(it, sender, offset, limit)
        )

    # --- what happens

    def happen(self, *happened: Happened | Said) -> asyncio.Future[None]:
        """Take note; return what is done once it is on the disk."""
        for each in happened:
            self._happened.pop(each, None)  # the latest place counts
            self._happened[each] = None
        if self._written is None:
            self._written = asyncio.get_running_loop().create_future()
        self._woken.set()
        return self._written

    async def _consume(self, consumer: Consumer) -> None:
        async for batch in consumer:
            said = [answer for each in batch if (answer := self._said(each)) is not None]
            if said:
                await self.happen(*said)
            if consumer is self._consumer and not self._stopped:  # else they come again
                batch.ack()

    def _said(self, message: Message) -> Said | None:
        """Return the answer that a message is; None: it is none, or somebody else's."""
        who = message.publisher
        client_id = "" if who is None else who.client_id
        try:
            payload = message.payload
            if len(payload) > MOST_MESSAGE_BYTES:
                text = f"{len(payload)} bytes, {MOST_MESSAGE_BYTES} may be"
                raise BadReport(Why.TOO_LARGE, text)
            answer = read_answer(payload)
            # this program's own answers have no publisher; what was kept has lost its own
            is_ours = who is None and not message.retained
            if not is_ours and not self._speaks_for(client_id, answer.sn):
                text = f"sn {answer.sn[:64]!r} is not its client identifier"
                raise BadReport(Why.OTHER_SN, text)
        except BadReport as fault:
            self.counts["refused"] += 1
            self._refused(client_id, message.topic_name, fault)
            return None
        return Said(answer)

    def _speaks_for(self, client_id: str, sn: str) -> bool:
        return client_id == sn or self._may_speak(client_id, sn)

    # --- turns

    async def _turns(self) -> None:
        next_at: float | None = None
        while True:
            await self._wait(next_at)
            if self._stopped:
                return
            happened, self._happened = list(self._happened), {}
            written, self._written = self._written, None
            turn = await self._kept_trying(partial(self._take_turn, happened))
            if turn is None:
                return
            if written is not None:
                written.set_result(None)
            self._take_note(turn)
            self._publish(turn)
            next_at = 0.0 if turn.more else turn.next_at

    async def _wait(self, at: float | None) -> None:
        """Return at that moment, or once something has happened."""
        timer = None
        if at is not None:
            after_s = min(max(at - wall_s(), 0.0), LOOK_S)
            timer = asyncio.get_running_loop().call_later(after_s, self._woken.set)
        await self._woken.wait()
        self._woken.clear()
        if timer is not None:
            timer.cancel()

    async def _take_turn(self, happened: Sequence[Happened | Said]) -> Turn:
        room = self.room.limits.size - self.room.size
        return await self._broker.store.write(
            partial(take_turn, happened=happened, now=wall_s(), room=room)
        )

    async def _kept_trying(self, act: Callable[[], Awaitable[T]]) -> T | None:
        """Return what it does, as soon as the store can; None: this is stopped before."""
        is_logged = False
        while not self._stopped:
            try:
                return await act()
            except StoreError as fault:
                if not is_logged and not self._stopped:
                    log.error("commands wait: %s", fault)
                    is_logged = True
                await asyncio.sleep(STORE_AGAIN_S)
        return None

    def _take_note(self, turn: Turn) -> None:
        self.counts.update(turn.counts)
        self.room.size += turn.size
        self.room.kept -= turn.cleared
        self.room.close(turn.over.items())
        if not self.room.open:
            self._watching.end()

    def _publish(self, turn: Turn) -> None:
        if not turn.publish:
            return
        self._watching.expect_acks()
        now = wall_s()
        for command in turn.publish:
            if not self._taken(command, now):
                is_there = self._watching.is_online(command.sn)
                kind = Kind.UNTAKEN if is_there else Kind.MISSED
                self.happen(Happened(kind, command.sn, command.id))

    def _taken(self, command: table.Outgoing, now: float) -> bool:
        """Publish it; return whether a session has taken it."""
        try:
            return (
                self._broker.publish(
                    outbound.topic_of(self._prefix, command.sn),
                    outbound.payload_of(command, now),
                    qos=1,
                    message_expiry_interval=max(1, int(command.expires_at - now)),
                )
                > 0
            )
        except (ValueError, RuntimeError) as fault:  # as over max_own_payload
            log.error("command %d to %s: %s", command.id, command.sn, fault)
            return False
