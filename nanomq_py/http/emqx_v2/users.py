"""Users of v2, their passwords, and whether a login is right.

The user of the configuration is one of them: it is listed, and changed in the configuration.

Source  http-dialects.md, "EMQX v2"; EMQX 2.3, emqttd_mgmt
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import msgspec

from nanomq_py.auth.callers import CannotJudgeError
from nanomq_py.http.codes import Code
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx.times import local_time
from nanomq_py.http.emqx.users import (
    Login,
    NewPassword,
    OldPasswordError,
    check_may_change_password,
    check_old_password,
    configured_name,
    is_taken,
)
from nanomq_py.http.emqx.words import UNDEFINED
from nanomq_py.http.emqx_v2.words import Refused
from nanomq_py.http.errors import BadParameter, Unauthorized
from nanomq_py.http.rest.endpoint import Call, Endpoint, Plain
from nanomq_py.http.rest.parameters import Nothing
from nanomq_py.store.faults import LastAdministratorError, StoreError, TakenError
from nanomq_py.store.roles import Role

if TYPE_CHECKING:
    from nanomq_py.store.api_users import ApiUser

RoleName = Literal["administrator", "viewer"]


class UserRow(msgspec.Struct, frozen=True):
    username: str
    email: str
    role: str
    remark: str
    created_at: str


class NewUser(msgspec.Struct, frozen=True):
    """A user to add; without a role it may read."""

    username: str
    password: str
    email: str = ""
    role: RoleName = "viewer"
    remark: str = ""


class UserChange(msgspec.Struct, frozen=True):
    """What is to change of a user."""

    email: str | None = None
    role: RoleName | None = None
    remark: str | None = None


class ConfirmedPassword(msgspec.Struct, frozen=True):
    """As the document has it; EMQX 2.3 has the other one."""

    username: str
    old_pwd: str
    new_pwd: str
    confirm_pwd: str


@contextmanager
def _told() -> Iterator[None]:
    """Tell what the store refuses in the words of v2."""
    try:
        yield
    except TakenError:
        raise Refused(Code.USER_ALREADY_EXISTS, "User already exist") from None
    except LastAdministratorError as fault:
        raise Refused(Code.ADMIN_CANNOT_BE_DELETED, str(fault)) from None
    except (StoreError, CannotJudgeError) as fault:
        raise Refused(Code.UNKNOWN_MISTAKE, str(fault)) from None
    except ValueError as fault:
        raise BadParameter(str(fault)) from None


def _not_found() -> Refused:
    return Refused(Code.USER_DOES_NOT_EXIST, "User not found")


def _check_not_empty(*texts: str) -> None:
    if not all(texts):
        raise Refused(Code.EMPTY_USERNAME_OR_PASSWORD, "Empty username or password")


def _row(user: ApiUser) -> UserRow:
    return UserRow(
        username=user.name,
        email=user.email,
        role=user.role.value,
        remark=user.description,
        created_at=local_time(int(user.created_at * 1000)),
    )


async def _configured(api: Api) -> UserRow | None:
    """Return the user of the configuration; None where it cannot log in."""
    name = await configured_name(api)
    if name is None:
        return None
    return UserRow(
        username=name,
        email="",
        role=Role.ADMINISTRATOR.value,
        remark="http_server.username of the configuration",
        created_at=UNDEFINED,
    )


async def list_users(api: Api, call: Plain) -> list[UserRow]:
    with _told():
        rows = [_row(user) for user in await api.broker.api_accounts.users()]
        configured = await _configured(api)
    if configured is None or any(row.username == configured.username for row in rows):
        return rows
    return [configured, *rows]


async def get_user(api: Api, call: Plain) -> UserRow:
    name = call.path["username"]
    with _told():
        user = await api.broker.api_accounts.user(name)
        if user is not None:
            return _row(user)
        configured = await _configured(api)
    if configured is None or configured.username != name:
        raise _not_found()
    return configured


async def add_user(api: Api, call: Call[Nothing, NewUser]) -> None:
    body = call.body
    _check_not_empty(body.username, body.password)
    if is_taken(api, body.username):
        raise Refused(Code.USER_ALREADY_EXISTS, "User already exist")
    with _told():
        await api.broker.api_accounts.create_user(
            body.username,
            body.password.encode(),
            Role(body.role),
            who=call.who,
            email=body.email,
            description=body.remark,
        )


async def change_user(api: Api, call: Call[Nothing, UserChange]) -> None:
    name, body = call.path["username"], call.body
    with _told():
        done = await api.broker.api_accounts.update_user(
            name,
            who=call.who,
            role=None if body.role is None else Role(body.role),
            email=body.email,
            description=body.remark,
        )
    if not done:
        raise await _no_change_of(api, name)


async def delete_user(api: Api, call: Plain) -> None:
    name = call.path["username"]
    if name == api.configurator.config.http_server.username:
        raise Refused(Code.ADMIN_CANNOT_BE_DELETED, f"{name} cannot be deleted")
    with _told():
        done = await api.broker.api_accounts.delete_user(name, who=call.who)
    if not done:
        raise _not_found()


async def _no_change_of(api: Api, name: str) -> Refused:
    """Return why a user that is not in the store is not changed."""
    with _told():
        configured = await _configured(api)
    if configured is not None and configured.username == name:
        text = f"{name}: change http_server.username and http_server.password"
        return Refused(Code.UNKNOWN_MISTAKE, text)
    return _not_found()


# --- logins and passwords


async def check_login(api: Api, call: Call[Nothing, Login]) -> None:
    _check_not_empty(call.body.username, call.body.password)
    try:
        await api.gate.prove(call.address, call.body.username, call.body.password)
    except Unauthorized:  # who is no user is not told apart from a wrong password
        text = "Username or password error"
        raise Refused(Code.WRONG_USERNAME_OR_PASSWORD, text) from None


async def change_own_password(api: Api, call: Call[Nothing, ConfirmedPassword]) -> None:
    body = call.body
    if body.new_pwd != body.confirm_pwd:
        text = "new_pwd and confirm_pwd are not the same"
        raise Refused(Code.USER_ALREADY_EXISTS, text)
    await _change_password(api, call, body.username, body)


async def change_password(api: Api, call: Call[Nothing, NewPassword]) -> None:
    await _change_password(api, call, call.path["username"], call.body)


async def _change_password(
    api: Api,
    call: Call[Nothing, NewPassword] | Call[Nothing, ConfirmedPassword],
    name: str,
    body: NewPassword | ConfirmedPassword,
) -> None:
    """Give a user another password; each may do so for its own, with the old one."""
    _check_not_empty(name, body.old_pwd, body.new_pwd)
    check_may_change_password(call.caller, name)
    accounts = api.broker.api_accounts
    with _told():
        user = await accounts.user(name)
    if user is None:
        raise await _no_change_of(api, name)
    try:
        await check_old_password(api, call.address, name, body.old_pwd)
    except OldPasswordError:
        raise Refused(Code.OLD_PASSWORD_IS_WRONG, "OldPassword error") from None
    with _told():
        done = await accounts.change_password(name, body.new_pwd.encode(), who=call.who)
    if not done:
        raise _not_found()


ENDPOINTS = [
    Endpoint(method="GET", path="/users", act=list_users, summary="Users of this API."),
    Endpoint(method="POST", path="/users", act=add_user, summary="Add a user."),
    Endpoint(method="GET", path="/users/{username}", act=get_user, summary="One user."),
    Endpoint(
        method="PUT",
        path="/users/{username}",
        act=change_user,
        summary="Change what is known of a user, and its role.",
    ),
    Endpoint(
        method="DELETE", path="/users/{username}", act=delete_user, summary="Delete a user."
    ),
    Endpoint(
        method="PUT",
        path="/users/change_pwd",
        also=("/mqtt/users/change_pwd",),
        act=change_own_password,
        summary="Change the password of a user who knows the old one.",
        changes=False,  # nothing that is not the caller's, if it may only read
    ),
    Endpoint(
        method="PUT",
        path="/change_pwd/{username}",
        act=change_password,
        summary="Change the password of a user, as EMQX 2.3 has it.",
        changes=False,
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
