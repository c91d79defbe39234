"""Who is banned, by v4. Source: EMQX 4.4, emqx_mgmt_api_banned: texts and what is echoed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from nanomq_py.http.codes import Code
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx.words import UNDEFINED
from nanomq_py.http.emqx_v4.paging import PageQuery
from nanomq_py.http.emqx_v4.stored import store_faults, stored
from nanomq_py.http.emqx_v4.words import Refused
from nanomq_py.http.rest.endpoint import Call, Endpoint, Listing, Plain
from nanomq_py.http.rest.parameters import Nothing
from nanomq_py.store.moment import wall_s

if TYPE_CHECKING:
    from nanomq_py.store.banned import Ban

LASTS_S = 300
BY = "user"
_NAMES = {"clientid": "client_id", "username": "user_name", "peerhost": "address"}

Text = str | msgspec.UnsetType
Seconds = int | msgspec.UnsetType


class Banning(msgspec.Struct, frozen=True, omit_defaults=True):
    """A ban, as it is asked for and echoed. Times are seconds since 1970."""

    who: Text = msgspec.UNSET
    as_: Text = msgspec.field(name="as", default=msgspec.UNSET)
    by: Text = msgspec.UNSET
    reason: Text = msgspec.UNSET
    at: Seconds = msgspec.UNSET
    until: Seconds = msgspec.UNSET


class BanRow(msgspec.Struct, frozen=True):
    """A ban in force; one for ever ends with the year 9999."""

    who: str
    until: int
    reason: str
    by: str
    at: int
    as_: str = msgspec.field(name="as")


def _who(as_: str, who: str) -> dict[str, str]:
    """Return who is meant, as Broker.ban takes it. Raises Refused."""
    if as_ not in _NAMES:
        message = f"value of 'as' must be one of: {list(_NAMES)}"
        raise Refused(Code.REQ_PARAM_ERROR, message)
    return {_NAMES[as_]: who}


async def ban(api: Api, call: Call[Nothing, Banning]) -> Banning:
    said, unset = call.body, msgspec.UNSET
    if said.who is unset or said.as_ is unset:
        message = "missing mandatory params: ['who', 'as']"
        raise Refused(Code.MISSING_KEY_REQUEST_PARAMS, message)
    who = _who(said.as_, said.who)
    with store_faults():
        await api.broker.ban(
            **who,
            until=wall_s() + LASTS_S if said.until is unset else said.until,
            since=None if said.at is unset else said.at,
            made_by=BY if said.by is unset else said.by,
            reason="" if said.reason is unset else said.reason,
        )
    return said


def _row(ban: Ban) -> BanRow:
    from nanomq_py.store.banned import LATEST_S, BanKind  # where the store is used

    who = ban.who
    if ban.kind is BanKind.ADDRESS:
        who = who.removesuffix("/128" if ":" in who else "/32")
    return BanRow(
        who=who,
        until=int(LATEST_S if ban.until is None else ban.until),
        reason=ban.reason or UNDEFINED,
        by=ban.made_by or UNDEFINED,
        at=int(ban.since),
        as_=list(_NAMES)[ban.kind],
    )


async def list_banned(api: Api, call: Call[PageQuery, Nothing]) -> Listing[BanRow]:
    return await stored(
        call.query,
        lambda offset, limit: api.broker.ban_rows(offset=offset, limit=limit),
        _row,
    )


async def unban(api: Api, call: Plain) -> None:
    who = _who(call.path["as"], call.path["who"])
    with store_faults(), contextlib.suppress(KeyError):  # EMQX does not tell either
        await api.broker.unban(**who, made_by=call.who)


ENDPOINTS = [
    Endpoint(method="GET", path="/banned", act=list_banned, summary="Who is banned."),
    Endpoint(
        method="POST",
        path="/banned",
        act=ban,
        summary="Ban a client identifier, a user name, an address or a network.",
    ),
    Endpoint(
        method="DELETE",
        path="/banned/{as}/{who...}",
        act=unban,
        summary="Take a ban back.",
    ),
]
