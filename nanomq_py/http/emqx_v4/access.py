"""What a client may do here, and which rule decides: an addition of this broker to v4.

``nanomq acl test --running`` asks it.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Literal

import msgspec

from nanomq_py.http.emqx.api import Api
from nanomq_py.http.errors import BadParameter
from nanomq_py.http.rest.endpoint import Call, Endpoint
from nanomq_py.http.rest.parameters import Nothing


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What is tried: a client with a session counts as it is, unless more is said of it."""

    action: Literal["publish", "subscribe"]
    topic: str
    clientid: str = ""
    username: str | None = None
    ip_address: str | None = None
    qos: Literal[0, 1, 2] = 0
    retain: bool = False


class Verdict(msgspec.Struct, frozen=True):
    """What would happen; ``decided_by`` is a rule, or the key that counts without one."""

    result: Literal["allow", "deny"]
    decided_by: str


async def try_access(api: Api, call: Call[Nothing, Trial]) -> Verdict:
    trial = call.body
    try:
        address = None if trial.ip_address is None else ip_address(trial.ip_address)
    except ValueError:
        raise BadParameter("ip_address: expected an IP address") from None
    try:
        permission = await api.broker.may(
            trial.action,
            trial.topic,
            client_id=trial.clientid,
            user_name=trial.username,
            address=address,
            qos=trial.qos,
            retain=trial.retain,
        )
    except ValueError as fault:
        raise BadParameter(str(fault)) from None
    return Verdict("allow" if permission.is_allowed else "deny", permission.decided_by)


ENDPOINTS = [
    Endpoint(
        method="POST",
        path="/acl/test",
        act=try_access,
        summary="Which access rule decides what a client may do: this broker's own.",
        changes=False,
    ),
]
