"""``auth/login``: a token for a user of the HTTP API.

Source  iot-platform-api-v1.txt, "Login"; http-dialects.md, "IoT platform"
"""

from __future__ import annotations

import msgspec

from nanomq_py.auth.callers import Caller
from nanomq_py.http.errors import Login, Unauthorized
from nanomq_py.http.rest.endpoint import Call, Endpoint
from nanomq_py.http.rest.parameters import Nothing
from nanomq_py.plugins.devices.api import Api
from nanomq_py.plugins.devices.words import Refused


class Credentials(msgspec.Struct, frozen=True):
    user: str
    password: str


class UserRow(msgspec.Struct, frozen=True):
    user: str
    roles: list[str]
    privileges: list[str]


class LoggedIn(msgspec.Struct, frozen=True):
    user: UserRow
    token: str


def _row(caller: Caller) -> UserRow:
    if caller.may_change:
        return UserRow(caller.name, ["admin"], ["admin", "view"])
    return UserRow(caller.name, ["viewer"], ["view"])


async def log_in(api: Api, call: Call[Nothing, Credentials]) -> LoggedIn:
    user, password = call.body.user, call.body.password
    try:
        caller = await api.gate.prove(call.address, user, password)
    except Unauthorized as fault:  # who is no user is not told apart from a wrong password
        if fault.why is Login.GONE:
            raise
        raise Refused("login_wrong", "user or password is wrong", 401) from None
    return LoggedIn(_row(caller), await api.tokens.give(caller))


ENDPOINTS = [
    Endpoint(
        method="POST",
        path="/auth/login",
        act=log_in,
        summary="A token for a user with its password.",
        changes=False,
        is_open=True,
    ),
]
