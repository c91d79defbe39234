"""Codes of errors, which EMQX's dialects have alike. Their texts and statuses are their own."""

from __future__ import annotations

from nanomq_py.http.codes import LOGIN_CODES, Code
from nanomq_py.http.emqx.api import UnknownNode
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

UNDEFINED = "undefined"  # stands for a value that is missing


class Coded(HttpError):
    """A request that is answered with a code that its endpoint has chosen."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


def code_of(error: HttpError) -> Code:
    match error:
        case Coded():
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
