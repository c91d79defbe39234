"""What crosses the boundary to the C core, as plain values: ``nmq.h`` says what each means.

What the tables ``csrc/*.def`` declare is in ``declared.py``, which the build writes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from nanomq_py.core.declared import CoreOptions as CoreOptions
from nanomq_py.core.declared import Memory as Memory
from nanomq_py.core.declared import Stats as Stats

NEVER = 0xFFFFFFFF  # a session expiry interval that never ends


@dataclass(frozen=True, kw_only=True)
class TlsOptions:
    """``nmq_tls_options``: PEM texts, and what is asked of clients."""

    cert: str | None = None  # None: with psks alone
    key: str | None = field(default=None, repr=False)
    key_password: str | None = field(default=None, repr=False)
    ca: str | None = None
    crl: str | None = None  # what these CAs have revoked
    verify_peer: bool = False
    require_cert: bool = False
    min_version: int = 12  # or 13: TLS 1.2 or 1.3
    ciphers: tuple[int, ...] = ()  # suites by their number, in order; empty: Mbed TLS's own
    psks: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)  # identity, key


class PeerName(Enum):
    """``enum nmq_peer_name``: which of the names that TLS has proved."""

    NO_NAME = 0
    COMMON_NAME = 1
    DNS_NAME = 2
    EMAIL = 3
    URI = 4
    PSK_IDENTITY = 5


@dataclass(frozen=True, kw_only=True)
class ListenerOptions:
    """``nmq_listener_options``, but for the socket."""

    url: str = ""  # for log lines
    key: int = 0  # which listener of the configuration it is, 0: none
    address: str = ""  # HOST:PORT, with TLS
    path: str | None = None  # of WebSocket upgrades, * any; None: MQTT without it
    mount: str | None = None
    connections_max: int = 0
    ask_auth: bool = False
    user_name_from: PeerName = PeerName.NO_NAME
    unlogged: bool = False  # sessions that begin through it are in memory alone
    proxy: bool = False
    proxy_from: tuple[str, ...] = ()  # networks that may send PROXY headers; empty: any


@dataclass(frozen=True)
class ListenerStats:
    """``nmq_listener_stats``."""

    open: int
    accepted: int
    refused: int


@dataclass(frozen=True)
class RuleTopic:
    """``nmq_acl_topic``: a topic that is not read as most are."""

    text: str
    literal: bool = False  # about the filter that is the same text, and no other
    marks: bool = True  # %c, %u and %i stand for names of the client; always if literal


@dataclass(frozen=True, kw_only=True)
class Rule:
    """``nmq_acl_rule`` of ``nmq.h``: who may, or may not, do what with which topics."""

    allow: bool
    publish: bool
    subscribe: bool
    client_id: str | None = None  # None: any
    user_name: str | None = None  # None: any; empty: who has none
    network: IPv4Network | IPv6Network | None = None  # None: any
    qos: frozenset[int] = frozenset()  # that it is about; empty: any
    retain: bool | None = None  # RETAIN of what is published; None: either
    topics: tuple[str | RuleTopic, ...] = ("#",)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """``nmq_acl_trial``: what a client would do."""

    topic: str
    client_id: str = ""
    user_name: str | None = None
    address: IPv4Address | IPv6Address | None = None
    publish: bool = False
    qos: int = 0
    retain: bool = False


@dataclass(frozen=True, kw_only=True)
class Kick:
    """``nmq_kick`` of ``nmq.h``: whose connections end."""

    user_names: tuple[str, ...] = ()
    foreign: bool = False  # also names that a method or an authenticator has proved
    every_user: bool = False  # all that have a user name
    other_names: bool = False  # not those users: all that have another user name
    listeners: tuple[int, ...] = ()  # numbers: clients that came there without a user name
    every_foreign: bool = False  # all whom a method of its own users, or a token, let in
    with_names: bool = False  # also clients that came there with one
    wills: bool = False  # wills are sent
    reason_code: int


@dataclass(frozen=True)
class LogNote:
    """A log line of the core; ``level`` is one of the logging module's."""

    level: int
    line: str


@dataclass(frozen=True)
class AuthNote:
    """A client asks to come in; answer with :meth:`Core.answer` under ``number``.

    ``step`` is 0 for a CONNECT and the Reason Code of an AUTH: 0x18 goes on with an exchange
    (``client_id`` and the user's name were in its CONNECT), 0x19 begins one with a client
    that is in already.
    """

    number: int
    step: int
    listener: int  # number of the one that it came through
    address: str  # of the client; empty: on this machine (IPC)
    client_id: str
    user_name: str | None
    password: bytes | None = field(repr=False)
    method: str | None  # Authentication Method
    data: bytes | None = field(repr=False)  # Authentication Data


@dataclass(frozen=True)
class AccessNote:
    """A client wants to do what no access rule decides; answer with :meth:`Core.decide`."""

    number: int  # to answer with, both
    question: int
    publish: bool  # else it subscribes
    listener: int  # number of the one that it came through
    address: str  # of the client; empty: on this machine (IPC)
    client_id: str
    user_name: str | None
    topics: tuple[str, ...]  # one Topic Name, or Topic Filters without their $share


@dataclass(frozen=True)
class AuthEndNote:
    """The connection of an exchange by AUTH is gone; nobody waits under ``number``."""

    number: int


@dataclass(frozen=True, slots=True)
class DurabilityNote:
    """The log of what is kept is in trouble, or no longer."""

    status: (
        int  # NMQ_EIO, NMQ_ESTORE: for good; NMQ_ENOSPC, NMQ_ENOMEM: no room; 0: room again
    )
    error: int  # errno; 0: none
    text: str


Note = LogNote | AuthNote | AuthEndNote | AccessNote | DurabilityNote
