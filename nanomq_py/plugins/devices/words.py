"""The envelope and the errors of the platform.

Source  iot-platform-api-v1.txt, "API response format"; http-dialects.md, "IoT platform"
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.responses import Response

from nanomq_py.http.errors import (
    BadParameter,
    Forbidden,
    HttpError,
    Login,
    MethodNotAllowed,
    MissingParameter,
    NotFound,
    NotJson,
    Throttled,
    Unauthorized,
    Unexpected,
)
from nanomq_py.http.rest.dialect import json_answer
from nanomq_py.store.faults import StoreError


class Refused(HttpError):
    """A request that is answered with a code of its endpoint."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


_LOGIN_CODES = {
    Login.MISSING: "login_missing",
    Login.WRONG: "login_wrong",
    Login.EXPIRED: "token_expired",
    Login.GONE: "login_missing",
}
_CODES: dict[type[HttpError], str] = {
    Forbidden: "forbidden",
    Throttled: "too_many_logins",
    MissingParameter: "missing_parameter",
    BadParameter: "bad_parameter",
    NotJson: "not_json",
    NotFound: "not_found",
    MethodNotAllowed: "method_not_allowed",
    Unexpected: "internal_error",
}


def code_of(error: HttpError) -> str:
    match error:
        case Refused():
            return error.code
        case Unauthorized():
            return _LOGIN_CODES[error.why]
    return _CODES.get(type(error), "bad_request")


def rendered(error: HttpError) -> Response:
    code = code_of(error)
    message = error.message or code.replace("_", " ")
    content = {"status": "err", "code": code, "msg": message}
    return json_answer(content, error.status, error.headers)


def succeeded(data: Any) -> Response:
    return json_answer({"status": "ok", "data": {} if data is None else data})


@contextmanager
def store_faults() -> Iterator[None]:
    """Tell what the store refuses in the words of the platform."""
    try:
        yield
    except StoreError as fault:
        raise Refused("store_failed", str(fault), 503) from None
