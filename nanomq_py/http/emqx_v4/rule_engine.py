"""The rule engine of v4, which this broker does not have: no rule, no action, no resource.

Lists are empty, which is true; what is looked up is not there; to make something is answered
with 501. Source: EMQX 4.4, emqx_rule_engine_api; to delete what is absent succeeds there
"""

from __future__ import annotations

import msgspec

from nanomq_py.http.codes import Code
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx_v4.words import Refused
from nanomq_py.http.rest.endpoint import Endpoint, Plain


class NoRow(msgspec.Struct, frozen=True):
    """Lists have none."""


async def none(api: Api, call: Plain) -> list[NoRow]:
    return []


async def not_found(api: Api, call: Plain) -> None:
    raise Refused(Code.UNKNOWN_MISTAKE, "Not Found", 404)


async def not_here(api: Api, call: Plain) -> None:
    raise Refused(Code.UNKNOWN_MISTAKE, "this broker has no rule engine", 501)


async def delete(api: Api, call: Plain) -> None:
    return None


_LISTS = {
    "/rules": "Rules.",
    "/actions": "Kinds of actions.",
    "/resources": "Resources.",
    "/resource_types": "Kinds of resources.",
    "/resource_types/{name}/resources": "Resources of a kind.",
    "/rule_events": "Events that rules can be about.",
}
_LOOK_UPS = {
    "/rules/{id}": "One rule.",
    "/actions/{name}": "One kind of action.",
    "/resources/{id}": "One resource.",
    "/resource_status/{id}": "Whether a resource works.",
    "/resource_types/{name}": "One kind of resource.",
}

ENDPOINTS = [
    *[Endpoint(method="GET", path=p, act=none, summary=s) for p, s in _LISTS.items()],
    *[
        Endpoint(method="GET", path=p, act=not_found, summary=s)
        for p, s in _LOOK_UPS.items()
    ],
    Endpoint(method="POST", path="/rules", act=not_here, summary="Make a rule."),
    Endpoint(method="POST", path="/resources", act=not_here, summary="Make a resource."),
    Endpoint(method="PUT", path="/rules/{id}", act=not_found, summary="Change a rule."),
    Endpoint(
        method="PUT", path="/resources/{id}", act=not_found, summary="Change a resource."
    ),
    Endpoint(
        method="POST", path="/resources/{id}", act=not_found, summary="Start a resource."
    ),
    Endpoint(
        method="DELETE",
        path="/rules/{id}",
        also=("/resources/{id}",),
        act=delete,
        summary="Forget a rule, or a resource.",
    ),
]
