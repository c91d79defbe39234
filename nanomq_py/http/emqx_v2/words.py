"""The envelope and the errors of EMQX's v2.

Messages begin with the words of EMQX 2.3, where it has some.

Source  emqx-rest-api-v2.txt; http-dialects.md, "EMQX v2"; EMQX 2.3, emqttd_http, emqttd_mgmt
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from nanomq_py.http.codes import LOGIN_CODES, Code
from nanomq_py.http.emqx.api import UnknownNode
from nanomq_py.http.errors import (
    BadRequest,
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
        case Throttled() | Forbidden():
            return Code.WRONG_USERNAME_OR_PASSWORD
        case MissingParameter():
            return Code.MISSING_KEY_REQUEST_PARAMS
        case NotJson():
            return Code.REQ_PARAMS_JSON_FORMAT_ILLEGAL
        case UnknownNode():
            return Code.RPC_ERROR
        case NotFound() | MethodNotAllowed() | Unexpected():
            return Code.UNKNOWN_MISTAKE
    return Code.REQ_PARAM_ERROR


def status_of(error: HttpError) -> int:
    """Return 200 but for a path that is not there and a login that is not good for it."""
    if isinstance(error, (BadRequest, Refused, UnknownNode)):
        return 200
    return error.status


def message_of(error: HttpError) -> str:
    match error:
        case MissingParameter():
            return f"params error: {error.message}"
        case NotJson():
            return f"Body not json: {error.message}"
        case UnknownNode():
            return f"badrpc: nodedown: {error.message}"
        case BadRequest():
            return f"params type error: {error.message}"
    return error.message or code_of(error).name.lower()


def rendered(error: HttpError) -> Response:
    content = {"code": int(code_of(error)), "message": message_of(error)}
    return json_answer(content, status_of(error), error.headers)


def succeeded(result: Any) -> Response:
    return json_answer({"code": 0, "result": [] if result is None else result})


def bad_topic(topic: str, code: Code = Code.UNKNOWN_MISTAKE) -> Refused:
    return Refused(code, f"validate topic: {topic[:200]} fail")
