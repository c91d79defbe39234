"""Who is told, and what: targets, posts, what became of them, and what can be wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from nanomq_py.delivery.addresses import Allowed
from nanomq_py.delivery.signature import key_of
from nanomq_py.fetch.message import Origin

_NAME = re.compile(r"[^+#]{1,200}")  # it is a part of a topic below $SYS
MOST_KEY_BYTES = 65535  # of a post's key: a Topic Name has no more
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # RFC 9110, 5.5
_OURS = {
    "host", "content-length", "connection", "transfer-encoding", "content-type",
    "webhook-id", "webhook-timestamp", "webhook-signature",
}  # fmt: skip


class QueueFullError(Exception):
    """As much waits for a target as may; nothing of the call was taken."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A server that is told, and what that may cost.

    name               by which posts are put; the same after a restart
    url                http or https
    headers            more header lines, which may be secret
    content_type       of every post; empty: each says its own
    secret             posts are signed with it; empty: they are not
    allow              hosts and networks that may be told: see :class:`Allowed`
    cacertfile, certfile, keyfile   PEM files for https; None: the system's CAs, no certificate
    connections        requests at once
    timeout_s          from the request to the end of its answer
    connect_timeout_s  of it, for name, connection and TLS
    first_wait_s       before it is tried again; each wait is twice as long as the one before
    most_wait_s        of a wait, also of one that the server asks for
    most_attempts      of one post, before it is a dead letter
    most_posts         that wait; most_bytes: of their bodies
    most_dead          dead letters that are kept: the oldest are forgotten first
    """

    name: str
    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    content_type: str = ""
    secret: str = field(default="", repr=False)
    allow: tuple[str, ...] = ()
    cacertfile: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    connections: int = 8
    timeout_s: float = 15.0
    connect_timeout_s: float = 5.0
    first_wait_s: float = 5.0
    most_wait_s: float = 86_400.0
    most_attempts: int = 12
    most_posts: int = 1_000_000
    most_bytes: int = 256 << 20
    most_dead: int = 10_000


@dataclass(frozen=True)
class Post:
    """What a target is told.

    key   posts of the same key arrive in their order
    """

    key: str
    body: bytes = field(repr=False)
    content_type: str = "application/json"


@dataclass(frozen=True)
class Counts:
    """What became of the posts of a target.

    succeeded   posts that it took, since the target was first there
    failed      attempts that it did not
    waiting     posts in the queue, waiting_bytes of their bodies
    dead        dead letters that are kept
    dropped     posts that came while it was switched off, and dead letters that were too many
    is_off      it answered 410: nothing is sent until :meth:`Deliveries.switch_on`
    last_error  why it was not told the last time; empty: it was
    """

    succeeded: int
    failed: int
    waiting: int
    waiting_bytes: int
    dead: int
    dropped: int
    is_off: bool
    last_error: str


@dataclass(frozen=True)
class DeadLetter:
    """A post that was tried as often as may be.

    number  by which it is sent again
    made_at, died_at   Unix time
    """

    number: int
    key: str
    body: bytes = field(repr=False)
    content_type: str
    made_at: float
    died_at: float
    attempts: int
    error: str


def check_target(target: Target) -> None:
    """Raise ValueError for a target that cannot be told; the text does not tell secrets."""
    if _NAME.fullmatch(target.name) is None or not target.name.isprintable():
        raise ValueError("name: expected 1 to 200 printable letters, without + and #")
    check_url(target.url, target.allow)
    for name, value in target.headers:
        if _TOKEN.fullmatch(name) is None or name.lower() in _OURS:
            raise ValueError(f"headers: {name[:64]!r} cannot be set")
        if _VALUE.fullmatch(value) is None:
            raise ValueError(f"headers: the value of {name[:64]!r} is no header's")
    if _VALUE.fullmatch(target.content_type) is None:
        raise ValueError("headers: the value of 'content-type' is no header's")
    key_of(target.secret)


def check_url(url: str, allow: tuple[str, ...] = ()) -> None:
    """Raise ValueError for a URL that is not http or https, or whose host is not allowed.

    A name may still have an address that is not: that turns out when it is asked.
    """
    try:
        origin = Origin.of(url)
    except ValueError as fault:  # UnicodeError is one: a name that is none
        raise ValueError(
            f"url: expected http://HOST/... or https://HOST/...: {fault}"
        ) from None
    if why := Allowed(allow).refuses_host(origin.host):
        raise ValueError(f"url: {why}")
