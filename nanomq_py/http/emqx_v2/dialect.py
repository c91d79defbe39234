"""The dialect: its endpoints and its words."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx_v2.words import rendered, succeeded
from nanomq_py.http.errors import HttpError
from nanomq_py.http.guard import Gate
from nanomq_py.http.rest.dialect import RestDialect, json_answer
from nanomq_py.http.rest.endpoint import Endpoint, Listing, Plain
from nanomq_py.http.rest.families import Families

PREFIX = "/api/v2"


class Paths(msgspec.Struct, frozen=True):
    """All paths, as EMQX 2.3 spells them: ``api/v2/clients/{clientid}``."""

    paths: list[str]


async def list_paths(api: Api, call: Plain) -> Paths:
    return await _paths()


FAMILIES = Families(
    {
        "nanomq_py.http.emqx_v2.nodes": ("nodes",),
        "nanomq_py.http.emqx_v2.clients": ("clients", "kick_client", "clean_acl_cache"),
        "nanomq_py.http.emqx_v2.sessions": ("sessions",),
        "nanomq_py.http.emqx_v2.subscriptions": ("subscriptions",),
        "nanomq_py.http.emqx_v2.routes": ("routes",),
        "nanomq_py.http.emqx_v2.mqtt": ("mqtt",),
        "nanomq_py.http.emqx_v2.plugins": ("plugins",),
        "nanomq_py.http.emqx_v2.listeners": ("listeners",),
        "nanomq_py.http.emqx_v2.metrics": ("metrics",),
        "nanomq_py.http.emqx_v2.stats": ("stats",),
        "nanomq_py.http.emqx_v2.configs": ("configs",),
        "nanomq_py.http.emqx_v2.alarms": ("alarms",),
        "nanomq_py.http.emqx_v2.users": ("users", "change_pwd", "auth"),
    },
    [Endpoint(method="GET", path="/", act=list_paths, summary="All paths.")],
)


async def _paths() -> Paths:
    await FAMILIES.load()
    _, *endpoints = FAMILIES.all()
    paths = [path for each in endpoints for path in (each.path, *each.also)]
    return Paths(
        [f"{PREFIX[1:]}{each.replace('...', '')}" for each in dict.fromkeys(paths)]
    )


async def paths_at_root(request: Request) -> Response:
    """Answer ``GET /`` of the server, for which EMQX asks no login."""
    return json_answer(await _paths())


class EmqxV2(RestDialect[Api]):
    """EMQX's REST API of version 2."""

    title = "EMQX v2"

    def __init__(self, api: Api, gate: Gate) -> None:
        super().__init__(PREFIX, api, gate, FAMILIES)

    def success(self, answer: Any) -> Response:
        return succeeded(answer)

    def around(self, listing: Listing[Any]) -> tuple[bytes, bytes]:
        head = msgspec.json.encode({"code": 0, "result": listing.about})
        return head[:-3], b"]}}"  # open behind ``"objects":[``

    def render(self, error: HttpError) -> Response:
        return rendered(error)

    def describe(self, gives: dict[str, Any] | None, *, is_listing: bool) -> dict[str, Any]:
        result = gives or {"type": "array", "maxItems": 0}
        if is_listing:
            whole = {"type": "integer", "minimum": 0}
            names = ("current_page", "page_size", "total_num", "total_page")
            rows = {"type": "array", "items": gives}
            result = {
                "type": "object",
                "properties": {**dict.fromkeys(names, whole), "objects": rows},
                "required": ["objects"],  # without the others where all rows are given
            }
        return {
            "type": "object",
            "properties": {"code": {"type": "integer"}, "result": result},
            "required": ["code"],  # an error has a message in place of its result
        }
