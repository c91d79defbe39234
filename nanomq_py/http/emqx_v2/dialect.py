"""The dialect: its endpoints and its words."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx_v2 import clients, nodes
from nanomq_py.http.emqx_v2.words import rendered, succeeded
from nanomq_py.http.errors import HttpError
from nanomq_py.http.guard import Gate
from nanomq_py.http.rest.dialect import RestDialect
from nanomq_py.http.rest.endpoint import Listing

PREFIX = "/api/v2"


class EmqxV2(RestDialect[Api]):
    """EMQX's REST API of version 2."""

    title = "EMQX v2"

    def __init__(self, api: Api, gate: Gate) -> None:
        super().__init__(PREFIX, api, gate, [*nodes.ENDPOINTS, *clients.ENDPOINTS])

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
                "required": [*names, "objects"],
            }
        return {
            "type": "object",
            "properties": {"code": {"type": "integer"}, "result": result},
            "required": ["code"],  # an error has a message in place of its result
        }
