"""Rules of v4, of EMQX and of NanoMQ. There is no rule engine in this version, and no rule.

Source  http-dialects.md, "EMQX v4 and Cloud"
"""

from __future__ import annotations

from typing import Any

import msgspec

from nanomq_py.http.codes import Code
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx_v4.words import Refused
from nanomq_py.http.rest.endpoint import Call, Endpoint, Plain
from nanomq_py.http.rest.parameters import Nothing

NO_ENGINE = "there is no rule engine in this version"


class Rule(msgspec.Struct, frozen=True):
    """What both have of a rule."""

    id: str
    rawsql: str
    enabled: bool


async def list_rules(api: Api, call: Plain) -> list[Rule]:
    return []


def _no_rule(call: Call[Any, Any]) -> Refused:
    message = f"{NO_ENGINE}, and no rule {call.path['id'][:64]!r}"
    return Refused(Code.REQ_PARAM_ERROR, message, 404)


async def get_rule(api: Api, call: Plain) -> Rule:
    raise _no_rule(call)


async def create_rule(api: Api, call: Call[Nothing, dict[str, Any]]) -> Rule:
    raise Refused(Code.PLUGIN_IS_CLOSED, NO_ENGINE, 501)


async def change_rule(api: Api, call: Call[Nothing, dict[str, Any]]) -> Rule:
    raise _no_rule(call)


async def delete_rule(api: Api, call: Plain) -> None:
    raise _no_rule(call)


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/rules",
        act=list_rules,
        summary="All rules: there is no rule engine in this version, and no rule.",
    ),
    Endpoint(method="GET", path="/rules/{id}", act=get_rule, summary="One rule."),
    Endpoint(
        method="POST",
        path="/rules",
        act=create_rule,
        summary="Make a rule. There is no rule engine in this version: 501.",
    ),
    Endpoint(method="PUT", path="/rules/{id}", act=change_rule, summary="Change a rule."),
    Endpoint(
        method="DELETE", path="/rules/{id}", act=delete_rule, summary="Forget a rule."
    ),
]
