"""The keys that ``auth.jwt`` names: a secret, files, and a set behind a URL.

The set is fetched when it is put in force, then every ``jwks.refresh``, and at once when a
token names a key that is not in it. While its server cannot be reached, the keys of before
stay.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from nanomq_py.config import ConfigError
from nanomq_py.config.keys.tokens import JwtLogin
from nanomq_py.tokens.fetch import FetchError, fetched
from nanomq_py.tokens.jws import Key
from nanomq_py.tokens.keyset import MOST_BYTES, key_of_pem, keys_of_jwks

log = logging.getLogger("nanomq")

LEAST_SECRET_BYTES = 32  # RFC 7518, 3.2: as long as the hash
LEAST_PAUSE_S = 10.0  # between fetches that tokens ask for
TIME_LIMIT_S = 5.0  # of a fetch

T = TypeVar("T")


@dataclass(frozen=True)
class _Secret:
    """The key of HS256 (RFC 7518, 3.2)."""

    secret: bytes = field(repr=False)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        right = hmac.digest(self.secret, message, hashlib.sha256)
        return hmac.compare_digest(right, signature)


def _of_file(name: str, path: str, read: Callable[[bytes], T]) -> T:
    """Return what is in the file of that key. Raises ConfigError."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as fault:
        raise ConfigError(f"{name}={path!r}: cannot be read: {fault.strerror}") from None
    try:
        return read(content)
    except ValueError as fault:
        raise ConfigError(f"{name}={path!r}: {fault}") from None


def _of_pem(content: bytes) -> Key:
    try:
        return key_of_pem(content.decode("ascii"))
    except ValueError:
        raise ValueError(
            "expected a PEM file of a public key: RSA of 2048 bits or more, or P-256"
        ) from None


FileKeys = dict[str, tuple[Key, ...]]  # the name of the configuration's key -> its keys


def keys_of_files(jwt: JwtLogin) -> FileKeys:
    """Return the keys that need no server. Blocks: it reads files.

    Raises   ConfigError, also where there is no key at all
    """
    keys: FileKeys = {}
    if jwt.secret is not None:
        secret = jwt.secret.encode()
        if len(secret) < LEAST_SECRET_BYTES:
            raise ConfigError(
                f"auth.jwt.secret=(hidden): expected {LEAST_SECRET_BYTES} bytes or more"
            )
        keys["auth.jwt.secret"] = (Key("HS256", _Secret(secret)),)
    if jwt.public_keyfile is not None:
        name = "auth.jwt.public.keyfile"
        keys[name] = (_of_file(name, jwt.public_keyfile, _of_pem),)
    if jwt.jwks_file is not None:
        name = "auth.jwt.jwks.file"
        keys[name] = _of_file(name, jwt.jwks_file, keys_of_jwks)
    if not keys and jwt.jwks_url is None:
        raise ConfigError(
            "auth.jwt.enable=true: no key: expected auth.jwt.secret, public.keyfile,"
            " jwks.file or jwks.url"
        )
    return keys


def _trust(jwt: JwtLogin) -> ssl.SSLContext | None:
    """Return whom the server's certificate must be from; None: it has none."""
    if jwt.jwks_url is None or not jwt.jwks_url.startswith("https:"):
        return None
    try:
        return ssl.create_default_context(cafile=jwt.jwks_cacertfile)
    except OSError as fault:
        raise ConfigError(
            f"auth.jwt.jwks.cacertfile={jwt.jwks_cacertfile!r}: expected a PEM file of CAs:"
            f" {fault.strerror or fault}"
        ) from None


class FetchedKeys:
    """The keys of ``jwks.url``.

    Threads  belongs to the event loop
    """

    def __init__(self, jwt: JwtLogin) -> None:
        """Make it without keys. Blocks: it may read a file. Raises ConfigError."""
        self.settings = settings_of(jwt)
        self.keys: tuple[Key, ...] = ()
        self.was_fetched = False
        self._url = jwt.jwks_url or ""
        self._pause_s = jwt.jwks_refresh_s
        self._trust = _trust(jwt)
        self._failed = False
        self._tried_at_s = -LEAST_PAUSE_S  # on the monotonic clock
        self._fetching: asyncio.Task[None] | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._told: Callable[[], None] = lambda: None

    def begin(self, told: Callable[[], None]) -> None:
        """Fetch them again from time to time; ``told`` is called when they have changed."""
        self._told = told
        if self._refreshing is None:
            self._refreshing = asyncio.create_task(self._refresh())

    async def end(self) -> None:
        """Fetch them no more."""
        tasks = [task for task in (self._refreshing, self._fetching) if task is not None]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def fetch(self) -> bool:
        """Fetch them, unless that was tried just now. Returns whether it was tried.

        Many may wait for one fetch.
        """
        if self._fetching is None:
            now_s = time.monotonic()
            if now_s - self._tried_at_s < LEAST_PAUSE_S:
                return False
            self._tried_at_s = now_s
            self._fetching = asyncio.create_task(self._fetch())
        # Not awaited itself: one that a reload ends does not end those who wait for it.
        await asyncio.wait({self._fetching})
        return True

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(self._pause_s)
            await self.fetch()

    async def _fetch(self) -> None:
        try:
            body = await fetched(
                self._url,
                trust=self._trust,
                most_bytes=MOST_BYTES,
                time_limit_s=TIME_LIMIT_S,
            )
            keys = await asyncio.to_thread(keys_of_jwks, body)
        except (FetchError, ValueError) as fault:
            self._fail(str(fault))
        else:
            self._take(keys)
        finally:
            self._fetching = None

    def _take(self, keys: tuple[Key, ...]) -> None:
        if self._failed:
            log.info("auth.jwt.jwks.url: the keys are fetched again")
        self._failed, self.was_fetched = False, True
        if keys != self.keys:
            self.keys = keys
            self._told()

    def _fail(self, why: str) -> None:
        """Say it once, until it works again."""
        if not self._failed:
            rest = "those of before stay" if self.was_fetched else "tokens are refused"
            log.warning("auth.jwt.jwks.url: no keys: %s; %s", why, rest)
        self._failed = True


def settings_of(jwt: JwtLogin) -> tuple[object, ...]:
    """Return what decides where keys are fetched from, and when."""
    return jwt.jwks_url, jwt.jwks_refresh_s, jwt.jwks_cacertfile
