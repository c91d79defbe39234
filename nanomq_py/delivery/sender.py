"""One attempt to tell a server, and what came of it.

::

    2xx ─> TAKEN    410 ─> GONE    anything else ─> FAILED, which may say when to come again
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from nanomq_py.delivery.addresses import Allowed
from nanomq_py.delivery.signature import key_of, signature
from nanomq_py.delivery.target import Target
from nanomq_py.delivery.waits import retry_after_s
from nanomq_py.delivery.window import Waiting
from nanomq_py.fetch.message import (
    Answer,
    FetchError,
    Origin,
    Request,
    Unreached,
    request_target,
)
from nanomq_py.fetch.pool import Bounds, Pool
from nanomq_py.fetch.tls import client_tls
from nanomq_py.store.moment import wall_s
from nanomq_py.version import __version__

ANSWER_BYTES = 256 * 1024
_GONE = 410  # RFC 9110, 15.5.11


class End(Enum):
    """What came of an attempt."""

    TAKEN = auto()
    FAILED = auto()
    UNREACHED = auto()  # nothing was sent: it is no fault of the post
    GONE = auto()  # the target wants no more


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt.

    error    for people
    after_s  how long the server asks to be left alone; None: it does not
    """

    end: End
    error: str = ""
    after_s: float | None = None


_TAKEN = Outcome(End.TAKEN)


class Sender:
    """Tells one target.

    Threads  made in any thread; then it belongs to the event loop
    """

    def __init__(self, target: Target, nonce: str) -> None:
        """Make it without a connection. Blocks: it reads certificates.

        nonce   makes the identifiers of messages ours alone
        Raises  CertificateError
        """
        self.target = target
        self._nonce = nonce
        origin = Origin.of(target.url)
        bounds = Bounds(
            timeout_s=target.timeout_s,
            connect_timeout_s=min(target.connect_timeout_s, target.timeout_s),
            connections=target.connections,
            waiting=1,  # the request that finds out whether the target is back
            answer_bytes=ANSWER_BYTES,
        )
        tls = None
        if origin.scheme == "https":
            tls = client_tls(target.cacertfile, target.certfile, target.keyfile)
        self._pool = Pool(origin, bounds, tls, Allowed(target.allow).refuses)
        self._request_target = request_target(target.url)
        self._key = key_of(target.secret)
        self._headers = (
            (b"User-Agent", f"nanomq-py/{__version__}".encode()),
            *((name.encode(), value.encode("latin-1")) for name, value in target.headers),
        )

    async def send(self, post: Waiting) -> Outcome:
        """Send it once; return what came of it."""
        try:
            return outcome_of(await self._pool.ask(self._request(post)))
        except Unreached as fault:
            return Outcome(End.UNREACHED, str(fault))
        except FetchError as fault:
            return Outcome(End.FAILED, str(fault))

    def _request(self, post: Waiting) -> Request:
        now_s = int(wall_s())
        message_id = f"msg_{self._nonce}_{post.first}"
        content_type = self.target.content_type or post.content_type
        headers = [
            *self._headers,
            (b"Content-Type", content_type.encode("latin-1", "replace")),
            (b"webhook-id", message_id.encode()),
            (b"webhook-timestamp", b"%d" % now_s),
        ]
        if self._key:
            signed = signature(self._key, message_id, now_s, post.body)
            headers.append((b"webhook-signature", signed.encode()))
        return Request("POST", self._request_target, tuple(headers), post.body)

    def close(self) -> None:
        """Close what is idle, now and later."""
        self._pool.close()


def outcome_of(answer: Answer) -> Outcome:
    """Return what an answer means (Standard Webhooks, "Webhook responses")."""
    if 200 <= answer.status < 300:
        return _TAKEN
    error = f"its status is {answer.status}"
    if answer.status == _GONE:
        return Outcome(End.GONE, error)
    text = answer.headers.get(b"retry-after")
    after = None if text is None else retry_after_s(text.decode("latin-1"), wall_s())
    return Outcome(End.FAILED, error, after)
