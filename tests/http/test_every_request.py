"""What is the same for every request of ``/api/v1``, and each of them once.

Source  nanomq-http-api-v1.txt; http-dialects.md, "NanoMQ V1"
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from nanomq_py.http.v1.api import HANDLERS
from tests.conftest import Process, running_broker
from tests.http.documented import Client, Said
from tests.http.endpoints import (
    BAD_JSON,
    MISSING,
    OTHER_METHOD,
    STRANGER,
    WRONG_ROLE,
    WRONG_TYPE,
)

pytestmark = pytest.mark.plain

NEEDS: dict[int, dict[str, Any]] = {10: {"action": "reload"}, 12: {"data": {}}}
CHANGES = (10, 12)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    given = {"http_server.password": "mine", "http_server.host": "127.0.0.1"}
    with running_broker(tmp_path_factory.mktemp("requests"), **given) as process:
        body = {"username": "looks", "password": "on", "role": "viewer"}
        admin = Client(process.http_port, "admin:mine")
        assert admin.call("POST", "/api/v2/users", body).json["code"] == 0
        yield process


def ask(broker: Process, body: object, auth: str = "admin:mine") -> Said:
    return Client(broker.http_port, auth).call("POST", "/api/v1", body)


def each_of(outcome: str, requests: Iterable[int] = HANDLERS) -> pytest.MarkDecorator:
    """Run a test for each of these requests, of which it shows that outcome."""
    made = []
    for req in requests:
        mark = pytest.mark.endpoint("v1", f"req {req}", outcome)
        made.append(pytest.param(req, marks=mark))
    return pytest.mark.parametrize("req", made)


def whole(req: int) -> dict[str, Any]:
    return {"req": req, "seq": 7, **NEEDS.get(req, {})}


def assert_refused(said: Said, status: int, code: int) -> None:
    assert (said.status, said.json["code"]) == (status, code), said
    assert "data" not in said.json


@each_of("success")
def test_request_is_answered(broker: Process, req: int) -> None:
    said = ask(broker, whole(req))
    assert said.status == 200
    assert list(said.json) == ["code", "seq", "rep", "data"]
    assert (said.json["code"], said.json["seq"], said.json["rep"]) == (0, 7, req)


@each_of(STRANGER)
def test_stranger_is_not_let_in(broker: Process, req: int) -> None:
    said = ask(broker, whole(req), auth="")
    assert_refused(said, 401, 104)
    assert "www-authenticate" in said.headers


@each_of(WRONG_ROLE)
def test_viewer_changes_nothing_and_reads(broker: Process, req: int) -> None:
    said = ask(broker, whole(req), auth="looks:on")
    if req in CHANGES:
        assert_refused(said, 403, 103)
    else:
        assert (said.status, said.json["code"]) == (200, 0)


@each_of(BAD_JSON)
def test_body_that_is_no_json_is_109(broker: Process, req: int) -> None:
    assert_refused(ask(broker, b'{"req":%d,"seq":7' % req), 400, 109)


@each_of(MISSING)
def test_missing_field_is_107(broker: Process, req: int) -> None:
    for name in whole(req):
        without = {key: value for key, value in whole(req).items() if key != name}
        assert_refused(ask(broker, without), 400, 107)


@each_of(WRONG_TYPE)
def test_field_of_another_type_is_108(broker: Process, req: int) -> None:
    for name in whole(req):
        assert_refused(ask(broker, {**whole(req), name: [1]}), 400, 108)


@each_of(OTHER_METHOD)
def test_other_method_is_405(broker: Process, req: int) -> None:
    said = Client(broker.http_port, "admin:mine").call("DELETE", "/api/v1", whole(req))
    assert (said.status, said.json["code"]) == (405, 102)
    assert {"GET", "POST"} <= {*said.headers["allow"].split(", ")}


@pytest.mark.parametrize("req", [1, 3, 6, 7, 8, 9])
def test_request_that_nanomq_never_handled_is_404(broker: Process, req: int) -> None:
    assert_refused(ask(broker, whole(req)), 404, 108)
