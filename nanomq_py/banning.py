"""Who may not come in, as a program says it: part of :class:`nanomq_py.Broker`.

::

    await broker.ban(address="192.0.2.0/24", until=1_900_000_000, reason="port scan")
    for ban in await broker.banned():
        print(ban.kind.name, ban.who, ban.reason)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nanomq_py.running import Running

if TYPE_CHECKING:
    from nanomq_py.store.banned import Ban, BanKind


def _named(
    client_id: str | None, user_name: str | None, address: str | None
) -> tuple[BanKind, str]:
    from nanomq_py.store.banned import named  # who bans nobody does not load it

    return named(client_id, user_name, address)


class Banning:
    """The bans of a broker that runs. Threads: belongs to its event loop."""

    @property
    def _running(self) -> Running:
        raise NotImplementedError

    async def ban(
        self,
        *,
        client_id: str | None = None,
        user_name: str | None = None,
        address: str | None = None,
        until: float | None = None,
        made_by: str = "",
        reason: str = "",
    ) -> Ban:
        """Refuse a client from now on, and close its connections; kept in the store.

        address  or a network, such as 192.0.2.0/24
        until    seconds since 1970; None: for ever
        Raises   ValueError for what cannot be, StoreError where it cannot be kept
        """
        kind, who = _named(client_id, user_name, address)
        bans = self._running.keeping.bans
        return await bans.ban(kind, who, until=until, made_by=made_by, reason=reason)

    async def unban(
        self,
        *,
        client_id: str | None = None,
        user_name: str | None = None,
        address: str | None = None,
        made_by: str = "",
    ) -> None:
        """Take a ban back. Raises KeyError when there is none, and what :meth:`ban` does."""
        kind, who = _named(client_id, user_name, address)
        if not await self._running.keeping.bans.unban(kind, who, made_by):
            raise KeyError(who)

    async def banned(self, *, after: Ban | None = None, limit: int = 100) -> list[Ban]:
        """Return who is banned, a page at a time: go on ``after`` the last of the page before.

        Raises   StoreError
        """
        return await self._running.keeping.bans.page(after=after, limit=limit)
