"""Users of the HTTP API, as EMQX's dialects know them: the configured one is one of them."""

from __future__ import annotations

import msgspec

from nanomq_py.auth.callers import Caller
from nanomq_py.config.keys.http_server import DEFAULT_HTTP_PASSWORD
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.errors import Forbidden, Unauthorized


class Login(msgspec.Struct, frozen=True):
    username: str
    password: str


class NewPassword(msgspec.Struct, frozen=True):
    """Whose password it is stands in the path."""

    old_pwd: str
    new_pwd: str


class OldPasswordError(Exception):
    """The old password is wrong."""


async def configured_name(api: Api) -> str | None:
    """Return the user of the configuration; None where it cannot log in.

    Raises   CannotJudgeError
    """
    http = api.configurator.config.http_server
    if http.auth_type != "basic":
        return None
    if http.password == DEFAULT_HTTP_PASSWORD and (
        await api.broker.api_accounts.has_administrator()
    ):
        return None
    return http.username


def is_taken(api: Api, name: str) -> bool:
    """Return whether the user of the configuration has that name for good.

    In place of the default password another administrator may have it.
    """
    http = api.configurator.config.http_server
    return name == http.username and http.password != DEFAULT_HTTP_PASSWORD


def check_may_change_password(caller: Caller | None, name: str) -> None:
    """Raise Forbidden unless it is the caller's own password, or an administrator asks."""
    if caller is None or not (caller.may_change or caller.name == name):
        raise Forbidden("a viewer may change no password but its own")


async def check_old_password(api: Api, address: str, name: str, password: str) -> None:
    """Raise OldPasswordError, and what slows guesses down."""
    try:
        await api.gate.prove(address, name, password)
    except Unauthorized:
        raise OldPasswordError from None
