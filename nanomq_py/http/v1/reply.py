"""Errors of V1, and answers as JSON."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response

from nanomq_py.http.codes import LOGIN_CODES, Code
from nanomq_py.http.errors import BadRequest, Forbidden, HttpError, Throttled, Unauthorized


class Refused(HttpError):
    """A request that is answered with an error of V1's own."""

    def __init__(
        self,
        status: int,
        code: Code,
        message: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message or code.name, headers)
        self.status = status
        self.code = code
        self.message = message


def code_of(error: HttpError) -> Code:
    """Return V1's result code for the error."""
    match error:
        case Refused():
            return error.code
        case Unauthorized():
            return LOGIN_CODES[error.why]
        case Throttled() | Forbidden():  # no code is closer: another user may
            return Code.WRONG_USERNAME_OR_PASSWORD
        case BadRequest():
            return Code.REQ_PARAM_ERROR
    return Code.UNKNOWN_MISTAKE


def json_response(
    content: Any, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return the answer; orjson writes it, in the order of its keys."""
    return Response(
        orjson.dumps(content), status, headers=headers, media_type="application/json"
    )
