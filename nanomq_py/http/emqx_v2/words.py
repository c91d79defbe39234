"""The envelope and the errors of EMQX's v2.

Source  emqx-rest-api-v2.txt; http-dialects.md, "EMQX v2"
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from nanomq_py.http.codes import LOGIN_CODES, Code
from nanomq_py.http.errors import (
    HttpError,
    MethodNotAllowed,
    MissingParameter,
    NotFound,
    NotJson,
    Throttled,
    Unauthorized,
    Unexpected,
)
from nanomq_py.http.rest.dialect import json_answer

UNDEFINED = "undefined"  # stands for a value that is missing


class Refused(HttpError):
    """A request that is answered with a code of v2's own."""

    status = 200

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


def code_of(error: HttpError) -> Code:
    match error:
        case Refused():
            return error.code
        case Unauthorized():
            return LOGIN_CODES[error.why]
        case Throttled():
            return Code.WRONG_USERNAME_OR_PASSWORD
        case MissingParameter():
            return Code.MISSING_KEY_REQUEST_PARAMS
        case NotJson():
            return Code.REQ_PARAMS_JSON_FORMAT_ILLEGAL
        case NotFound() | MethodNotAllowed() | Unexpected():
            return Code.UNKNOWN_MISTAKE
    return Code.REQ_PARAM_ERROR


def status_of(error: HttpError) -> int:
    """Return 200 but for a path that is not there and a login that is not good."""
    if isinstance(error, (Unauthorized, Throttled, NotFound, MethodNotAllowed, Unexpected)):
        return error.status
    return 200


def rendered(error: HttpError) -> Response:
    code = code_of(error)
    content = {"code": int(code), "message": error.message or code.name.lower()}
    return json_answer(content, status_of(error), error.headers)


def succeeded(result: Any) -> Response:
    return json_answer({"code": 0, "result": [] if result is None else result})
