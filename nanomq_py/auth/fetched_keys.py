"""The keys behind the URL that ``auth.jwt.jwks.url`` names.

They are fetched when they are put in force, then every ``jwks.refresh``, and at once when a
token names a key that is not there. While their server cannot be reached, the keys of before
stay.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from nanomq_py.config import ConfigError
from nanomq_py.config.keys.tokens import JwtLogin
from nanomq_py.fetch.message import FetchError, Origin, Request, request_target
from nanomq_py.fetch.pool import Bounds, Pool
from nanomq_py.fetch.tls import CertificateError, client_tls
from nanomq_py.tokens.jws import Key
from nanomq_py.tokens.keyset import MOST_BYTES, keys_of_jwks

log = logging.getLogger("nanomq")

LEAST_PAUSE_S = 10.0  # between fetches that tokens ask for
TIME_LIMIT_S = 5.0  # of a fetch
MOST_ANSWER_BYTES = MOST_BYTES + 128 * 1024  # with what is HTTP's
_HEADERS = ((b"Accept", b"application/json"), (b"Accept-Encoding", b"identity"))


def _pool_of(url: str, cacertfile: str | None) -> Pool:
    """Return connections to the server. Blocks: it may read files. Raises ConfigError."""
    try:
        origin = Origin.of(url)
    except ValueError:
        raise ConfigError(f"auth.jwt.jwks.url={url!r}: expected a name of a host") from None
    try:
        secure = origin.scheme == "https"
        tls = client_tls(cacertfile, None, None) if secure else None
    except CertificateError as fault:
        raise ConfigError(f"auth.jwt.jwks.{fault.key}={fault}") from None
    bounds = Bounds(
        timeout_s=TIME_LIMIT_S,
        connect_timeout_s=TIME_LIMIT_S,
        connections=1,
        waiting=0,
        answer_bytes=MOST_ANSWER_BYTES,
    )
    return Pool(origin, bounds, tls)


class FetchedKeys:
    """The keys of ``jwks.url``.

    Threads  belongs to the event loop
    """

    def __init__(self, jwt: JwtLogin) -> None:
        """Make it without keys. Blocks: it may read a file. Raises ConfigError."""
        self.settings = settings_of(jwt)
        self.keys: tuple[Key, ...] = ()
        self.was_fetched = False
        url = jwt.jwks_url or ""
        self._pool = _pool_of(url, jwt.jwks_cacertfile)
        self._request = Request("GET", request_target(url), _HEADERS)
        self._pause_s = jwt.jwks_refresh_s
        self.fault = ""  # why they were not fetched the last time; empty: they were
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
        self._pool.close()

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
            answer = await self._pool.ask(self._request)
            if answer.status != 200:
                raise FetchError(f"the server answers {answer.status}")
            # So many keys take some ten milliseconds.
            keys = await asyncio.to_thread(keys_of_jwks, answer.body)
        except (FetchError, ValueError) as fault:
            self._fail(str(fault))
        else:
            self._take(keys)
        finally:
            self._fetching = None

    def _take(self, keys: tuple[Key, ...]) -> None:
        if self.fault:
            log.info("auth.jwt.jwks.url: the keys are fetched again")
        self.fault, self.was_fetched = "", True
        if keys != self.keys:
            self.keys = keys
            self._told()

    def _fail(self, why: str) -> None:
        """Say it once, until it works again."""
        if not self.fault:
            rest = "those of before stay" if self.was_fetched else "tokens are refused"
            log.warning("auth.jwt.jwks.url: no keys: %s; %s", why, rest)
        self.fault = why


def settings_of(jwt: JwtLogin) -> tuple[object, ...]:
    """Return what decides where keys are fetched from, and when."""
    return jwt.jwks_url, jwt.jwks_refresh_s, jwt.jwks_cacertfile
