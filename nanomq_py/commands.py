"""What a program tells a broker to do: checked here, so that a fault is told clearly."""

from __future__ import annotations

from collections.abc import Iterable

from nanomq_py.core.binding import (
    EACCESS,
    ECLOSED,
    ENOENT,
    ENOSPC,
    ESHORT,
    ESTORE,
    ETOOBIG,
    Core,
    CoreError,
)
from nanomq_py.core.properties import Properties, pairs

U32 = 0xFFFFFFFF
VARINT = 0x0FFFFFFF


def publish(
    core: Core,
    topic_name: str,
    payload: bytes | str,
    *,
    qos: int,
    retain: bool,
    message_expiry_interval: int | None,
    properties: Properties,
    client_id: str | None = None,
    exempt: bool = False,
) -> int:
    """Route one message; see :meth:`Broker.publish` and :meth:`Broker.publish_as`."""
    data = payload.encode() if isinstance(payload, str) else payload
    if qos not in (0, 1, 2):
        raise ValueError(f"qos={qos!r}: expected 0, 1 or 2")
    check_range("message_expiry_interval", message_expiry_interval or 0, U32)
    try:
        return core.publish(
            topic_name,
            data,
            qos=qos,
            retain=retain,
            expiry_interval_s=message_expiry_interval,
            properties=properties.encoded(),
            client_id=client_id,
            exempt=exempt,
        )
    except CoreError as fault:
        kind, why = _NOT_KEPT.get(fault.status, (ValueError, str(fault)))
        raise kind(f"{topic_name[:100]!r}: {why}") from None


def properties_of(
    payload_format_indicator: int | None,
    content_type: str | None,
    response_topic: str | None,
    correlation_data: bytes | None,
    user_properties: Iterable[tuple[str, str]],
) -> Properties:
    """Return the properties of a message. Raises ValueError."""
    return Properties(
        payload_format_indicator,
        content_type,
        response_topic,
        correlation_data,
        pairs(user_properties),
    )


def subscription_options(
    qos: int, *, no_local: bool, retain_as_published: bool, retain_handling: int
) -> int:
    """Return Subscription Options (3.8.3.1) as one byte. Raises ValueError."""
    check_range("qos", qos, 2)
    check_range("retain_handling", retain_handling, 2)
    return qos | no_local << 2 | retain_as_published << 3 | retain_handling << 4


def subscribe(
    core: Core, client_id: str, topic_filters: Iterable[str], options: int, identifier: int
) -> list[int]:
    """Subscribe a client; see :meth:`Broker.subscribe_client`. Blocks."""
    check_range("identifier", identifier, VARINT)
    granted = []
    for topic_filter in topic_filters:
        try:
            granted.append(core.subscribe(client_id, topic_filter, options, identifier))
        except CoreError as fault:
            raise _refusal(client_id, topic_filter, fault) from None
    return granted


def unsubscribe(core: Core, client_id: str, topic_filters: Iterable[str]) -> list[bool]:
    """Unsubscribe a client; see :meth:`Broker.unsubscribe_client`. Blocks."""
    ended = []
    for topic_filter in topic_filters:
        try:
            core.unsubscribe(client_id, topic_filter)
            ended.append(True)
        except CoreError as fault:
            if fault.status != ECLOSED:
                raise _refusal(client_id, topic_filter, fault) from None
            ended.append(False)
    return ended


def check_range(name: str, value: int, most: int) -> None:
    """Raise ValueError unless it is a whole number from 0 to ``most``."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError(f"{name}={value!r}: expected a whole number from 0 to {most}")


_NOT_KEPT: dict[int, tuple[type[Exception], str]] = {
    ENOSPC: (RuntimeError, "there is no room on the disk to keep it"),
    ESTORE: (RuntimeError, "what is to be kept cannot be written to the disk any more"),
}
_REFUSALS: dict[int, tuple[type[Exception], str]] = {
    EACCESS: (PermissionError, "an access rule denies it"),
    ETOOBIG: (RuntimeError, "the client has as many subscriptions as it may have"),
    ESHORT: (RuntimeError, "memory is short"),
    **_NOT_KEPT,
}


def _refusal(client_id: str, topic_filter: str, fault: CoreError) -> Exception:
    if fault.status == ENOENT:
        return KeyError(client_id)
    kind, why = _REFUSALS.get(fault.status, (ValueError, str(fault)))
    return kind(f"{topic_filter!r}: {why}")
