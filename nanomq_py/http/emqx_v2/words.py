"""The envelope and the errors of EMQX's v2.

Messages begin with the words of EMQX 2.3, where it has some.

Source  emqx-rest-api-v2.txt; http-dialects.md, "EMQX v2"; EMQX 2.3, emqttd_http, emqttd_mgmt
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from nanomq_py.http.codes import Code
from nanomq_py.http.emqx.api import UnknownNode
from nanomq_py.http.emqx.words import Coded, code_of
from nanomq_py.http.errors import (
    BadRequest,
    HttpError,
    MissingParameter,
    NotJson,
)
from nanomq_py.http.rest.dialect import json_answer


class Refused(Coded):
    """A request that is answered with a code of v2's own."""

    status = 200


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
