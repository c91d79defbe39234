"""The access rules in force in the core: those of the store, then the configuration's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nanomq_py.auth.acl import compiled, named_rules, says_otherwise
from nanomq_py.config import Config, ConfigError
from nanomq_py.core.binding import Core
from nanomq_py.core.rules import Packed, Rules
from nanomq_py.core.settling import Settling
from nanomq_py.kernel.part import Change, Part

if TYPE_CHECKING:
    from nanomq_py.auth.stored_rules import StoredRules

# With other servers, what the last ones have said does not count any more.
_KEYS = ("acl_rules", "acl_nomatch", "acl_deny_action", "acl_file", "auth_http")


@dataclass(frozen=True)
class _Read:
    """A configuration's rules, with those of the store made ready.

    content  the hash of the configuration's, those of acl_file too
    own      the configuration's, to be joined again; None: they are made again of it
    stored   how many are the store's: they stand first
    changes  of the store's so far
    """

    config: Config
    names_count: bool
    content: int
    own: Packed | None
    rules: Rules
    stored: int
    changes: int


class AccessChange(Change):
    """Other access rules, and the end of what they do not allow any more."""

    def __init__(self, access: Access, read: _Read, renewed: Sequence[str]) -> None:
        self._access = access
        self._read = read
        self._renewed = renewed

    @property
    def renewed(self) -> Sequence[str]:
        return self._renewed

    def commit(self) -> None:
        self._access.use(self._read)

    async def settle(self) -> None:
        """End subscriptions and wills that the rules do not allow."""
        await self._access.settle()


class Access(Part):
    """What clients may publish and subscribe to.

    stored  the rules of the store; None: nothing has used them
    """

    name = "access"

    def __init__(
        self,
        core: Core,
        settling: Settling,
        config: Config,
        names_count: Callable[[Config], bool] = lambda config: True,
    ) -> None:
        """Put the first configuration's rules in force, before sessions are restored.

        names_count  whether a user name has to be proved
        """
        self._core = core
        self._settling = settling
        self._names_count = names_count
        self.stored: StoredRules | None = None
        self._left: list[Rules] = []  # in force before; to be freed off the loop
        self._now = self._read(config)
        core.set_rules(self._now.rules)

    @property
    def names_count(self) -> bool:
        """Whether a user name has to be proved: then rules of the store may be about users."""
        return self._now.names_count

    def _read(self, config: Config, before: _Read | None = None) -> _Read:
        """Return the rules to judge by. Blocks, for acl_file. Raises ConfigError.

        before  rules of the same configuration: its file is not read again then
        """
        stored, counts = self.stored, self._names_count(config)
        changes = 0 if stored is None else stored.changes
        if before is not None and before.own is not None:
            own, content = before.own, before.content
        else:
            named = named_rules(config)
            own, content = Packed([one.rule for one in named]), hash(tuple(named))
        pieces = [] if stored is None else stored.pieces(names_count=counts)
        rules = compiled((), config, [*pieces, own])
        needed = stored is not None or config.acl_file is not None
        count = sum(piece.count for piece in pieces)
        return _Read(
            config, counts, content, own if needed else None, rules, count, changes
        )

    def use(self, read: _Read) -> None:
        """Judge by these from now on."""
        if self.stored is not None and read.changes != self.stored.changes:
            read = self._read(read.config, read)  # it has changed meanwhile
        self._left.append(self._now.rules)
        self._now = read
        self._core.set_rules(read.rules)

    async def name_of(self, number: int) -> str:
        """Return where the rule of that number stands: key, file and line, or store."""
        now = self._now
        if self.stored is not None and number < now.stored:
            return self.stored.name_of(number, names_count=now.names_count)
        number -= now.stored
        return await asyncio.to_thread(_name_of, now.config, now.content, number)

    @property
    def otherwise(self) -> str:
        """The key that says what holds where no rule applies."""
        return says_otherwise(self._now.config)

    async def prepare(self, config: Config) -> Change | None:
        now = self._now
        same = all(getattr(config, key) == getattr(now.config, key) for key in _KEYS)
        same_names = self._names_count(config) == now.names_count or self.stored is None
        if same and same_names and config.acl_file is None:
            return None
        read = await asyncio.to_thread(self._read, config)
        if same and same_names and read.content == now.content:
            return None
        return AccessChange(self, read, ("acl_file",) if same and same_names else ())

    async def renew(self) -> None:
        """Put the store's rules in force as they are now, and end what they do not allow."""
        await self._renew()
        await self.settle()

    async def _renew(self) -> None:
        now = self._now
        read = await asyncio.to_thread(self._read, now.config, now)
        if self._now is now:
            self.use(read)
        else:  # a change of the configuration came first
            self.use(self._read(self._now.config, self._now))

    async def settle(self) -> None:
        """Judge what every session has by the rules in force, and free those of before."""
        await self._settling.run(self._core.judge)
        left, self._left = self._left, []
        await asyncio.to_thread(left.clear)


def _name_of(config: Config, content: int, number: int) -> str:
    """Read the rules again: their names are rarely wanted, and there may be many."""
    try:
        named = named_rules(config)
    except ConfigError:
        named = []
    if hash(tuple(named)) == content:
        return named[number].where
    return f"rule {number + 1}; acl_file has changed since it was read"
