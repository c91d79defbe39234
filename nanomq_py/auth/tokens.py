"""Tokens (JWT) as a part of the process: ``auth.jwt`` in force, and its keys as they change.

Without ``auth.jwt.enable`` nothing that looks at tokens is imported.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from nanomq_py.auth.chain import Answer, Login
from nanomq_py.config import Config
from nanomq_py.config.keys.tokens import JwtLogin
from nanomq_py.core.binding import Core
from nanomq_py.core.declared import ReasonCode
from nanomq_py.core.records import Kick
from nanomq_py.core.settling import Settling
from nanomq_py.kernel.part import Change, Part, Trouble

if TYPE_CHECKING:
    from nanomq_py.auth.fetched_keys import FetchedKeys
    from nanomq_py.auth.token_keys import FileKeys
    from nanomq_py.auth.token_login import TokenLogin


def check_keys(config: Config) -> None:
    """Read the keys of tokens, but those behind a URL. Raises ConfigError. Blocks."""
    if config.auth_jwt.enable:
        from nanomq_py.auth.token_keys import keys_of_files

        keys_of_files(config.auth_jwt)
        if config.auth_jwt.jwks_url is not None:
            from nanomq_py.auth.fetched_keys import FetchedKeys

            FetchedKeys(config.auth_jwt)


@dataclass(frozen=True)
class _InForce:
    """What clients are judged by; without a login nobody has a token."""

    settings: JwtLogin
    files: FileKeys
    fetched: FetchedKeys | None = None
    login: TokenLogin | None = None


class _TokensChange(Change):
    """Another configuration of tokens, or other keys."""

    def __init__(self, tokens: Tokens, new: _InForce) -> None:
        self._tokens = tokens
        self._old = tokens.in_force
        self._new = new
        self._left: FetchedKeys | None = None  # that are fetched no more

    @property
    def renewed(self) -> Sequence[str]:
        old, new = self._old.files, self._new.files
        return [
            name
            for name in old.keys() & new.keys()
            if old[name] != new[name] and name != "auth.jwt.secret"
        ]

    @property
    def _gone(self) -> bool:
        """Whether a token might be none now, for its key, or none of a superuser."""
        old, new = (set(chain(*now.files.values())) for now in (self._old, self._new))
        claim = self._old.settings.superuser_claim
        is_renamed = claim not in ("", self._new.settings.superuser_claim)
        return self._new.login is None or is_renamed or not old <= new

    def commit(self) -> None:
        self._tokens.use(self._new)
        self._left = self._old.fetched

    async def undo(self) -> None:
        self._tokens.use(self._old)
        self._left = self._new.fetched
        await self.settle()

    async def settle(self) -> None:
        """End what rests on keys or rights that are gone, and fetch those of before no more."""
        if (
            self._old.login is not None
            and self._tokens.in_force is self._new
            and self._gone
        ):
            await self._tokens.end_all()
        if self._left is not None and self._left is not self._tokens.in_force.fetched:
            await self._left.end()


class Tokens(Part):
    """The authenticator of clients with a token, whatever configuration is in force."""

    name = "jwt"

    def __init__(self, core: Core, settling: Settling) -> None:
        self._core = core
        self._settling = settling
        self.in_force = _InForce(JwtLogin(), {})
        self._thread = ThreadPoolExecutor(1, "tokens")  # begins with the first task

    def decide(self, login: Login) -> Answer | Awaitable[Answer]:
        """Ask what is in force, again if that changes meanwhile."""
        now = self.in_force.login
        answer = None if now is None else now.decide(login)
        return self._later(now, login, answer) if inspect.isawaitable(answer) else answer

    async def _later(
        self, asked: TokenLogin | None, login: Login, waiting: Awaitable[Answer]
    ) -> Answer:
        answer = await waiting
        if asked is self.in_force.login:
            return answer
        again = self.decide(login)
        return await again if inspect.isawaitable(again) else again

    async def end_all(self) -> None:
        """End the connections that a token has let in: it might not do so any more."""
        kick = Kick(every_foreign=True, wills=True, reason_code=ReasonCode.NOT_AUTHORIZED)
        await self._settling.run(lambda: self._core.kick_users(kick))

    async def prepare(self, config: Config) -> Change | None:
        jwt, old = config.auth_jwt, self.in_force
        if not jwt.enable:
            if old.login is None:
                return None
            return _TokensChange(self, _InForce(jwt, {}))
        from nanomq_py.auth.token_keys import keys_of_files

        files = await asyncio.to_thread(keys_of_files, jwt)
        if old.login is not None and (old.settings, old.files) == (jwt, files):
            return None
        return _TokensChange(self, await self._made(jwt, files))

    async def _made(self, jwt: JwtLogin, files: FileKeys) -> _InForce:
        from nanomq_py.auth.token_login import TokenLogin

        fetched = None if jwt.jwks_url is None else await self._fetched(jwt)
        keys = [key for some in files.values() for key in some]
        return _InForce(jwt, files, fetched, TokenLogin(jwt, keys, fetched, self._thread))

    async def _fetched(self, jwt: JwtLogin) -> FetchedKeys:
        """Return the keys of the URL: those that are fetched already, if it is the same."""
        from nanomq_py.auth.fetched_keys import FetchedKeys, settings_of

        fetched = self.in_force.fetched
        if fetched is None or fetched.settings != settings_of(jwt):
            fetched = await asyncio.to_thread(FetchedKeys, jwt)
            await fetched.fetch()
        return fetched

    def use(self, in_force: _InForce) -> None:
        """Judge by it from now on."""
        self.in_force = in_force
        if in_force.fetched is not None and in_force.login is not None:
            in_force.fetched.begin(in_force.login.forget_verified)

    def troubles(self) -> Iterable[Trouble]:
        fetched = self.in_force.fetched
        if fetched is not None and fetched.fault:
            yield Trouble(
                "jwks_not_fetched", f"auth.jwt.jwks.url: no keys: {fetched.fault}"
            )

    async def stop(self) -> None:
        if self.in_force.fetched is not None:
            await self.in_force.fetched.end()
        self._thread.shutdown(wait=False, cancel_futures=True)
