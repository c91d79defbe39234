"""What v4 changes of a client that is connected: keep alive, rates, kept answers.

Source  EMQX 4.4, emqx_mgmt_api_clients
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from nanomq_py.config.values.kind import BadValue
from nanomq_py.config.values.numbers import U32, Duration, Size
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx_v4.words import check_node, not_online
from nanomq_py.http.errors import BadParameter, MissingParameter
from nanomq_py.http.rest.endpoint import Call, Endpoint, Plain
from nanomq_py.http.rest.parameters import Nothing

Seconds = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Text = Annotated[str, msgspec.Meta(pattern="^[0-9]{1,5}$")]
AMOUNT, PERIOD = Size(1, 1 << 40), Duration(1, 86_400_000)


class Interval(msgspec.Struct, frozen=True):
    interval: Seconds | None = None


class IntervalBody(msgspec.Struct, frozen=True):
    interval: Seconds | Text | None = None


async def set_keep_alive(api: Api, call: Call[Interval, IntervalBody]) -> None:
    """Take the seconds out of the body, or else out of the query."""
    said = call.body.interval
    seconds = call.query.interval if said is None else int(said)
    if seconds is None:
        raise MissingParameter(["interval"])
    try:
        api.broker.set_keep_alive(call.path["clientid"], seconds)
    except KeyError as fault:
        raise not_online(fault.args[0]) from None
    except ValueError:
        raise BadParameter(f"interval: {seconds}: expected 0 to 65535") from None


class Kept(msgspec.Struct, frozen=True):
    """An answer about a topic that the broker keeps; ``updated_time`` is in ms."""

    access: str
    topic: str
    result: str
    updated_time: int


async def list_kept(api: Api, call: Plain) -> list[Kept]:
    try:
        kept = api.broker.access_cache(call.path["clientid"])
    except KeyError as fault:
        raise not_online(fault.args[0]) from None
    return [
        Kept(each.access, each.topic, each.result, round(each.updated_at * 1000))
        for each in kept
    ]


async def drop_kept(api: Api, call: Plain) -> None:
    try:
        await api.broker.drop_access_cache(call.path["clientid"])
    except KeyError as fault:
        raise not_online(fault.args[0]) from None


async def drop_all_kept(api: Api, call: Plain) -> None:
    check_node(api, call)
    await api.broker.drop_access_cache()


class RateLimit(msgspec.Struct, frozen=True):
    """Amounts and times, such as ``100KB,10s``."""

    conn_bytes_in: str | None = None
    conn_messages_in: str | None = None


class Quota(msgspec.Struct, frozen=True):
    conn_messages_routing: str | None = None


def _a_second(name: str, text: str | None) -> int | None:
    """Return the whole number a second of such as ``100KB,10s``, at least 1."""
    if text is None:
        return None
    amount, _, period = text.partition(",")
    try:
        rate = AMOUNT.parse(amount.strip()) * 1000 // PERIOD.parse(period.strip())
    except BadValue:
        raise BadParameter(
            f"{name}: {text[:64]!r}: expected an amount and a time, such as 100,10s or 1MB,1m"
        ) from None
    return min(max(rate, 1), U32)


def _set_rate(api: Api, client_id: str, messages: int | None, size: int | None) -> None:
    try:
        api.broker.set_rate(client_id, messages_per_s=messages, bytes_per_s=size)
    except KeyError:
        raise not_online(client_id) from None


async def set_rate_limit(api: Api, call: Call[Nothing, RateLimit]) -> None:
    """What is not said goes back to what the configuration says."""
    body = call.body
    messages = _a_second("conn_messages_in", body.conn_messages_in)
    size = _a_second("conn_bytes_in", body.conn_bytes_in)
    if messages is not None or size is not None:
        _set_rate(api, call.path["clientid"], messages, size)


async def set_quota(api: Api, call: Call[Nothing, Quota]) -> None:
    """Bound the messages that come from the client: each is routed."""
    messages = _a_second("conn_messages_routing", call.body.conn_messages_routing)
    if messages is not None:
        _set_rate(api, call.path["clientid"], messages, None)


async def drop_rates(api: Api, call: Plain) -> None:
    _set_rate(api, call.path["clientid"], None, None)


ENDPOINTS = [
    Endpoint(
        method="PUT",
        path="/clients/{clientid}/keepalive",
        act=set_keep_alive,
        summary="Give a connected client another keep alive.",
    ),
    Endpoint(
        method="GET",
        path="/clients/{clientid}/acl_cache",
        act=list_kept,
        summary="The answers about a client's topics that the broker keeps.",
    ),
    Endpoint(
        method="DELETE",
        path="/clients/{clientid}/acl_cache",
        act=drop_kept,
        summary="Forget the answers about a client's topics.",
    ),
    Endpoint(
        method="DELETE",
        path="/acl-cache",
        also=("/nodes/{node}/acl-cache",),
        act=drop_all_kept,
        summary="Forget the answers about all clients' topics.",
    ),
    Endpoint(
        method="POST",
        path="/clients/{clientid}/ratelimit",
        act=set_rate_limit,
        summary="Bound what a connected client may send.",
    ),
    Endpoint(
        method="DELETE",
        path="/clients/{clientid}/ratelimit",
        act=drop_rates,
        summary="Bound what a client may send as the configuration says.",
    ),
    Endpoint(
        method="POST",
        path="/clients/{clientid}/quota",
        act=set_quota,
        summary="Bound how many messages of a connected client are routed.",
    ),
    Endpoint(
        method="DELETE",
        path="/clients/{clientid}/quota",
        act=drop_rates,
        summary="Bound a client's messages as the configuration says.",
    ),
]
