"""Messages as a tap or an event has them: records of the core, read when a field is asked for.

The layout is ``nmq_feed_message`` of ``route/feed_record.h``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from struct import Struct
from typing import NamedTuple, Protocol

from nanomq_py.core.properties import Properties, UserProperties, decoded

_HEAD = Struct("=IIIIqIHHHH16sBBBx")
_SIZE = Struct("=I").unpack_from
_PAYLOAD_LEN = Struct("=4xI").unpack_from
_TOPIC_LEN = Struct("=28xH").unpack_from
HEAD_BYTES = _HEAD.size
RETAIN, RETAINED, EXPIRES, PUBLISHER, USER_NAME, AGAIN = 1, 2, 4, 8, 16, 32

# What a listener is called, by its key in the core.
ListenerName = Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a client is, and where it came in."""

    client_id: str
    user_name: str | None
    address: str  # HOST:PORT, or "local"
    listener: str  # its name; empty: not known, or there is none of that name any more


class Head(NamedTuple):
    """``nmq_feed_message``."""

    size: int
    payload_len: int
    props_len: int
    expiry_interval_s: int
    at_ms: int
    listener_key: int
    topic_len: int
    client_id_len: int
    user_name_len: int
    port: int
    address: bytes
    address_len: int
    qos: int
    flags: int


class Message:
    """One Application Message: what was published, by whom, and when."""

    __slots__ = ("_listener_name", "_record")

    def __init__(self, record: bytes, listener_name: ListenerName) -> None:
        """Make it of a record of the core."""
        self._record = record
        self._listener_name = listener_name

    @property
    def _head(self) -> Head:
        return Head(*_HEAD.unpack_from(self._record))

    @property
    def topic_name(self) -> str:
        return self._record[HEAD_BYTES : HEAD_BYTES + _TOPIC_LEN(self._record)[0]].decode()

    @property
    def payload(self) -> bytes:
        record = self._record
        return record[len(record) - _PAYLOAD_LEN(record)[0] :]

    @property
    def qos(self) -> int:
        """As published."""
        return self._head.qos

    @property
    def retain(self) -> bool:
        """As published."""
        return bool(self._head.flags & RETAIN)

    @property
    def retained(self) -> bool:
        """Whether it was kept from before the tap was opened."""
        return bool(self._head.flags & RETAINED)

    @property
    def again(self) -> bool:
        """Whether a consumer got it before, and has not acknowledged it.

        After a kill, or another end that was no restart: whether it may have got it.
        """
        return bool(self._head.flags & AGAIN)

    @property
    def time(self) -> float:
        """When it was published, as Unix time in seconds."""
        return self._head.at_ms / 1000

    @property
    def publisher(self) -> Identity | None:
        """Who published it; None: this program, or the broker itself."""
        head = self._head
        return identity(
            self._record, HEAD_BYTES + head.topic_len, head, self._listener_name
        )

    @property
    def client_id(self) -> str | None:
        """The client identifier of who published it, which costs less than all of it."""
        head = self._head
        if not head.flags & PUBLISHER:
            return None
        at = HEAD_BYTES + head.topic_len
        return self._record[at : at + head.client_id_len].decode()

    @property
    def properties(self) -> Properties:
        """All that a PUBLISH of MQTT 5.0 says besides."""
        end = len(self._record) - _PAYLOAD_LEN(self._record)[0]
        return decoded(self._record[end - self._head.props_len : end])

    @property
    def message_expiry_interval(self) -> int | None:
        """Seconds that were left of it; None: it does not expire."""
        head = self._head
        return head.expiry_interval_s if head.flags & EXPIRES else None

    @property
    def payload_format_indicator(self) -> int | None:
        return self.properties.payload_format_indicator

    @property
    def content_type(self) -> str | None:
        return self.properties.content_type

    @property
    def response_topic(self) -> str | None:
        return self.properties.response_topic

    @property
    def correlation_data(self) -> bytes | None:
        return self.properties.correlation_data

    @property
    def user_properties(self) -> UserProperties:
        return self.properties.user_properties

    def __repr__(self) -> str:
        return (
            f"Message({self.topic_name!r}, {self.payload!r}, qos={self.qos},"
            f" retain={self.retain}, retained={self.retained})"
        )


class Who(Protocol):
    """What the heads of records say of a client."""

    @property
    def listener_key(self) -> int: ...
    @property
    def client_id_len(self) -> int: ...
    @property
    def user_name_len(self) -> int: ...
    @property
    def port(self) -> int: ...
    @property
    def address(self) -> bytes: ...
    @property
    def address_len(self) -> int: ...
    @property
    def flags(self) -> int: ...


def identity(
    record: bytes, at: int, head: Who, listener_name: ListenerName
) -> Identity | None:
    """Return the client of a record, whose identifier begins at ``at``; None: none."""
    if not head.flags & PUBLISHER:
        return None
    name_at = at + head.client_id_len
    user_name = record[name_at : name_at + head.user_name_len].decode()
    return Identity(
        record[at:name_at].decode(),
        user_name if head.flags & USER_NAME else None,
        address_text(head.address[: head.address_len], head.port),
        listener_name(head.listener_key),
    )


def address_text(address: bytes, port: int) -> str:
    """Return an address as the core writes it: ``HOST:PORT``, ``[HOST]:PORT``, ``local``."""
    if not address:
        return "local"
    host = str(ip_address(address))
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def records(chunk: bytes) -> Iterator[bytes]:
    """Yield the records of a chunk, each by itself."""
    at = 0
    while at < len(chunk):
        end = at + _SIZE(chunk, at)[0]
        yield chunk[at:end]
        at = end
