"""Clients that log in with a token: an authenticator.

What is no token passes. A token is decided about here: allowed, or refused however wrong it
is, so that no bad token becomes somebody's password, or nobody's.

A key of RSA or P-256 takes 0.1 to 1 ms, so it verifies in a thread of its own, one token at a
time. The claims of those that it has verified are kept, and judged at every login.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from nanomq_py.auth.chain import Answer, Decision, Login
from nanomq_py.auth.token_acl import rules_of
from nanomq_py.config.keys.tokens import JwtLogin
from nanomq_py.config.values.texts import is_text, shown
from nanomq_py.core.declared import ReasonCode
from nanomq_py.tokens.claims import Demands, check
from nanomq_py.tokens.jws import Key, Keys, Refused, Token, UnknownKey, token_of

if TYPE_CHECKING:
    from nanomq_py.auth.fetched_keys import FetchedKeys

log = logging.getLogger("nanomq")

MOST_WAITING = 2048  # tokens, for the thread
MOST_KEPT = 1000  # verified tokens
MOST_KEPT_BYTES = 4096  # of one

_WRONG = Decision(ReasonCode.BAD_USER_NAME_OR_PASSWORD)
_BUSY = Decision(ReasonCode.SERVER_BUSY)
_NO_KEYS = Decision(ReasonCode.SERVER_UNAVAILABLE)

Claims = dict[str, Any]


class _Verified:
    """The claims of tokens that a key has verified, by the digest of the token."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, Claims] = OrderedDict()

    def get(self, digest: bytes) -> Claims | None:
        return self._kept.get(digest)

    def put(self, digest: bytes, claims: Claims) -> None:
        while len(self._kept) >= MOST_KEPT:
            self._kept.popitem(last=False)
        self._kept[digest] = claims

    def forget(self, digest: bytes) -> None:
        self._kept.pop(digest, None)


class TokenLogin:
    """Judges by one configuration.

    Threads  belongs to the event loop
    """

    def __init__(
        self,
        jwt: JwtLogin,
        keys: Keys,
        fetched: FetchedKeys | None,
        thread: ThreadPoolExecutor,
    ) -> None:
        """Take the keys of files, and those behind a URL; ``thread`` verifies."""
        self._from_user_name = jwt.taken_from == "username"
        self._demands = Demands(
            jwt.issuer,
            jwt.audience,
            jwt.require_exp,
            jwt.leeway_s,
            {claim.name: claim.text for claim in jwt.claims},
        )
        self._acl_claim = jwt.acl_claim
        self._superuser_claim = jwt.superuser_claim
        self._keys = tuple(keys)
        self._fetched = fetched
        self._thread = thread
        self._verified = _Verified()
        self._waiting = 0

    def forget_verified(self) -> None:
        """Verify every token anew: the keys have changed."""
        self._verified = _Verified()

    def decide(self, login: Login) -> Answer | Awaitable[Answer]:
        """Pass what is no token."""
        given = (login.user_name or "").encode() if self._from_user_name else login.password
        if not given:
            return None
        try:
            token = token_of(given)
            if token is None:
                return None
            digest = hashlib.sha256(given).digest()
            known = self._verified.get(digest)
            if known is not None:
                return self._judge(login, known, digest)
            keys = token.keys(self._all_keys())
        except UnknownKey as fault:
            return self._fetch(login, token, digest, fault) if token else None
        except Refused as fault:
            return self._refuse(login, fault)
        return self._verify(login, token, digest, keys)

    def _all_keys(self) -> tuple[Key, ...]:
        return self._keys + (self._fetched.keys if self._fetched is not None else ())

    async def _fetch(
        self, login: Login, token: Token, digest: bytes, fault: UnknownKey
    ) -> Answer:
        """Look whether the server of the keys has one that is not here."""
        if self._fetched is None:
            return self._refuse(login, fault)
        await self._fetched.fetch()
        try:
            keys = token.keys(self._all_keys())
        except Refused as still:
            return self._refuse(login, still) if self._fetched.was_fetched else _NO_KEYS
        answer = self._verify(login, token, digest, keys)
        return await answer if isinstance(answer, Awaitable) else answer

    def _verify(
        self, login: Login, token: Token, digest: bytes, keys: Keys
    ) -> Answer | Awaitable[Answer]:
        if not any(key.is_slow for key in keys):
            try:
                return self._judge(login, token.verified(keys), None)
            except Refused as fault:
                return self._refuse(login, fault)
        if self._waiting >= MOST_WAITING:
            return _BUSY
        return self._verify_in_thread(login, token, digest, keys)

    async def _verify_in_thread(
        self, login: Login, token: Token, digest: bytes, keys: Keys
    ) -> Answer:
        kept = self._verified  # of these keys
        self._waiting += 1
        loop = asyncio.get_running_loop()
        try:
            claims = await loop.run_in_executor(self._thread, token.verified, keys)
        except Refused as fault:
            return self._refuse(login, fault)
        finally:
            self._waiting -= 1
        if len(token.claims) <= MOST_KEPT_BYTES:
            kept.put(digest, claims)
        return self._judge(login, claims, digest)

    def _judge(self, login: Login, claims: Claims, digest: bytes | None) -> Answer:
        """Let it in if the claims of its token, which are not forged, are as demanded."""
        user_name = "" if self._from_user_name else login.user_name or ""
        try:
            ends_at_s = check(
                claims,
                self._demands,
                client_id=login.client_id,
                user_name=user_name,
                now_s=datetime.now(tz=timezone.utc).timestamp(),
            )
            user = self._user_of(user_name, claims)
            named = self._acl_claim
            rules = rules_of(claims[named]) if named and named in claims else None
            is_superuser = self._is_superuser(claims)
        except Refused as fault:
            if digest is not None:
                self._verified.forget(digest)
            return self._refuse(login, fault)
        return Decision(
            ReasonCode.SUCCESS,
            user,
            is_superuser=is_superuser,
            ends_at_s=ends_at_s,
            rules=rules,
        )

    def _is_superuser(self, claims: Claims) -> bool:
        named = self._superuser_claim
        said = claims.get(named, False) if named else False
        if not isinstance(said, bool):
            raise Refused(f"its {named} is neither true nor false")
        return said

    def _user_of(self, user_name: str, claims: Claims) -> str:
        """Return who the token proves the client to be; empty: it names nobody.

        What CONNECT says of itself proves nothing, unless a claim is held against it.
        """
        if self._demands.proves_user:
            return user_name
        subject = claims.get("sub", "")
        if not isinstance(subject, str) or not is_text(subject):
            raise Refused("its subject (sub) cannot be a user name")
        return subject

    def _refuse(self, login: Login, fault: Refused) -> Decision:
        log.info("client '%s': its token is refused: %s", shown(login.client_id), fault)
        return _WRONG
