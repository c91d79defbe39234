"""Credentials of MQTT clients of v4 and Cloud: by user name and by client identifier.

Source  http-dialects.md, "Cloud's client credentials"; EMQX 4.4, emqx_auth_mnesia_api
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import msgspec

from nanomq_py.http.codes import Code
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx_v4.paging import PageQuery
from nanomq_py.http.emqx_v4.stored import store_faults, stored
from nanomq_py.http.emqx_v4.words import Refused
from nanomq_py.http.errors import BadParameter, MissingParameter
from nanomq_py.http.rest.endpoint import Call, Endpoint, Listing, Plain
from nanomq_py.http.rest.parameters import Nothing

MOST_AT_ONCE = 1000  # users of one request: each costs a hash
OK = "ok"


class ByUserName(msgspec.Struct, frozen=True):
    username: str
    password: str


class ByClientId(msgspec.Struct, frozen=True):
    clientid: str
    password: str


class Password(msgspec.Struct, frozen=True):
    password: str


class UserNameQuery(PageQuery, frozen=True, rename={"like": "_like_username"}):
    """``like`` is a part of the name."""

    username: str | None = None
    like: str | None = None


class ClientIdQuery(PageQuery, frozen=True, rename={"like": "_like_clientid"}):
    """As :class:`UserNameQuery`."""

    clientid: str | None = None
    like: str | None = None


class UserName(msgspec.Struct, frozen=True):
    username: str


class ClientId(msgspec.Struct, frozen=True):
    clientid: str


class KnownUserName(msgspec.Struct, frozen=True, omit_defaults=True):
    """One user; empty: there is none. ``created_at`` in milliseconds since 1970."""

    username: str | msgspec.UnsetType = msgspec.UNSET
    created_at: int | msgspec.UnsetType = msgspec.UNSET


class KnownClientId(msgspec.Struct, frozen=True, omit_defaults=True):
    """As :class:`KnownUserName`."""

    clientid: str | msgspec.UnsetType = msgspec.UNSET
    created_at: int | msgspec.UnsetType = msgspec.UNSET


def _checked(name: str, password: str, key: str) -> tuple[str, bytes]:
    """Raise MissingParameter for what is empty."""
    if missing := [k for k, v in ((key, name), ("password", password)) if not v]:
        raise MissingParameter(missing)
    return name, password.encode()


async def _add(
    api: Api, name: str, password: bytes, *, by_client_id: bool, who: str
) -> None:
    from nanomq_py.store.users import UserExistsError  # where the store is used

    try:
        with store_faults():
            await api.broker.put_user(
                name, password, by_client_id=by_client_id, exists=False, made_by=who
            )
    except UserExistsError:
        raise Refused(Code.USER_ALREADY_EXISTS, f"{name[:256]!r} exists") from None


async def _add_each(
    api: Api, items: Sequence[Any], *, by_client_id: bool, who: str
) -> dict[str, str]:
    """Add what can be added; return what became of each, in EMQX's words."""
    if len(items) > MOST_AT_ONCE:
        raise BadParameter(f"{len(items)} users: expected {MOST_AT_ONCE} at most")
    key = "clientid" if by_client_id else "username"
    results: dict[str, str] = {}
    for item in items:
        said = item if isinstance(item, dict) else {}
        name, password = said.get(key), said.get("password")
        if not isinstance(name, str) or not name:
            results["undefined"] = "{error,login}"
        elif not isinstance(password, str) or not password:
            results[name] = "{error,password}"
        else:
            results[name] = await _tried(
                api, name, password, by_client_id=by_client_id, who=who
            )
    return results


async def _tried(
    api: Api, name: str, password: str, *, by_client_id: bool, who: str
) -> str:
    try:
        await _add(api, name, password.encode(), by_client_id=by_client_id, who=who)
    except BadParameter:
        return "{error,login}"
    except Refused as refused:
        if refused.code is not Code.USER_ALREADY_EXISTS:
            raise
        return "{error,existed}"
    return OK


async def add_user_names(
    api: Api, call: Call[Nothing, ByUserName | list[Any]]
) -> dict[str, str] | None:
    body = call.body
    if isinstance(body, list):
        return await _add_each(api, body, by_client_id=False, who=call.who)
    name, password = _checked(body.username, body.password, "username")
    await _add(api, name, password, by_client_id=False, who=call.who)
    return None


