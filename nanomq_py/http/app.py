"""The application: the routes of every dialect, and each one's own errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route

from nanomq_py.http.errors import HttpError, Unexpected, error_of


class Dialect(Protocol):
    """The words of one API."""

    @property
    def prefix(self) -> str:
        """The path that all paths of the dialect begin with."""

    def routes(self) -> list[BaseRoute]: ...

    def render(self, error: HttpError) -> Response:
        """Return the answer that tells the error in the dialect's words."""


def _is_below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")


def _allowed(request: Request) -> str:
    """Return the methods that the path has, of all of its routes. Source: RFC 9110, 15.5.6."""
    methods: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    return ", ".join(sorted(methods))


def make_app(dialects: Sequence[Dialect], more: Sequence[BaseRoute] = ()) -> Starlette:
    """Return the HTTP API; the first dialect answers for paths of no dialect.

    more  routes besides those of the dialects
    """

    def dialect_of(path: str) -> Dialect:
        found = [each for each in dialects if _is_below(path, each.prefix)]
        return max(found, key=lambda each: len(each.prefix), default=dialects[0])

    async def http_fault(request: Request, fault: Exception) -> Response:
        error: HttpError = Unexpected()
        if isinstance(fault, HTTPException):
            error = error_of(fault.status_code, fault.headers)
            if fault.status_code == 405:
                error.headers["Allow"] = _allowed(request)
        return dialect_of(request.url.path).render(error)

    return Starlette(
        routes=[*(route for dialect in dialects for route in dialect.routes()), *more],
        exception_handlers={HTTPException: http_fault},
    )
