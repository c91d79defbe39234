"""``/api/openapi.json``, made when it is first asked for, and ``/api-docs``, which shows it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from nanomq_py.http.guard import Gate
from nanomq_py.http.request import log_in
from nanomq_py.http.rest.dialect import RestDialect

DOCUMENT = "/api/openapi.json"
PAGE = "/api-docs"

_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


def _policy(page: str) -> str:
    """Return a Content-Security-Policy under which only what is in the page itself runs."""
    sources: dict[str, str] = {}
    for kind, text in _INLINE.findall(page):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        sources[kind] = f"{kind}-src 'sha256-{digest}'"
    inline = "; ".join(sources.values())
    return f"default-src 'none'; connect-src 'self'; frame-ancestors 'none'; {inline}"


class Documentation:
    """The two paths, for callers who have logged in."""

    def __init__(
        self,
        dialects: Sequence[RestDialect[Any]],
        gate: Gate,
    ) -> None:
        self._dialects = dialects
        self._gate = gate
        self._made = b""

    def routes(self) -> list[BaseRoute]:
        return [
            Route(DOCUMENT, self._document, methods=["GET"]),
            Route(PAGE, self._page, methods=["GET"]),
        ]

    async def _document(self, request: Request) -> Response:
        await log_in(request, self._gate)
        if not self._made:
            from nanomq_py.http.rest.openapi import document

            self._made = msgspec.json.encode(document(self._dialects))
        return Response(self._made, media_type="application/json")

    async def _page(self, request: Request) -> Response:
        await log_in(request, self._gate)
        page = files(__package__).joinpath("api-docs.html").read_text("utf-8")
        return HTMLResponse(page, headers={"Content-Security-Policy": _policy(page)})
