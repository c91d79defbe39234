"""``/api/openapi.json``, made when it is first asked for, and ``/api-docs``, which shows it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute

from nanomq_py.http.app import Dialect, Own
from nanomq_py.http.guard import Gate
from nanomq_py.http.request import log_in

DOCUMENT = "/api/openapi.json"
PAGE = "/api-docs"


def _policy(page: str) -> str:
    """Return a Content-Security-Policy under which only what is in the page itself runs."""
    import base64
    import hashlib
    import re

    sources: dict[str, str] = {}
    for kind, text in re.findall(r"<(script|style)>(.*?)</\1>", page, re.DOTALL):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        sources[kind] = f"{kind}-src 'sha256-{digest}'"
    inline = "; ".join(sources.values())
    return f"default-src 'none'; connect-src 'self'; frame-ancestors 'none'; {inline}"


class Documentation:
    """The two paths, for callers who have logged in."""

    def __init__(
        self,
        dialects: Callable[[], Sequence[Dialect]],
        gate: Gate,
    ) -> None:
        """Make it; it describes these dialects."""
        self._dialects = dialects
        self._gate = gate
        self._described: list[Dialect] = []  # in what was made
        self._made = b""

    def routes(self) -> list[BaseRoute]:
        return [
            Own(DOCUMENT, self._document, methods=["GET"]),
            Own(PAGE, self._page, methods=["GET"]),
        ]

    async def _document(self, request: Request) -> Response:
        await log_in(request, self._gate)
        dialects = list(self._dialects())
        if not self._made or dialects != self._described:
            from nanomq_py.http.rest.dialect import RestDialect
            from nanomq_py.http.rest.openapi import document

            described = [e for e in dialects if isinstance(e, RestDialect)]
            for dialect in described:
                await dialect.families.load()
            made = await asyncio.to_thread(document, described)
            if any(each.prefix == "/api/v1" for each in dialects):
                from nanomq_py.http.v1 import openapi

                openapi.add_to(made)
            self._made = msgspec.json.encode(made)
            self._described = dialects
        return Response(self._made, media_type="application/json")

    async def _page(self, request: Request) -> Response:
        await log_in(request, self._gate)
        return await asyncio.to_thread(_page)


def _page() -> HTMLResponse:
    """Return the page. Blocks: it reads a file."""
    from importlib.resources import files  # zipfile comes with it

    page = files(__package__).joinpath("api-docs.html").read_text("utf-8")
    return HTMLResponse(page, headers={"Content-Security-Policy": _policy(page)})
