"""A running core, and the parts that use it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nanomq_py.alarms_part import AlarmsPart
from nanomq_py.auth.access import Access
from nanomq_py.auth.chain import Authenticator
from nanomq_py.auth.enhanced import Method
from nanomq_py.auth.http_judge import HttpJudge
from nanomq_py.auth.logins import Logins
from nanomq_py.auth.rights import judge_those_before
from nanomq_py.auth.roster import must_ask, names_count
from nanomq_py.auth.tokens import Tokens
from nanomq_py.bridges_part import Bridges
from nanomq_py.config import Config, ConfigError
from nanomq_py.consumers import Consumers
from nanomq_py.core import binding
from nanomq_py.core.options import core_options, task_threads
from nanomq_py.core.process import set_task_threads
from nanomq_py.core.records import CoreOptions, DurabilityNote, LogNote
from nanomq_py.core.settling import Settling
from nanomq_py.feeds import Readers
from nanomq_py.flapping_part import Flapping
from nanomq_py.kernel.part import Change, Hears, Part, Swap, Trouble
from nanomq_py.kernel.parts import Parts
from nanomq_py.listen.inherited import Inherited
from nanomq_py.listen.listeners import Listeners
from nanomq_py.metrics.sys_topics import SysTopics
from nanomq_py.store.folder import Places
from nanomq_py.store_part import StorePart

if TYPE_CHECKING:
    from nanomq_py.delivery.deliveries import Deliveries
    from nanomq_py.durability_part import DurabilityPart
    from nanomq_py.metrics.durability import DurabilityWatch
    from nanomq_py.topic_metrics import TopicMetrics

log = logging.getLogger("nanomq")


class _Options(Part):
    """The options of the core, which was made with the first ones."""

    name = "options"

    def __init__(self, core: binding.Core, in_force: CoreOptions) -> None:
        self._core = core
        self.in_force = in_force

    async def prepare(self, config: Config) -> Change | None:
        new = core_options(config)
        return None if new == self.in_force else Swap(self.use, self.in_force, new)

    def use(self, options: CoreOptions) -> None:
        """Put them in force. Raises CoreError; then they are as they were."""
        self._core.set_options(options)
        self.in_force = options


class Running:
    """A core and the parts that use it, from its start to its end."""

    durability: DurabilityWatch | None = None  # None: nothing outlives the process
    _durability: DurabilityPart | None = None  # the same

    def __init__(
        self,
        config: Config,
        methods: Iterable[Method],
        added: Mapping[str, Authenticator],
        inherited: Inherited | None,
        places: Places,
        beside: Sequence[Part] = (),
    ) -> None:
        """Make them. The rules come first: they judge sessions that are restored next.

        added  authenticators of the program, by name
        places of the store, which is in memory without one, and of the journal
        beside parts of the process whose troubles are alarms, too
        """
        set_task_threads(task_threads(config))
        options = core_options(config)
        self.core = core = binding.Core(options)
        self.settling = settling = Settling()
        self.access = access = Access(
            core, settling, config, partial(names_count, added=added)
        )
        asks = partial(must_ask, added=added)
        self.listeners = Listeners(core, settling, asks, inherited)
        self.store = StorePart(core, settling, access, places.database)
        tokens = Tokens(core, settling)
        self.http = http = HttpJudge(core)
        self.logins = Logins(
            core,
            settling,
            self.listeners,
            tokens,
            self.store.authenticator,
            http,
            methods,
            added,
        )
        self._topic_metrics: TopicMetrics | None = None
        self._deliveries: Deliveries | None = None
        self._journal = places.journal
        self.readers = Readers()
        self.consumers = Consumers(core, self.listeners.name_of)
        self.bridges = Bridges(core)
        self.alarms = AlarmsPart(core, self.store, self._troubles)
        self._beside = beside
        self.parts = Parts(self._in_order(options, tokens, http))
        own: Hears = {LogNote: _log_line, DurabilityNote: self._hear_durability}
        self._hears: Hears = {**self.parts.hears, **own}
        asyncio.get_running_loop().add_reader(core.note_fd, self._drain)

    def _in_order(
        self, options: CoreOptions, tokens: Tokens, http: HttpJudge
    ) -> list[Part]:
        """Users and bans are in force before listeners.

        Clients that come in are judged by the new ones, and counted.
        """
        core = self.core
        return [
            _Options(core, options),
            tokens,
            self.store,
            http,
            self.logins,
            Flapping(core, self.listeners.name_of, self.store),
            self.bridges,
            self.listeners,
            self.access,
            SysTopics(core, self._measures),
            self.readers,
            self.consumers,
            self.alarms,
        ]

    @property
    def topic_metrics(self) -> TopicMetrics:
        """Made when it is first used."""
        if self._topic_metrics is None:
            from nanomq_py.topic_metrics import TopicMetrics  # few use it

            self._topic_metrics = TopicMetrics(self.core)
        return self._topic_metrics

    @property
    def deliveries(self) -> Deliveries:
        """Made when it is first used."""
        if self._deliveries is None:
            from nanomq_py.delivery.deliveries import Deliveries  # few use it

            self._deliveries = Deliveries(self.store.store)
        return self._deliveries

    async def begin(self, config: Config, state: binding.Buffer | None) -> None:
        """Take what the store and the journal say before anything else is in force.

        state    what the process before has saved
        Raises   ConfigError
        """
        await self.store.begin()
        if topics := await self.store.counted_topics():
            self.topic_metrics.load(topics)
        if config.kept.is_on:
            await self._open_journal(config, state)
            return
        if state is not None:
            await asyncio.to_thread(self._restore, state, config)
        if self._journal is not None:
            await asyncio.to_thread(_leave_alone, self._journal)

    async def _open_journal(self, config: Config, state: binding.Buffer | None) -> None:
        from nanomq_py.durability_part import DurabilityPart  # few use it
        from nanomq_py.metrics.durability import DurabilityWatch

        if self._journal is None:
            raise ConfigError(
                f"durability={config.kept.mode}: expected durability.location with it"
            )
        self._durability = DurabilityPart(self.core, self._journal)
        await self._durability.open(config, state)
        self.durability = DurabilityWatch(self.core, self._journal)
        self.parts.add(self._durability)
        self.parts.add(self.durability)
        with contextlib.suppress(binding.CoreError):
            await asyncio.to_thread(judge_those_before, self.core, config)

    def _drain(self) -> None:
        # One batch a call: the loop calls again while more waits, others get their turn.
        for note in self.core.notes():
            self._hears[type(note)](note)

    def _hear_durability(self, note: DurabilityNote) -> None:
        if self._durability is not None:
            self._durability.hear(note)
        if self.durability is not None and self.durability.hear(note):
            self.alarms.look()

    def _troubles(self) -> Iterator[Trouble]:
        for part in (self.parts, *self._beside):
            yield from part.troubles()
        if self._deliveries is not None:
            yield from self._deliveries.troubles()

    def _measures(self) -> Iterator[tuple[str, int]]:
        if self._deliveries is not None:
            yield from self._deliveries.measures()
        if self.durability is not None:
            yield from self.durability.measures()
        yield from self.bridges.measures()

    def _restore(self, state: binding.Buffer, config: Config) -> None:
        """Take over retained messages and sessions. Blocks; what fails is logged."""
        try:
            count = self.core.restore(state)
        except binding.CoreError as fault:
            log.error("sessions of the process before are lost: %s", fault)
            return
        log.info("%d sessions of the process before go on", count)
        with contextlib.suppress(binding.CoreError, ConfigError):
            judge_those_before(self.core, config)

    async def stop(self, timeout_ms: int, state: int | None) -> None:
        """Tell every client, send what is queued, save into ``state``, and free everything."""
        self.parts.leave()
        if self._topic_metrics is not None:
            self._topic_metrics.stop()
        if self._deliveries is not None:
            # Who waits for the disk acknowledges its messages before they are saved.
            await self._deliveries.leave()
        await asyncio.to_thread(self.core.shutdown, timeout_ms)
        await self.settling.ended()
        self._drain()
        self.bridges.close()
        if self._durability is not None:
            await self._durability.close()
        if state is not None:
            await asyncio.to_thread(self._save, state)
        asyncio.get_running_loop().remove_reader(self.core.note_fd)
        if self._deliveries is not None:
            await self._deliveries.stop()
        await self.alarms.stop()  # others are open still: the last ones are kept
        await self.parts.stop()
        await self.settling.ended()  # of requests that were cut; threads use the core
        self.core.close()

    def _save(self, fd: int) -> None:
        try:
            self.core.save(fd)
        except binding.CoreError as fault:
            log.error("sessions are lost at this restart: %s", fault)
            os.ftruncate(fd, 0)


def _leave_alone(journal: Path) -> None:
    """Say that there is a journal and that it is not served. Blocks."""
    if not os.path.isdir(journal):  # also one that is closed to this user
        return
    from nanomq_py.store.marks import leave_alone  # few have one

    if leave_alone(journal):
        log.warning(
            "durability=off: %s: what is kept there is not served, and stays: `nanomq store"
            " stat %s` says what it is. durability=always brings it back; to remove it: rm -r"
            " %s",
            *(journal, *[shlex.quote(os.fspath(journal))] * 2),
        )


def _log_line(note: LogNote) -> None:
    log.log(note.level, note.line)
