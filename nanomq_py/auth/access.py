"""The access rules in force in the core."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from nanomq_py.auth.acl import compiled, named_rules, says_otherwise
from nanomq_py.config import Config, ConfigError
from nanomq_py.core.binding import Core
from nanomq_py.core.rules import Rules
from nanomq_py.core.settling import Settling
from nanomq_py.kernel.part import Change, Part

# With other servers, what the last ones have said does not count any more.
_KEYS = ("acl_rules", "acl_nomatch", "acl_deny_action", "acl_file", "auth_http")


@dataclass(frozen=True)
class _Read:
    """A configuration's rules, made ready."""

    config: Config
    rules: Rules
    content: int  # the hash of all rules, those of acl_file too

    @classmethod
    def of(cls, config: Config) -> _Read:
        named = named_rules(config)
        return cls(config, compiled(named, config), hash(tuple(named)))


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
    """What clients may publish and subscribe to."""

    name = "access"

    def __init__(self, core: Core, settling: Settling, config: Config) -> None:
        """Put the first configuration's rules in force, before sessions are restored."""
        self._core = core
        self._settling = settling
        self.use(_Read.of(config))

    def use(self, read: _Read) -> None:
        """Judge by these from now on."""
        self._config, self._content = read.config, read.content
        self._core.set_rules(read.rules)

    async def name_of(self, number: int) -> str:
        """Return where the rule of that number stands: key, or file and line."""
        return await asyncio.to_thread(_name_of, self._config, self._content, number)

    @property
    def otherwise(self) -> str:
        """The key that says what holds where no rule applies."""
        return says_otherwise(self._config)

    async def prepare(self, config: Config) -> Change | None:
        same = all(getattr(config, key) == getattr(self._config, key) for key in _KEYS)
        if same and config.acl_file is None:
            return None
        read = await asyncio.to_thread(_Read.of, config)
        if same and read.content == self._content:
            return None
        return AccessChange(self, read, ("acl_file",) if same else ())

    async def settle(self) -> None:
        """Judge what every session has by the rules in force."""
        await self._settling.run(self._core.judge)


def _name_of(config: Config, content: int, number: int) -> str:
    """Read the rules again: their names are rarely wanted, and there may be many."""
    try:
        named = named_rules(config)
    except ConfigError:
        named = []
    if hash(tuple(named)) == content:
        return named[number].where
    return f"rule {number + 1}; acl_file has changed since it was read"
