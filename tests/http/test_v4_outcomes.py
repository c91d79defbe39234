"""Each endpoint of ``/api/v4`` that reads, or changes a client: how it can turn out.

What is the same for every endpoint is in test_every_endpoint.py.

Source  http-dialects.md, "EMQX v4 and Cloud"
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import pytest

from nanomq_py.http.emqx_v4 import (
    clients,
    listeners,
    metrics,
    monitor,
    nodes,
    routes,
    steering,
    subscriptions,
)
from nanomq_py.http.rest.endpoint import Endpoint
from tests.conftest import Process
from tests.http.documented import Said
from tests.http.v4 import assert_refused, call

pytestmark = pytest.mark.plain

MODULES = (clients, listeners, metrics, monitor, nodes, routes, steering, subscriptions)
ALL = [
    (endpoint, path)
    for module in MODULES
    for endpoint in module.ENDPOINTS
    for path in (endpoint.path, *endpoint.also)
]
CLIENT = "four"
VALUES = {
    "clientid": CLIENT,
    "username": "steve",
    "topic": "a/b/c",
    "identifier": "mqtt:tcp:tcp",
}
BODIES: dict[str, dict[str, Any]] = {
    "/clients/{clientid}/keepalive": {"interval": 60},
    "/clients/{clientid}/ratelimit": {"conn_messages_in": "1000,1s"},
    "/clients/{clientid}/quota": {"conn_messages_routing": "1000,1s"},
}
# They end what other tests need: test_v4_clients.py and test_v4_metrics.py show them.
ENDING = ("DELETE /clients/{clientid}", "PUT /listeners/{identifier}/restart")


def key_of(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


def named(outcome: str, cases: list[tuple[Endpoint, str]]) -> Any:
    """Run the test for each of these, of which it shows that outcome."""
    made = []
    for endpoint, path in cases:
        name = f"{endpoint.method} {path}"
        mark = pytest.mark.endpoint("v4", name, outcome)
        made.append(pytest.param(endpoint, path, id=name, marks=mark))
    return pytest.mark.parametrize(("endpoint", "path"), made)


def ask(
    broker: Process,
    endpoint: Endpoint,
    path: str,
    *,
    query: str = "",
    auth: str = "admin:public",
    body: object = None,
    **values: str,
) -> Said:
    """Send a request to an endpoint that is good but for what is given."""
    given = {**VALUES, **values}
    found = re.sub(r"{(\w+)[.]*}", lambda name: quote(given[name[1]], safe=""), path)
    if body is None and endpoint.method in ("PUT", "POST"):
        body = BODIES.get(endpoint.path)
    return call(broker, endpoint.method, f"/api/v4{found}{query}", body, auth)


def is_measured(endpoint: Endpoint) -> bool:
    return endpoint.act is not monitor.slow_subscriptions


@named("success", [c for c in ALL if key_of(c[0]) not in ENDING and is_measured(c[0])])
def test_success(busy: Process, node: str, endpoint: Endpoint, path: str) -> None:
    said = ask(busy, endpoint, path, node=node)
    assert (said.status, said.json["code"]) == (200, 0), said
    assert said.headers["content-type"] == "application/json"
    has_data = endpoint.method == "GET"
    assert ("data" in said.json) is has_data
    if has_data:
        assert said.json["data"] or "acl_cache" in path


@named("111", [case for case in ALL if not is_measured(case[0])])
def test_not_measured(busy: Process, node: str, endpoint: Endpoint, path: str) -> None:
    said = ask(busy, endpoint, path, node=node)
    assert_refused(said, 404, 111, "module_not_loaded")


@pytest.fixture(scope="module")
def viewer(busy: Process) -> str:
    """The login of a user who may read."""
    body = {"username": "v4-viewer", "password": "xxxxxx", "role": "viewer"}
    assert call(busy, "POST", "/api/v2/users", body).json["code"] == 0
    return "v4-viewer:xxxxxx"


@named("success", [case for case in ALL if case[0].only_reads and is_measured(case[0])])
def test_viewer_reads(
    busy: Process, node: str, viewer: str, endpoint: Endpoint, path: str
) -> None:
    assert ask(busy, endpoint, path, node=node, auth=viewer).status == 200


@named("missing field", [case for case in ALL if case[0].act is steering.set_keep_alive])
def test_missing_field(busy: Process, endpoint: Endpoint, path: str) -> None:
    assert_refused(ask(busy, endpoint, path, body=b"{}"), 400, 107, "interval: missing")


STEERED = [case for case in ALL if "{clientid}" in case[1] and case[0].method != "GET"]
LOOKED_UP = [
    case
    for case in ALL
    if case[0].method == "GET" and re.search(r"{(clientid|username|topic...)}$", case[1])
]


@named("112", [*STEERED, *(case for case in ALL if case[0].act is steering.list_kept)])
def test_absent_client(busy: Process, node: str, endpoint: Endpoint, path: str) -> None:
    said = ask(busy, endpoint, path, node=node, clientid="nobody")
    assert_refused(said, 404, 112, "client 'nobody' is not online")


@named("absent", LOOKED_UP)
def test_absent_is_empty(busy: Process, node: str, endpoint: Endpoint, path: str) -> None:
    nothing = dict.fromkeys(("clientid", "username", "topic"), "nothing")
    said = ask(busy, endpoint, path, node=node, **nothing)
    assert (said.status, said.json) == (200, {"data": [], "code": 0})


def test_every_kind_of_outcome_has_endpoints() -> None:
    assert len(ALL) > 40
    assert len(STEERED) > 6
    assert len(LOOKED_UP) > 7
