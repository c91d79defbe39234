"""Access rules of v4 and Cloud: what a client, a user or everybody may do with a topic.

Source  http-dialects.md, "Cloud's ACL"; EMQX 4.4, emqx_acl_mnesia_api
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx.words import UNDEFINED
from nanomq_py.http.emqx_v4.paging import PageQuery
from nanomq_py.http.emqx_v4.stored import every, store_faults, stored
from nanomq_py.http.errors import BadParameter, HttpError, MissingParameter
from nanomq_py.http.rest.endpoint import Call, Endpoint, Listing, Plain
from nanomq_py.http.rest.parameters import Nothing, converted

if TYPE_CHECKING:
    from nanomq_py.store.paging import Rows
    from nanomq_py.store.rules import AccessRule

AT_ONCE = 256  # rules before others get the loop
ALL = "$all"
OK = "ok"

ACTIONS = {"pub": 1, "sub": 2, "pubsub": 3, "subpub": 3}  # the values of Action
NAMES = {1: "pub", 2: "sub", 3: "pubsub"}
ACCESSES = {"allow": True, "deny": False}

Text = str | msgspec.UnsetType


class Rule(msgspec.Struct, frozen=True):
    """One rule, of a client, of a user, or with neither of everybody."""

    topic: str
    action: str
    access: str
    clientid: str | None = None
    username: str | None = None


class Echo(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rule as it was asked for, and what became of it, in EMQX's words."""

    topic: Any
    result: str
    clientid: Any = msgspec.UNSET
    username: Any = msgspec.UNSET
    all: Text = msgspec.UNSET
    action: Any = msgspec.UNSET
    access: Any = msgspec.UNSET


