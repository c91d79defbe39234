"""What can be asked of a broker's clients, sessions, subscriptions, routes and retained
messages, and the rows that answer: ``csrc/route/query.h`` says what each means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from nanomq_py.core.declared_events import Why


ROWS_MAX = 10_000  # of one page

# The least and the most, both included; None: no bound there.
Range = tuple[int | None, int | None]


class Order(Enum):
    """By the places that rows have: a new one takes the lowest that is free."""

    UPWARD = False
    DOWNWARD = True


@dataclass(frozen=True, kw_only=True)
class ClientFilter:
    """Lets in a client, or its session, that all of it fits; None: any."""

    client_id: str | None = None
    client_id_like: str | None = None  # is a part of it
    user_name: str | None = None
    user_name_like: str | None = None
    address: str | None = None  # or a network: ADDRESS/BITS
    connected: bool | None = None
    clean_start: bool | None = None
    version: int | Range | None = None  # protocol level: 3, 4 or 5
    created_at_ms: Range | None = None  # Unix time
    connected_at_ms: Range | None = None  # Unix time
    queued: Range | None = None
    dropped: Range | None = None


@dataclass(frozen=True, kw_only=True)
class RouteFilter:
    """Lets in a Topic Filter that all of it fits; None: any."""

    topic_filter: str | None = None  # this very one, without $share
    topic_name: str | None = None  # it matches that
    below: str | None = None  # this filter matches it, as if it was a Topic Name
    group: str | None = None  # of $share; empty: not shared


@dataclass(frozen=True, kw_only=True)
class SubscriptionFilter(RouteFilter):
    """Lets in a subscription that all of it fits; None: any."""

    client_id: str | None = None
    client_ids: Sequence[str] | None = None  # any of these: up to 1,024, each once
    qos: int | Range | None = None


@dataclass(frozen=True, kw_only=True)
class RetainedFilter:
    """Lets in a retained message that all of it fits; None: any."""

    topic_filter: str | None = None  # matches its topic
    qos: int | Range | None = None


Filter = ClientFilter | SubscriptionFilter | RouteFilter | RetainedFilter


class Client(NamedTuple):
    """One client, connected or away with its session kept."""

    client_id: str
    user_name: str | None
    peer: str
    version: int  # protocol level: 3, 4 or 5
    keep_alive_s: int
    clean_start: bool
    connected: bool
    expiry_interval_s: int  # NEVER: kept for ever
    created_at_ms: int  # Unix time: of the session
    connected_at_ms: int  # Unix time
    disconnected_at_ms: int  # Unix time; 0: never
    queued: int
    in_flight: int
    messages_received: int  # PUBLISH packets from the client
    messages_sent: int  # PUBLISH packets delivered to the client
    messages_dropped: int
    subscription_count: int


class Session(NamedTuple):
    """The session of one client."""

    client_id: str
    created_at_ms: int  # Unix time
    connected: bool
    clean_start: bool
    expiry_interval_s: int  # NEVER: kept for ever
    has_will: bool
    subscription_count: int
    group_count: int  # of the subscriptions, the shared ones
    queued: int
    queue_max: int
    in_flight: int
    window: int  # most in flight
    unreleased: int  # QoS 2 received, PUBREL awaited
    held_bytes: int  # of messages that wait or are in flight
    messages_sent: int
    messages_dropped: int


class ClientDetail(NamedTuple):
    """All that is known of one client.

    What it sent and got counts over all its connections, and goes on after a restart.
    """

    client: Client
    address: str  # of the peer, without its port; empty: it has none
    port: int
    listener_key: int  # which of the configuration it came through; 0: not known
    bytes_in: int
    bytes_out: int  # that were given to its connection
    packets_in: int
    packets_out: int
    messages_in: tuple[int, int, int]  # PUBLISH packets from the client, by QoS
    messages_out: tuple[int, int, int]  # PUBLISH packets delivered to it, by QoS
    dropped_full: int  # of client.messages_dropped: no room in its queue, or it was stuck
    dropped_expired: int
    dropped_too_large: int
    held_bytes: int  # of messages that wait or are in flight
    subscriptions_max: int  # 0: no bound
    group_count: int  # of its subscriptions, the shared ones
    queue_max: int
    window: int  # most in flight
    unreleased: int  # QoS 2 received, PUBREL awaited
    unreleased_max: int  # MQTT 5.0 alone is held to it
    has_will: bool
    end_code: int  # Reason Code with which its last connection ended
    end_why: Why | None  # CLIENT, NETWORK or BROKER; None: none has ended, or not known

    @property
    def protocol_name(self) -> str:
        """As CONNECT had it (MQTT V3.1, 3.1; MQTT 5.0, 3.1.2.1)."""
        return "MQIsdp" if self.client.version == 3 else "MQTT"


class Subscription(NamedTuple):
    """One subscription of one client."""

    client_id: str
    topic_filter: str  # as subscribed, $share/... too
    group: str | None  # of $share
    qos: int
    no_local: bool
    retain_as_published: bool
    retain_handling: int
    identifier: int  # 0: none


class Route(NamedTuple):
    """A Topic Filter with subscriptions, of a shared group or not shared."""

    topic_filter: str  # without $share
    group: str | None
    subscriptions: int  # those of taps and consumers too


class Retained(NamedTuple):
    """A retained message, without its payload."""

    topic_name: str
    qos: int
    payload_bytes: int
    client_id: str | None  # who published it; None: the broker, or nobody knows
    expires_in_ms: int | None  # None: never


T = TypeVar("T")


@dataclass(frozen=True)
class Page(Generic[T]):
    """The rows of one page.

    ``next`` is where the page behind it begins (``after=``), None behind the last row.
    ``total`` is how many rows there are; None where it was not counted.
    """

    rows: list[T]
    total: int | None
    next: int | None


@dataclass(frozen=True)
class Paging:
    """Which rows make the page.

    Raises   ValueError for what is out of its range
    """

    offset: int = 0
    limit: int = 100
    order: Order = Order.UPWARD
    after: int | None = None
    count: bool = True

    def __post_init__(self) -> None:
        if self.offset < 0:
            raise ValueError(f"offset={self.offset}: expected 0 or more")
        if not 0 <= self.limit <= ROWS_MAX:
            raise ValueError(f"limit={self.limit}: expected 0 to {ROWS_MAX}")
        if self.after is not None and not 0 < self.after < 1 << 32:
            raise ValueError(f"after={self.after}: expected Page.next of the page before")