async def add_client_ids(
    api: Api, call: Call[Nothing, ByClientId | list[Any]]
) -> dict[str, str] | None:
    body = call.body
    if isinstance(body, list):
        return await _add_each(api, body, by_client_id=True, who=call.who)
    name, password = _checked(body.clientid, body.password, "clientid")
    await _add(api, name, password, by_client_id=True, who=call.who)
    return None


async def list_user_names(
    api: Api, call: Call[UserNameQuery, Nothing]
) -> Listing[UserName]:
    query = call.query
    return await stored(
        query,
        lambda offset, limit: api.broker.user_rows(
            offset=offset, limit=limit, name=query.username, part=query.like
        ),
        lambda user: UserName(user.name),
        has_next=True,
    )


async def list_client_ids(
    api: Api, call: Call[ClientIdQuery, Nothing]
) -> Listing[ClientId]:
    query = call.query
    return await stored(
        query,
        lambda offset, limit: api.broker.user_rows(
            by_client_id=True,
            offset=offset,
            limit=limit,
            name=query.clientid,
            part=query.like,
        ),
        lambda user: ClientId(user.name),
        has_next=True,
    )


async def get_user_name(api: Api, call: Plain) -> KnownUserName:
    with store_faults():
        user = await api.broker.user(call.path["username"])
    if user is None:
        return KnownUserName()
    return KnownUserName(user.name, int(user.created_at * 1000))


async def get_client_id(api: Api, call: Plain) -> KnownClientId:
    with store_faults():
        user = await api.broker.user(call.path["clientid"], by_client_id=True)
    if user is None:
        return KnownClientId()
    return KnownClientId(user.name, int(user.created_at * 1000))


async def _change(
    api: Api, name: str, password: str, *, by_client_id: bool, who: str
) -> None:
    name, said = _checked(name, password, "name")
    try:
        with store_faults():
            await api.broker.put_user(
                name,
                said,
                by_client_id=by_client_id,
                is_superuser=None,
                exists=True,
                made_by=who,
            )
    except KeyError:
        message = f"{name[:256]!r}: there is no such user"
        raise Refused(Code.USER_DOES_NOT_EXIST, message, 404) from None


async def change_user_name(api: Api, call: Call[Nothing, Password]) -> None:
    await _change(
        api, call.path["username"], call.body.password, by_client_id=False, who=call.who
    )


async def change_client_id(api: Api, call: Call[Nothing, Password]) -> None:
    await _change(
        api, call.path["clientid"], call.body.password, by_client_id=True, who=call.who
    )


async def _delete(api: Api, name: str, *, by_client_id: bool, who: str) -> None:
    with store_faults(), contextlib.suppress(KeyError):  # EMQX does not tell either
        await api.broker.delete_user(name, by_client_id=by_client_id, made_by=who)


async def delete_user_name(api: Api, call: Plain) -> None:
    await _delete(api, call.path["username"], by_client_id=False, who=call.who)


async def delete_client_id(api: Api, call: Plain) -> None:
    await _delete(api, call.path["clientid"], by_client_id=True, who=call.who)


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/auth_username",
        act=list_user_names,
        summary="User names that MQTT clients log in with.",
    ),
    Endpoint(
        method="POST",
        path="/auth_username",
        act=add_user_names,
        summary="Let clients log in by user name and password: one, or many.",
    ),
    Endpoint(
        method="GET",
        path="/auth_username/{username...}",
        act=get_user_name,
        summary="One user name.",
    ),
    Endpoint(
        method="PUT",
        path="/auth_username/{username...}",
        act=change_user_name,
        summary="Give a user name another password.",
    ),
    Endpoint(
        method="DELETE",
        path="/auth_username/{username...}",
        act=delete_user_name,
        summary="Forget a user name.",
    ),
    Endpoint(
        method="GET",
        path="/auth_clientid",
        act=list_client_ids,
        summary="Client identifiers that MQTT clients log in with.",
    ),
    Endpoint(
        method="POST",
        path="/auth_clientid",
        act=add_client_ids,
        summary="Let clients log in by client identifier and password: one, or many.",
    ),
    Endpoint(
        method="GET",
        path="/auth_clientid/{clientid...}",
        act=get_client_id,
        summary="One client identifier.",
    ),
    Endpoint(
        method="PUT",
        path="/auth_clientid/{clientid...}",
        act=change_client_id,
        summary="Give a client identifier another password.",
    ),
    Endpoint(
        method="DELETE",
        path="/auth_clientid/{clientid...}",
        act=delete_client_id,
        summary="Forget a client identifier.",
    ),
]
