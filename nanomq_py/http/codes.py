"""Result codes, which NanoMQ has from EMQX: every dialect but the platform's own uses them."""

from __future__ import annotations

from enum import IntEnum

from nanomq_py.http.errors import Login


class Code(IntEnum):
    """Return codes: the tables of nanomq-http-api-v1, EMQX v2 and EMQX v4 agree."""

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
    TOKEN_EXPIRED = 116  # of NanoMQ
    BAD_QOS = 116  # of EMQX
    CONFIG_REFUSED = 117
    CONFIG_NOT_WRITTEN = 118


LOGIN_CODES = {
    Login.MISSING: Code.EMPTY_USERNAME_OR_PASSWORD,
    Login.WRONG: Code.WRONG_USERNAME_OR_PASSWORD,
    Login.EXPIRED: Code.TOKEN_EXPIRED,
    Login.GONE: Code.UNKNOWN_MISTAKE,
}
