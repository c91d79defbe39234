"""The dialect: its endpoints and its words."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx_v2 import (
    alarms,
    clients,
    configs,
    listeners,
    metrics,
    mqtt,
    nodes,
    plugins,
    routes,
    sessions,
    stats,
    subscriptions,
    users,
)
from nanomq_py.http.emqx_v2.words import rendered, succeeded
from nanomq_py.http.errors import HttpError
from nanomq_py.http.guard import Gate
from nanomq_py.http.rest.dialect import RestDialect, json_answer
from nanomq_py.http.rest.endpoint import Endpoint, Listing, Plain

PREFIX = "/api/v2"


class Paths(msgspec.Struct, frozen=True):
    """All paths, as EMQX 2.3 spells them: ``api/v2/clients/{clientid}``."""

    paths: list[str]


async def list_paths(api: Api, call: Plain) -> Paths:
    return PATHS


ENDPOINTS = [
    Endpoint(method="GET", path="/", act=list_paths, summary="All paths."),
    *nodes.ENDPOINTS,
    *clients.ENDPOINTS,
    *sessions.ENDPOINTS,
    *subscriptions.ENDPOINTS,
    *routes.ENDPOINTS,
    *mqtt.ENDPOINTS,
    *plugins.ENDPOINTS,
    *listeners.ENDPOINTS,
    *metrics.ENDPOINTS,
    *stats.ENDPOINTS,
    *configs.ENDPOINTS,
    *alarms.ENDPOINTS,
    *users.ENDPOINTS,
]
_PATHS = [path for each in ENDPOINTS[1:] for path in (each.path, *each.also)]
PATHS = Paths([f"{PREFIX[1:]}{each.replace('...', '')}" for each in dict.fromkeys(_PATHS)])


async def paths_at_root(request: Request) -> Response:
    """Answer ``GET /`` of the server, for which EMQX asks no login."""
    return json_answer(PATHS)


class EmqxV2(RestDialect[Api]):
    """EMQX's REST API of version 2."""

    title = "EMQX v2"

    def __init__(self, api: Api, gate: Gate) -> None:
        super().__init__(PREFIX, api, gate, ENDPOINTS)

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
