"""Bans: what the store keeps of them, and the core holds in force.

::

    ban ──> the store ──> the core, which refuses CONNECTs and connections ──> who is in, ends
    start: the store ──> the core, before a listener lets anybody in

The core judges by the wall clock when a ban is over; here it is only forgotten then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from nanomq_py.config import ConfigError
from nanomq_py.config.values.texts import in_words, shown
from nanomq_py.core.binding import Core, CoreError
from nanomq_py.core.settling import Settling
from nanomq_py.store.banned import Ban, BanKind, BanTable, made_ban, who_of
from nanomq_py.store.faults import StoreError, StoreFullError
from nanomq_py.store.moment import wall_s
from nanomq_py.store.paging import Rows
from nanomq_py.store.store import Store

log = logging.getLogger("nanomq")
audit = logging.getLogger("nanomq.audit")

MOST_BANS = 1_000_000
AT_ONCE = 1000  # keys that the loop hands to the core in one turn: a millisecond
FORGET_EVERY_S = 1.0  # at least between two looks for those that are over


class Bans:
    """Who may not come in.

    Errors   StoreError where the store cannot be used; then nothing has changed
    """

    def __init__(self, core: Core, settling: Settling, store: Store) -> None:
        self._core = core
        self._settling = settling
        self._table = BanTable(store)
        self._count = 0
        self._turn = asyncio.Lock()  # the store and the core change in one order
        self._timer: asyncio.TimerHandle | None = None
        self._timer_end = 0.0  # the time of day that it waits for
        self._forgetting: asyncio.Task[None] | None = None
        self._stopped = False

    async def load(self) -> None:
        """Put in force what the store has, before anybody can come in. Raises ConfigError."""
        try:
            await self._load()
        except (StoreError, CoreError) as fault:
            raise ConfigError(str(fault)) from None

    async def _load(self) -> None:
        at = (-1, "")
        while keys := await self._table.keys(at, AT_ONCE):
            for kind, who, until in keys:
                self._core.ban(kind, who, _ms(until))
            self._count += len(keys)
            at = keys[-1][:2]
        if self._count:
            log.info("%d bans are in force", self._count)
            self._wait_for(await self._table.next_end())

    async def stop(self) -> None:
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        if self._forgetting is not None:
            self._forgetting.cancel()
            await asyncio.gather(self._forgetting, return_exceptions=True)

    # --- what can be done

    async def ban(
        self,
        kind: BanKind,
        who: str,
        *,
        until: float | None,
        since: float | None = None,
        made_by: str,
        reason: str,
    ) -> Ban:
        """Ban somebody, in place of a ban of the same; who is connected ends at once.

        until   seconds since 1970; None: for ever
        since   what is kept as its beginning, which has come; None: now
        Raises  ValueError for what cannot be
        """
        made = made_ban(kind, who, until, made_by, reason, since=since)
        await self.ban_all([made])
        return made

    async def ban_all(self, bans: Sequence[Ban]) -> None:
        """Ban each of them, all or nobody."""
        await self._settling.whole(self._ban_all(bans))

    async def _ban_all(self, bans: Sequence[Ban]) -> None:
        async with self._turn:
            if self._count + len(bans) > MOST_BANS:
                raise StoreFullError(f"{MOST_BANS} are banned already: take some bans back")
            self._count += await self._table.put(bans)
            if self._stopped:
                return  # in force from the next start on
            for ban in bans:
                self._core.ban(*ban.key, _ms(ban.until))
        for ban in bans:
            _tell("banned", ban.kind, ban.who, _how(ban))
        ends = [ban.until for ban in bans if ban.until is not None]
        self._wait_for(min(ends, default=None))
        await self._kick(bans)

    async def _kick(self, bans: Sequence[Ban]) -> None:
        for ban in bans:
            if ban.kind is BanKind.CLIENT_ID:
                self._core.kick_banned(ban.who)
        if any(ban.kind is not BanKind.CLIENT_ID for ban in bans):
            await self._settling.run(self._kick_all)

    def _kick_all(self) -> None:
        self._core.kick_banned()

    async def unban(self, kind: BanKind, who: str, made_by: str = "") -> bool:
        """Take a ban back; return whether there was one that is not over.

        Raises  ValueError for what nobody could be
        """
        return await self._settling.whole(self._unban(kind, who_of(kind, who), made_by))

    async def _unban(self, kind: BanKind, name: str, made_by: str) -> bool:
        if not self._count:
            return False
        async with self._turn:
            until = await self._table.delete(kind, name)
            if until is None:
                return False
            self._count -= 1
            if not self._stopped:
                self._core.unban(kind, name)
        if until <= wall_s():
            return False
        _tell("no longer banned", kind, name, f"by {shown(made_by) or '(unknown)'}")
        return True

    async def page(self, *, after: Ban | None = None, limit: int = 100) -> list[Ban]:
        """Return bans that are in force, by kind and name, from the one behind ``after`` on."""
        return await self._table.page(after=after, limit=limit) if self._count else []

    async def rows(self, *, offset: int, limit: int) -> Rows[Ban]:
        """Return bans that are in force, by kind and name, from an offset on."""
        return await self._table.rows(offset=offset, limit=limit)

    async def get(self, kind: BanKind, who: str) -> Ban | None:
        """Return one that is in force; None: there is none. Raises ValueError."""
        return await self._table.get(kind, who_of(kind, who))

    # --- those that are over

    def _wait_for(self, end: float | None) -> None:
        """Forget what is over at that time, if nothing is to be forgotten earlier."""
        if end is None or self._stopped:
            return
        if self._timer is not None:
            if self._timer_end <= end:
                return
            self._timer.cancel()
        self._timer_end = end
        self._timer = asyncio.get_running_loop().call_later(
            max(FORGET_EVERY_S, min(end - wall_s(), 3600)), self._on_timer
        )

    def _on_timer(self) -> None:
        self._timer = None
        self._forgetting = asyncio.create_task(self._forget())

    async def _forget(self) -> None:
        end: float | None
        try:
            async with self._turn:
                over = await self._table.take_expired(wall_s(), AT_ONCE)
                self._count -= len(over)
                for kind, who in over:
                    self._core.unban(kind, who)
            end = await self._table.next_end()
        except StoreError as fault:
            log.warning("bans that are over are not forgotten: %s", fault)
            end = wall_s() + 60
        self._wait_for(end)


def _ms(until: float | None) -> int:
    return 0 if until is None else max(1, int(until * 1000))


def _how(ban: Ban) -> str:
    until = "for ever" if ban.until is None else f"for {ban.until - ban.since:.0f} s"
    return f"{until}, by {ban.made_by or '(unknown)'}: {ban.reason or '(no reason)'}"


def _tell(what: str, kind: BanKind, who: str, how: str) -> None:
    """Write the audit line."""
    audit.info("%s: %s '%s': %s", what, in_words(kind), shown(who[:100]), how)
