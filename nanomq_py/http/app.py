"""The application: the routes of every dialect, and each one's own errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route, Router
from starlette.types import Receive, Scope, Send

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


class Below(BaseRoute):
    """All paths below the prefix of a dialect, whether it has them or not."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.prefix = dialect.prefix
        self.routes = dialect.routes()
        self._router = Router(self.routes, redirect_slashes=False)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        is_below = scope["type"] == "http" and _is_below(scope["path"], self.prefix)
        return (Match.FULL if is_below else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._router(scope, receive, send)


class Own(Route):
    """A path that is no dialect's, whatever its prefix: other methods are refused here."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        return (Match.NONE if match is Match.NONE else Match.FULL), child


def _allowed(request: Request) -> str:
    """Return the methods that the path has, of all of its routes. Source: RFC 9110, 15.5.6."""
    methods: set[str] = set()
    for route in _routes_of(request.app.routes):
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    return ", ".join(sorted(methods))


def _routes_of(routes: Sequence[BaseRoute]) -> Iterator[BaseRoute]:
    for route in routes:
        if isinstance(route, Below):
            yield from route.routes
        else:
            yield route


def make_app(dialects: Sequence[Dialect], more: Sequence[BaseRoute] = ()) -> Starlette:
    """Return the HTTP API; the first dialect answers for paths of no dialect.

    more  routes besides those of the dialects, before them; they may raise HttpError
    """

    def dialect_of(path: str) -> Dialect:
        found = [each for each in dialects if _is_below(path, each.prefix)]
        return max(found, key=lambda each: len(each.prefix), default=dialects[0])

    async def http_fault(request: Request, fault: Exception) -> Response:
        error = fault if isinstance(fault, HttpError) else Unexpected()
        if isinstance(fault, HTTPException):
            error = error_of(fault.status_code, fault.headers)
            if fault.status_code == 405:
                error.headers["Allow"] = _allowed(request)
        return dialect_of(request.url.path).render(error)

    # The longest prefix first: that of one dialect may begin with that of another.
    below = sorted(map(Below, dialects), key=lambda each: -len(each.prefix))
    return Starlette(
        routes=[*more, *below],
        exception_handlers={HTTPException: http_fault, HttpError: http_fault},
    )
