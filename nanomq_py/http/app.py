"""The application: the routes of every dialect, and each one's own errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

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
        return dialect_of(request.url.path).render(error)

    return Starlette(
        routes=[*more, *(route for dialect in dialects for route in dialect.routes())],
        exception_handlers={HTTPException: http_fault, HttpError: http_fault},
    )
