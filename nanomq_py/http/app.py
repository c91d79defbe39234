"""The application: routes as one list."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nanomq_py.http.guard import Gate
from nanomq_py.http.v1.api import Api, make_endpoint
from nanomq_py.http.v1.reply import Code, json_response


async def _http_fault(request: Request, fault: Exception) -> Response:
    """Answer a path or method that is not there in the dialects' form."""
    status = fault.status_code if isinstance(fault, HTTPException) else 500
    headers = dict(fault.headers or {}) if isinstance(fault, HTTPException) else {}
    return json_response({"code": int(Code.UNKNOWN_MISTAKE), "seq": 0}, status, headers)


def make_app(api: Api, gate: Gate) -> Starlette:
    """Return the HTTP API over a broker."""
    v1_endpoint = make_endpoint(api, gate)
    return Starlette(
        routes=[
            Route("/api/v1", v1_endpoint, methods=["GET", "POST"]),
            Route("/api/v1/", v1_endpoint, methods=["GET", "POST"]),
        ],
        exception_handlers={HTTPException: _http_fault},
    )