class AclQuery(PageQuery, frozen=True):
    """Which page, of which rules: of those of any that is not said."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1 << 31)] = msgspec.field(
        name="_limit", default=50
    )
    topic: str | None = None
    action: Literal["pub", "sub", "pubsub", "subpub"] | None = None
    access: Literal["allow", "deny"] | None = None


class ClientsQuery(AclQuery, frozen=True, rename={"like": "_like_clientid"}):
    """``like`` is a part of the name."""

    clientid: str | None = None
    like: str | None = None


class UsersQuery(AclQuery, frozen=True, rename={"like": "_like_username"}):
    """As :class:`ClientsQuery`."""

    username: str | None = None
    like: str | None = None


class RuleRow(msgspec.Struct, frozen=True, omit_defaults=True):
    topic: str
    action: str
    access: str
    clientid: Text = msgspec.UNSET
    username: Text = msgspec.UNSET
    all: Text = msgspec.UNSET


def _access_rule(api: Api, said: Rule) -> AccessRule:
    """Return it. Raises BadParameter, MissingParameter."""
    from nanomq_py.store.rules import AccessRule, Action  # where the store is used

    texts = {"topic": said.topic, "clientid": said.clientid, "username": said.username}
    if empty := [name for name, text in texts.items() if text == ""]:
        raise MissingParameter(empty)
    if said.action not in ACTIONS:
        raise BadParameter("action: expected pub, sub or pubsub")
    if said.access not in ACCESSES:
        raise BadParameter("access: expected allow or deny")
    rule = AccessRule(
        topic=said.topic,
        action=Action(ACTIONS[said.action]),
        allow=ACCESSES[said.access],
        client_id=said.clientid,
        user_name=said.username,
    )
    with store_faults():
        api.broker.check_rule(rule)
    return rule


def _echo(said: Rule) -> Echo:
    unset = msgspec.UNSET
    return Echo(
        said.topic,
        OK,
        clientid=unset if said.clientid is None else said.clientid,
        username=unset if said.username is None else said.username,
        all=ALL if said.clientid is None and said.username is None else unset,
        action=said.action,
        access=said.access,
    )


def _refused(item: dict[str, Any], error: HttpError) -> Echo:
    """Return the echo of a rule that is none, with the name of the field that is wrong."""
    names = error.names if isinstance(error, MissingParameter) else []
    field = names[0] if names else re.split("[:=]", error.message)[0]
    known = {name: item[name] for name in Rule.__struct_fields__ if name in item}
    return Echo(**{"topic": UNDEFINED, **known, "result": f"{{error,{field}}}"})


async def _add_each(api: Api, items: Sequence[Any], who: str) -> list[Echo]:
    """Add those that are rules, and return what became of each."""
    rules: list[AccessRule] = []
    echoes: list[Echo] = []
    for at, item in enumerate(items):
        if at % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
        if not isinstance(item, dict):
            raise BadParameter(f"[{at}]: expected an object")
        try:
            said = converted(item, Rule)
            rules.append(_access_rule(api, said))
            echoes.append(_echo(said))
        except HttpError as error:
            echoes.append(_refused(item, error))
    if rules:
        with store_faults():
            await api.broker.put_rules(*rules, made_by=who)
    return echoes


async def add(api: Api, call: Call[Nothing, Rule | list[Any]]) -> Echo | list[Echo]:
    if isinstance(call.body, list):
        return await _add_each(api, call.body, call.who)
    rule = _access_rule(api, call.body)
    with store_faults():
        await api.broker.put_rules(rule, made_by=call.who)
    return _echo(call.body)


# --- lists


def _row(rule: AccessRule) -> RuleRow:
    unset = msgspec.UNSET
    return RuleRow(
        rule.topic,
        NAMES[rule.action],
        "allow" if rule.allow else "deny",
        clientid=unset if rule.client_id is None else rule.client_id,
        username=unset if rule.user_name is None else rule.user_name,
        all=unset if rule.who else ALL,
    )


def _asks(
    api: Api,
    kind: str,
    who: str | None,
    query: AclQuery | None = None,
    part: str | None = None,
) -> Callable[[int, int], Awaitable[Rows[AccessRule]]]:
    """Return what asks for rules of a kind: of ``who``, of names with that part, or of all."""
    from nanomq_py.store.rules import Action, RuleFilter, RuleKind

    query, of = query or AclQuery(), RuleKind[kind]
    only = RuleFilter(
        part=part,
        topic=query.topic,
        action=None if query.action is None else Action(ACTIONS[query.action]),
        allow=None if query.access is None else ACCESSES[query.access],
    )
    return lambda offset, limit: api.broker.rules(
        of, who, offset=offset, limit=limit, only=only
    )


async def list_of_clients(api: Api, call: Call[ClientsQuery, Nothing]) -> Listing[RuleRow]:
    query = call.query
    asks = _asks(api, "CLIENT_ID", query.clientid, query, query.like)
    return await stored(query, asks, _row)


async def list_of_users(api: Api, call: Call[UsersQuery, Nothing]) -> Listing[RuleRow]:
    query = call.query
    asks = _asks(api, "USER_NAME", query.username, query, query.like)
    return await stored(query, asks, _row)


async def list_of_all(api: Api, call: Call[AclQuery, Nothing]) -> Listing[RuleRow]:
    return await stored(call.query, _asks(api, "ALL", None, call.query), _row)


async def get_of_client(api: Api, call: Plain) -> Listing[RuleRow]:
    return await every(_asks(api, "CLIENT_ID", call.path["clientid"]), _row)


async def get_of_user(api: Api, call: Plain) -> Listing[RuleRow]:
    return await every(_asks(api, "USER_NAME", call.path["username"]), _row)


# --- taking back: what is absent is taken back as well


async def delete_of_client(api: Api, call: Plain) -> None:
    with store_faults():
        await api.broker.delete_rules(
            call.path["topic"], client_id=call.path["clientid"], made_by=call.who
        )


async def delete_of_user(api: Api, call: Plain) -> None:
    with store_faults():
        await api.broker.delete_rules(
            call.path["topic"], user_name=call.path["username"], made_by=call.who
        )


async def delete_of_all(api: Api, call: Plain) -> None:
    with store_faults():
        await api.broker.delete_rules(call.path["topic"], made_by=call.who)


ENDPOINTS = [
    Endpoint(
        method="POST",
        path="/acl",
        act=add,
        summary="Say what a client, a user or everybody may do: one rule, or many.",
    ),
    Endpoint(
        method="GET",
        path="/acl/clientid",
        act=list_of_clients,
        summary="Rules of clients.",
    ),
    Endpoint(
        method="GET", path="/acl/username", act=list_of_users, summary="Rules of users."
    ),
    Endpoint(
        method="GET",
        path="/acl/$all",
        also=("/acl/%24all",),
        act=list_of_all,
        summary="Rules of everybody.",
    ),
    Endpoint(
        method="GET",
        path="/acl/clientid/{clientid}",
        act=get_of_client,
        summary="Rules of one client.",
    ),
    Endpoint(
        method="GET",
        path="/acl/username/{username}",
        act=get_of_user,
        summary="Rules of one user.",
    ),
    Endpoint(
        method="DELETE",
        path="/acl/clientid/{clientid}/topic/{topic...}",
        act=delete_of_client,
        summary="Forget the rules of a client about a topic.",
    ),
    Endpoint(
        method="DELETE",
        path="/acl/username/{username}/topic/{topic...}",
        act=delete_of_user,
        summary="Forget the rules of a user about a topic.",
    ),
    Endpoint(
        method="DELETE",
        path="/acl/$all/topic/{topic...}",
        also=(
            "/acl/%24all/topic/{topic...}",
            "/acl/all/$all/topic/{topic...}",
            "/acl/all/%24all/topic/{topic...}",
        ),
        act=delete_of_all,
        summary="Forget the rules of everybody about a topic.",
    ),
]
