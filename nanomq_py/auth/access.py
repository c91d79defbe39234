"""The access rules in force in the core."""

from __future__ import annotations

import asyncio

from nanomq_py.auth.acl import rules_of
from nanomq_py.config import Config
from nanomq_py.core.binding import Core
from nanomq_py.core.rules import Rules
from nanomq_py.core.settling import Settling
from nanomq_py.kernel.part import Change, Part

# With other servers, what the last ones have said does not count any more.
_KEYS = ("acl_rules", "acl_nomatch", "acl_deny_action", "auth_http")


class AccessChange(Change):
    """Other access rules, and the end of what they do not allow any more."""

    def __init__(self, access: Access, config: Config, rules: Rules) -> None:
        self._access = access
        self._config = config
        self._rules = rules

    def commit(self) -> None:
        self._access.use(self._config, self._rules)

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
        self.use(config, rules_of(config))

    def use(self, config: Config, rules: Rules) -> None:
        """Judge by these from now on."""
        self._config = config
        self._core.set_rules(rules)

    async def prepare(self, config: Config) -> Change | None:
        if all(getattr(config, key) == getattr(self._config, key) for key in _KEYS):
            return None
        return AccessChange(self, config, await asyncio.to_thread(rules_of, config))

    async def settle(self) -> None:
        """Judge what every session has by the rules in force."""
        await self._settling.run(self._judge)

    def _judge(self) -> None:
        self._core.judge()
