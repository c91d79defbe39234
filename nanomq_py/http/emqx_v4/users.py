"""Users of v4, their passwords, and whether a login is right.

EMQX's ``tags`` are any text; here a role's name is the role, and any other text is a note.

Source  http-dialects.md, "EMQX v4 and Cloud"; EMQX 4.4, emqx_dashboard_api
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nanomq_py.http.codes import Code
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx.users import (
    Login,
    NewPassword,
    OldPasswordError,
    check_may_change_password,
    check_old_password,
    configured_name,
    is_taken,
)
from nanomq_py.http.emqx_v4.stored import store_faults
from nanomq_py.http.emqx_v4.words import Refused
from nanomq_py.http.errors import Unauthorized
from nanomq_py.http.rest.endpoint import Call, Endpoint, Plain
from nanomq_py.http.rest.parameters import Nothing
from nanomq_py.store.roles import Role

if TYPE_CHECKING:
    from nanomq_py.store.api_users import ApiUser


class UserRow(msgspec.Struct, frozen=True):
    username: str
    tags: str


class NewUser(msgspec.Struct, frozen=True):
    """A user to add; one who is not tagged ``administrator`` may read."""

    username: str
    password: str
    tags: str = Role.VIEWER.value


class Tags(msgspec.Struct, frozen=True):
    tags: str


def _row(user: ApiUser) -> UserRow:
    return UserRow(user.name, user.description or user.role.value)


def _said(tags: str) -> tuple[Role | None, str]:
    """Return the role and the note that tags say; None: they say no role."""
    try:
        return Role(tags), ""
    except ValueError:
        return None, tags


def _check_not_empty(*texts: str) -> None:
    if not all(texts):
        text = "Username or password undefined"
        raise Refused(Code.EMPTY_USERNAME_OR_PASSWORD, text)


async def list_users(api: Api, call: Plain) -> list[UserRow]:
    with store_faults():
        rows = [_row(user) for user in await api.broker.api_accounts.users()]
        configured = await configured_name(api)
    if configured is None or any(row.username == configured for row in rows):
        return rows
    return [UserRow(configured, Role.ADMINISTRATOR.value), *rows]


async def add_user(api: Api, call: Call[Nothing, NewUser]) -> None:
    body = call.body
    _check_not_empty(body.username, body.password)
    if is_taken(api, body.username):
        raise Refused(Code.USER_ALREADY_EXISTS, f"{body.username} is in the configuration")
    role, note = _said(body.tags)
    with store_faults():
        await api.broker.api_accounts.create_user(
            body.username,
            body.password.encode(),
            role or Role.VIEWER,
            who=call.who,
            description=note,
        )


async def change_user(api: Api, call: Call[Nothing, Tags]) -> None:
    name = call.path["name"]
    role, note = _said(call.body.tags)
    with store_faults():
        done = await api.broker.api_accounts.update_user(
            name, who=call.who, role=role, description=note
        )
    if not done:
        raise await _no_change_of(api, name)


async def delete_user(api: Api, call: Plain) -> None:
    name = call.path["name"]
    if name == api.configurator.config.http_server.username:
        raise Refused(Code.ADMIN_CANNOT_BE_DELETED, f"Cannot delete {name}")
    with store_faults():
        done = await api.broker.api_accounts.delete_user(name, who=call.who)
    if not done:
        raise _not_found(name)


def _not_found(name: str) -> Refused:
    return Refused(Code.USER_DOES_NOT_EXIST, f"Username {name[:256]!r} Not Found", 404)


async def _no_change_of(api: Api, name: str) -> Refused:
    """Return why a user that is not in the store is not changed."""
    with store_faults():
        configured = await configured_name(api)
    if configured == name:
        text = f"{name}: change http_server.username and http_server.password"
        return Refused(Code.UNKNOWN_MISTAKE, text)
    return _not_found(name)


# --- logins and passwords


async def check_login(api: Api, call: Call[Nothing, Login]) -> None:
    username, password = call.body.username, call.body.password
    _check_not_empty(username, password)
    try:
        await api.gate.prove(call.address, username, password)
    except Unauthorized:  # who is no user is not told apart from a wrong password
        text = "Username or password error"
        raise Refused(Code.WRONG_USERNAME_OR_PASSWORD, text, 401) from None


async def change_password(api: Api, call: Call[Nothing, NewPassword]) -> None:
    """Give a user another password; each may do so for its own, with the old one."""
    name, body = call.path["username"], call.body
    _check_not_empty(body.old_pwd, body.new_pwd)
    check_may_change_password(call.caller, name)
    accounts = api.broker.api_accounts
    with store_faults():
        user = await accounts.user(name)
    if user is None:
        raise await _no_change_of(api, name)
    try:
        await check_old_password(api, call.address, name, body.old_pwd)
    except OldPasswordError:
        raise Refused(Code.OLD_PASSWORD_IS_WRONG, "Wrong old password") from None
    with store_faults():
        done = await accounts.change_password(name, body.new_pwd.encode(), who=call.who)
    if not done:
        raise _not_found(name)


ENDPOINTS = [
    Endpoint(method="GET", path="/users", act=list_users, summary="Users of this API."),
    Endpoint(method="POST", path="/users", act=add_user, summary="Add a user."),
    Endpoint(
        method="PUT",
        path="/users/{name}",
        act=change_user,
        summary="Change the tags of a user: its role, or a note.",
    ),
    Endpoint(
        method="DELETE", path="/users/{name}", act=delete_user, summary="Delete a user."
    ),
    Endpoint(
        method="PUT",
        path="/change_pwd/{username}",
        act=change_password,
        summary="Change the password of a user whose old one is known.",
        changes=False,  # nothing that is not the caller's, if it may only read
    ),
    Endpoint(
        method="POST",
        path="/auth",
        act=check_login,
        summary="Whether a user has that password.",
        changes=False,
        is_open=True,
    ),
]
