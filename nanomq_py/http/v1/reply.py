"""Result codes of V1, its errors, and answers as JSON."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import orjson
from starlette.responses import Response

from nanomq_py.http.errors import BadRequest, HttpError, Login, Throttled, Unauthorized


class Code(IntEnum):
    """Return codes; source: nanomq-http-api-v1, table "result codes"."""

    SUCCEED = 0
    RPC_ERROR = 101
    UNKNOWN_MISTAKE = 102
    WRONG_USERNAME_OR_PASSWORD = 103
    EMPTY_USERNAME_OR_PASSWORD = 104
    USER_DOES_NOT_EXIST = 105
    ADMIN_CANNOT_BE_DELETED = 106
    MISSING_KEY_REQUEST_PARAMS = 107
    REQ_PARAM_ERROR = 108
    REQ_PARAMS_JSON_FORMAT_ILLEGAL = 109
    PLUGIN_IS_ENABLED = 110
    PLUGIN_IS_CLOSED = 111
    CLIENT_IS_OFFLINE = 112
    USER_ALREADY_EXISTS = 113
    OLD_PASSWORD_IS_WRONG = 114
    ILLEGAL_SUBJECT = 115
    TOKEN_EXPIRED = 116


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


_LOGINS = {
    Login.MISSING: Code.EMPTY_USERNAME_OR_PASSWORD,
    Login.WRONG: Code.WRONG_USERNAME_OR_PASSWORD,
    Login.EXPIRED: Code.TOKEN_EXPIRED,
    Login.GONE: Code.UNKNOWN_MISTAKE,
}


def code_of(error: HttpError) -> Code:
    """Return V1's result code for the error."""
    match error:
        case Refused():
            return error.code
        case Unauthorized():
            return _LOGINS[error.why]
        case Throttled():
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
