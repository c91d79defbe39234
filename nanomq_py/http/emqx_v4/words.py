"""The envelope and the errors of EMQX's v4.

Source  emqx-cloud-api-v4-brokers.txt; http-dialects.md, "EMQX v4 and Cloud"
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from nanomq_py.http.codes import Code
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx.words import Coded, code_of
from nanomq_py.http.errors import (
    Forbidden,
    HttpError,
    MethodNotAllowed,
    NotFound,
    Throttled,
    Unauthorized,
    Unexpected,
)
from nanomq_py.http.rest.dialect import json_answer
from nanomq_py.http.rest.endpoint import Call

ZONE = "external"  # EMQX's name for where clients come in; here is no other


def check_node(api: Api, call: Call[Any, Any]) -> None:
    """Raise NotFound where the path names another node."""
    if "node" in call.path:
        api.check_node(call.path["node"])


class Refused(Coded):
    """A request that is answered with a code of v4's own."""

    def __init__(self, code: Code, message: str, status: int = 400) -> None:
        super().__init__(code, message)
        self.status = status


def not_online(client_id: str) -> Refused:
    """Return the error of a client that is not there."""
    return Refused(Code.CLIENT_IS_OFFLINE, f"client {client_id[:64]!r} is not online", 404)


def status_of(error: HttpError, *, always_200: bool) -> int:
    """Return the status.

    always_200   what was wrong is told by the code alone, but for who calls, a path that is not
                 there, and a fault of ours
    """
    kept = (Unauthorized, Forbidden, Throttled, MethodNotAllowed, Unexpected)
    if always_200 and not isinstance(error, kept) and type(error) is not NotFound:
        return 200
    return error.status


def rendered(error: HttpError, *, always_200: bool = False) -> Response:
    code = code_of(error)
    content = {"code": int(code), "message": error.message or code.name.lower()}
    status = status_of(error, always_200=always_200)
    return json_answer(content, status, error.headers)


def succeeded(data: Any) -> Response:
    """Return the answer; None: there is nothing to tell but that it was done."""
    return json_answer({"code": 0} if data is None else {"data": data, "code": 0})
