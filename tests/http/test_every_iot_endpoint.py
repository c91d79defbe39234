"""What is the same for every endpoint of ``/iot/api/v1``, in the platform's words.

Source  http-dialects.md, "IoT platform"
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.conftest import Process, running_broker
from tests.devices.http import Caller, Said, expired, logged_in, viewer
from tests.http.endpoints import (
    BAD_JSON,
    EXPIRED,
    IOT,
    MISSING,
    OTHER_METHOD,
    STRANGER,
    WRONG_ROLE,
    WRONG_TYPE,
    Served,
    body_of,
    can_be_wrong,
    each_of,
    fields,
    required,
    takes_json,
    wrong_bodies,
    wrong_queries,
)

pytestmark = pytest.mark.plain

CLOSED = [each for each in IOT if not each.endpoint.is_open]


@dataclass(frozen=True)
class House:
    """A broker with the plugin, and its callers."""

    stranger: Caller
    admin: Caller
    viewer: Caller
    expired: Caller


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    given = {"plugins.load": "devices", "http_server.max_connections_per_address": "64"}
    with running_broker(tmp_path_factory.mktemp("iot"), **given) as process:
        yield process


@pytest.fixture(scope="module")
def house(broker: Process) -> House:
    admin, old = logged_in(broker), expired(broker)
    return House(Caller(broker.http_port), admin, viewer(broker), old)


def path_of(served: Served) -> str:
    return served.concrete("x").removeprefix(served.prefix)


def call(caller: Caller, served: Served, body: object = None, query: str = "") -> Said:
    return caller.call(served.endpoint.method, path_of(served) + query, body)


@each_of(STRANGER, CLOSED)
def test_stranger_is_not_let_in(house: House, served: Served) -> None:
    call(house.stranger, served).assert_refused(401, "login_missing")


@each_of(EXPIRED, CLOSED)
def test_expired_token_lets_nobody_in(house: House, served: Served) -> None:
    call(house.expired, served).assert_refused(401, "token_expired")


@each_of(STRANGER, CLOSED)
def test_token_that_nobody_was_given_lets_nobody_in(house: House, served: Served) -> None:
    for token in ("0" * 64, "x", "0" * 10_000):
        caller = Caller(house.admin.port, token)
        call(caller, served).assert_refused(401, "login_wrong")


@each_of(WRONG_ROLE, [each for each in CLOSED if not each.endpoint.only_reads])
def test_viewer_changes_nothing(house: House, served: Served) -> None:
    call(house.viewer, served, b"{").assert_refused(403, "forbidden")


@each_of(WRONG_ROLE, [each for each in CLOSED if each.endpoint.method == "GET"])
def test_viewer_may_read(house: House, served: Served) -> None:
    assert call(house.viewer, served).status not in (401, 403)


@each_of(BAD_JSON, filter(takes_json, IOT))
def test_body_that_is_no_json_is_refused(house: House, served: Served) -> None:
    bodies = [b"{", b"\xff", b"[" * 10_000]
    if required(served.endpoint.takes.body):
        bodies.append(b"")
    for body in bodies:
        call(house.admin, served, body).assert_refused(400, "not_json", "expected JSON")


@each_of(MISSING, [each for each in IOT if required(each.endpoint.takes.body)])
def test_missing_field_is_refused(house: House, served: Served) -> None:
    whole = body_of(served)
    for name in required(served.endpoint.takes.body):
        without = {key: value for key, value in whole.items() if key != name}
        for body in (without, {**whole, name: None}):
            said = call(house.admin, served, body)
            said.assert_refused(400, "missing_parameter", f"{name}: missing")


@pytest.mark.parametrize(
    "served", [each for each in IOT if required(each.endpoint.takes.query)]
)
def test_missing_parameter_is_refused(house: House, served: Served) -> None:
    (name,) = required(served.endpoint.takes.query)
    said = call(house.admin, served)
    said.assert_refused(400, "missing_parameter", f"{name}: missing")


@each_of(WRONG_TYPE, filter(can_be_wrong, IOT))
def test_value_of_another_type_is_refused(house: House, served: Served) -> None:
    bodies = wrong_bodies(served) if takes_json(served) else []
    said = [call(house.admin, served, body) for body in bodies]
    said += [
        call(house.admin, served, body_of(served), f"?{query}")
        for query in wrong_queries(served)
    ]
    assert said
    for each in said:
        each.assert_refused(400, "bad_parameter")


@each_of(OTHER_METHOD, IOT)
def test_other_method_is_405(house: House, served: Served) -> None:
    said = house.admin.call("PATCH", path_of(served))
    said.assert_refused(405, "method_not_allowed")


def test_unknown_path_is_404(house: House) -> None:
    for path in ("", "/nothing", "/monitor/brokers/x", "/monitor/devices/a/b/c"):
        house.admin.call("GET", path).assert_refused(404, "not_found")
        house.stranger.call("GET", path).assert_refused(401, "login_missing")


PAGED = [
    each
    for each in IOT
    if any(f.name == "limit" for f in fields(each.endpoint.takes.query))
]


@pytest.mark.parametrize("served", PAGED, ids=lambda it: str(it.name))
def test_page_and_limit_are_bounded(house: House, served: Served) -> None:
    for query in ("page=0", "limit=0", "limit=1001", "page=-1", f"page={1 << 40}"):
        said = call(house.admin, served, query=f"?{query}")
        said.assert_refused(400, "bad_parameter", query.partition("=")[0])
    data = call(house.admin, served, query="?page=3&limit=7").data
    assert (data["page"], data["limit"], data["count"], data["list"]) == (3, 7, 0, [])
    data = call(house.admin, served).data
    assert (data["page"], data["limit"]) == (1, 100)
