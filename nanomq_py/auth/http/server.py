"""Questions to the HTTP servers of ``auth.http``: asked once, remembered for a while.

::

    ask ──> remembered? ──> somebody asks the same? ──> the server ──> Verdict
              at once            waits with it         200, 4xx, 5xx, nothing

What is remembered is found by a keyed digest of the whole request, so that no password is
kept. A server that does not answer is remembered for nobody: the next question finds out
whether it is back.

Source   NanoMQ and EMQX 4: 200 allows (with the body ``ignore`` it has no opinion), others deny
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import ssl
import time
from collections import OrderedDict
from collections.abc import Mapping
from enum import Enum, auto
from typing import NamedTuple

from nanomq_py.auth.http.template import NotText, Template, Values
from nanomq_py.config import ConfigError
from nanomq_py.config.keys.http_client import HttpAuth, HttpAuthRequest
from nanomq_py.fetch.message import Answer, FetchError, Origin, Request
from nanomq_py.fetch.pool import Bounds, Pool
from nanomq_py.fetch.tls import CertificateError, client_tls

log = logging.getLogger("nanomq")

MOST_REMEMBERED = 10_000  # verdicts
MOST_WAITING = 4096  # requests to one server
ANSWER_BYTES = 64 * 1024
TELL_AGAIN_S = 60.0


class Verdict(Enum):
    """What a server says of a client."""

    ALLOW = auto()
    DENY = auto()
    IGNORE = auto()  # it has no opinion
    FAILED = auto()  # it says nothing


class Ruling(NamedTuple):
    """A verdict, and for how many more seconds it counts."""

    verdict: Verdict
    counts_s: float


def verdict_of(answer: Answer) -> Verdict:
    """Return what an answer means; one with status 500 or above is none."""
    if answer.status == 200:
        return Verdict.IGNORE if answer.body.strip() == b"ignore" else Verdict.ALLOW
    return Verdict.DENY if answer.status < 500 else Verdict.FAILED


class Outage:
    """Tells once that a server is gone, and once that it is back."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._is_told = False
        self._told_s = -TELL_AGAIN_S
        self.reason = ""  # why it cannot be asked; empty: it answers

    def failed(self, reason: str) -> None:
        self.reason = reason
        now = time.monotonic()
        if not self._is_told and now - self._told_s >= TELL_AGAIN_S:
            log.error(
                "auth.http: %s cannot be asked about clients: %s", self._origin, reason
            )
            self._is_told, self._told_s = True, now

    def answered(self) -> None:
        self.reason = ""
        if self._is_told:
            log.warning("auth.http: %s answers again", self._origin)
            self._is_told = False


class Memory:
    """Verdicts by the digest of their request, for a while. The oldest are forgotten first."""

    def __init__(self, for_s: float) -> None:
        self._for_s = for_s
        self._by_digest: OrderedDict[bytes, tuple[float, Verdict]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_digest)

    def get(self, digest: bytes) -> Ruling | None:
        found = self._by_digest.get(digest)
        left_s = 0.0 if found is None else found[0] - time.monotonic()
        return None if found is None or left_s <= 0 else Ruling(found[1], left_s)

    def put(self, digest: bytes, verdict: Verdict) -> None:
        if self._for_s <= 0:
            return
        self._by_digest[digest] = (time.monotonic() + self._for_s, verdict)
        self._by_digest.move_to_end(digest)
        if len(self._by_digest) > MOST_REMEMBERED:
            self._by_digest.popitem(last=False)


class Servers:
    """The servers of one configuration, and their rulings that still count.

    Threads  made in any thread; then it belongs to the event loop
    """

    def __init__(self, config: HttpAuth, most_s: float) -> None:
        """Make them without a connection; blocks while it reads certificates.

        most_s  no question takes longer, whatever the configuration says

        Raises   ConfigError for files that cannot be read
        """
        self.timeout_s = min(config.timeout / 1000, most_s)
        self._remembers_s = config.cache_ttl / 1000
        self._logins = Memory(self._remembers_s)
        self._topics = Memory(self._remembers_s)
        self._asking: dict[bytes, asyncio.Task[Ruling]] = {}
        self._key = secrets.token_bytes(32)
        self._pools: dict[Origin, Pool] = {}
        self._outages: dict[Origin, Outage] = {}
        self.auth = _template(config.auth_req)
        self.super = _template(config.super_req)
        self.access = _template(config.acl_req)
        self._open(config)

    def _open(self, config: HttpAuth) -> None:
        used = [t.origin for t in (self.auth, self.super, self.access) if t is not None]
        tls = None
        if any(origin.scheme == "https" for origin in used):
            tls = _tls_of(config)
        bounds = Bounds(
            timeout_s=self.timeout_s,
            connect_timeout_s=min(config.connect_timeout / 1000, self.timeout_s),
            connections=config.pool_size,
            waiting=MOST_WAITING,
            answer_bytes=ANSWER_BYTES,
        )
        for origin in used:
            self._pools[origin] = Pool(origin, bounds, tls)
            self._outages[origin] = Outage(origin)

    def ask(self, template: Template, values: Values) -> Ruling | asyncio.Future[Ruling]:
        """Return what the server says of a client. Whoever waits may stop: others go on."""
        try:
            request = template.request(values)
        except NotText:
            return Ruling(Verdict.DENY, 0.0)
        digest = self._digest_of(template, request)
        memory = self._topics if template is self.access else self._logins
        known = memory.get(digest)
        if known is not None:
            return known
        task = self._asking.get(digest)
        if task is None:
            asking = self._question(digest, template.origin, request, memory)
            task = self._asking[digest] = asyncio.ensure_future(asking)
        return asyncio.shield(task)

    def _digest_of(self, template: Template, request: Request) -> bytes:
        digest = hashlib.blake2b(key=self._key, digest_size=32)
        for part in (
            str(template.origin).encode(), request.method.encode(), request.target.encode(),
            b"".join(b"%b:%b\n" % header for header in request.headers),
        ):  # fmt: skip
            digest.update(b"%d:%b" % (len(part), part))
        digest.update(request.body or b"")
        return digest.digest()

    async def _question(
        self, digest: bytes, origin: Origin, request: Request, memory: Memory
    ) -> Ruling:
        outage = self._outages[origin]
        try:
            answer = await self._pools[origin].ask(request)
            verdict = verdict_of(answer)
            if verdict is Verdict.FAILED:
                raise FetchError(f"its status is {answer.status}")
        except FetchError as fault:
            outage.failed(str(fault))
            return Ruling(Verdict.FAILED, 0.0)
        finally:
            del self._asking[digest]
        outage.answered()
        memory.put(digest, verdict)
        return Ruling(verdict, self._remembers_s)

    def gone(self) -> Mapping[Origin, str]:
        """Return the servers that cannot be asked, and why."""
        return {o: outage.reason for o, outage in self._outages.items() if outage.reason}

    def forget_topics(self) -> None:
        """Ask about topics again; what is under way is not remembered."""
        self._topics = Memory(self._remembers_s)

    def close(self) -> None:
        """Begin no connection that stays; questions under way get their answers."""
        for pool in self._pools.values():
            pool.close()

    def cancel(self) -> None:
        """End questions under way, too."""
        self.close()
        for task in self._asking.values():
            task.cancel()


def _template(request: HttpAuthRequest) -> Template | None:
    return Template(request) if request.url is not None else None


def _tls_of(config: HttpAuth) -> ssl.SSLContext:
    try:
        return client_tls(config.cacertfile, config.certfile, config.keyfile)
    except CertificateError as fault:
        raise ConfigError(f"auth.http.ssl.{fault.key}={fault}") from None
