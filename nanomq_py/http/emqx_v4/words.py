"""The envelope and the errors of EMQX's v4.

Source  emqx-cloud-api-v4-brokers.txt; http-dialects.md, "EMQX v4 and Cloud"
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from nanomq_py.http.codes import LOGIN_CODES, Code
from nanomq_py.http.errors import (
    Forbidden,
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


class Refused(HttpError):
    """A request that is answered with a code of v4's own."""

    status = 400

    def __init__(self, code: Code, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


def code_of(error: HttpError) -> Code:
    match error:
        case Refused():
            return error.code
        case Unauthorized():
            return LOGIN_CODES[error.why]
        case Throttled() | Forbidden():
            return Code.WRONG_USERNAME_OR_PASSWORD
        case MissingParameter():
            return Code.MISSING_KEY_REQUEST_PARAMS
        case NotJson():
            return Code.REQ_PARAMS_JSON_FORMAT_ILLEGAL
        case NotFound() | MethodNotAllowed() | Unexpected():
            return Code.UNKNOWN_MISTAKE
    return Code.REQ_PARAM_ERROR


def rendered(error: HttpError) -> Response:
    code = code_of(error)
    content = {"code": int(code), "message": error.message or code.name.lower()}
    return json_answer(content, error.status, error.headers)


def succeeded(data: Any) -> Response:
    """Return the answer; None: there is nothing to tell but that it was done."""
    return json_answer({"code": 0} if data is None else {"data": data, "code": 0})
