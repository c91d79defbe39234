"""The dialect: its endpoints and its words.

Source  iot-platform-api-v1.txt; http-dialects.md, "IoT platform"
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response

from nanomq_py.http.errors import HttpError
from nanomq_py.http.rest.dialect import RestDialect
from nanomq_py.http.rest.endpoint import Listing
from nanomq_py.http.rest.families import Families
from nanomq_py.plugins.devices.api import Api
from nanomq_py.plugins.devices.words import rendered, succeeded

PREFIX = "/iot/api/v1"

FAMILIES = Families(
    {
        "nanomq_py.plugins.devices.login": ("auth",),
        "nanomq_py.plugins.devices.monitor": ("brokers",),
        "nanomq_py.plugins.devices.listed": ("devices",),
        "nanomq_py.plugins.devices.callback_calls": ("callbacks",),
        "nanomq_py.plugins.devices.route_calls": ("msgroute",),
        "nanomq_py.plugins.devices.commands.endpoints": ("remotectl",),
    }
)

_MOST_QUERY_FIELDS = 200


class Platform(RestDialect[Api]):
    """The platform's API of version 1."""

    title = "IoT platform v1"

    def __init__(self, api: Api) -> None:
        super().__init__(PREFIX, api, api.tokens, FAMILIES)

    def shown_by(self, request: Request) -> str | None:
        """Return the token: of ``Authorization``, ``X-Token``, or ``?token=``."""
        authorization = request.headers.get("authorization")
        if authorization is not None:
            return authorization
        token = request.headers.get("x-token")
        if token is None and b"token=" in (query := request.scope["query_string"]):
            try:
                said = parse_qs(query.decode("latin-1"), max_num_fields=_MOST_QUERY_FIELDS)
            except ValueError:
                return None
            token = said.get("token", [None])[-1]
        return None if token is None else f"Bearer {token}"

    def success(self, answer: Any) -> Response:
        return succeeded(answer)

    def around(self, listing: Listing[Any]) -> tuple[bytes, bytes]:
        raise NotImplementedError  # lists have 1,000 rows at most: they are one piece

    def render(self, error: HttpError) -> Response:
        return rendered(error)

    def describe(self, gives: dict[str, Any] | None, *, is_listing: bool) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {"status": {"const": "ok"}, "data": gives or {"type": "object"}},
            "required": ["status", "data"],
        }

    def describe_error(self) -> dict[str, Any]:
        text = {"type": "string"}
        return {
            "type": "object",
            "properties": {"status": {"const": "err"}, "code": text, "msg": text},
            "required": ["status", "code", "msg"],
        }
