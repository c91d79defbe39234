"""Each endpoint of ``/api/v4`` that changes the broker, or lists what was changed: who may not.

Source  http-dialects.md, "EMQX v4 and Cloud"
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from nanomq_py.http.emqx_v4 import (
    acl,
    alarms,
    apps,
    banned,
    client_auth,
    modules,
    mqtt,
    plugins,
    rule_engine,
    topic_metrics,
    users,
)
from nanomq_py.http.rest.endpoint import Endpoint
from nanomq_py.http.rest.parameters import Nothing
from tests.conftest import Process, running_broker
from tests.http.documented import Said
from tests.http.v4 import assert_refused, call

MODULES = (
    *(acl, alarms, apps, banned, client_auth, modules, mqtt, plugins, rule_engine),
    *(topic_metrics, users),
)
ALL = [
    (endpoint, path)
    for module in MODULES
    for endpoint in module.ENDPOINTS
    for path in (endpoint.path, *endpoint.also)
]
VIEWER = "board:only looks"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A broker with a viewer."""
    with running_broker(tmp_path_factory.mktemp("guarded")) as process:
        body = {"username": "board", "password": "only looks"}
        assert call(process, "POST", "/api/v4/users", body).json == {"code": 0}
        yield process


@pytest.fixture(scope="module")
def its_node(guarded: Process) -> str:
    name: str = call(guarded, "GET", "/api/v4/brokers").json["data"][0]["node"]
    return name


def each_of(outcome: str, cases: list[tuple[Endpoint, str]]) -> Any:
    """Run the test for each of these, of which it shows that outcome."""
    assert cases
    made = []
    for endpoint, path in cases:
        name = f"{endpoint.method} {path}"
        mark = pytest.mark.endpoint("v4", name, outcome)
        made.append(pytest.param(endpoint.method, path, id=name, marks=mark))
    return pytest.mark.parametrize(("method", "path"), made)


def ask(
    broker: Process,
    method: str,
    path: str,
    body: object = None,
    *,
    node: str,
    auth: str = "admin:public",
) -> Said:
    spelled = re.sub(r"{(\w+)[.]*}", "x", path.replace("{node}", node))
    return call(broker, method, f"/api/v4{spelled}", body, auth)


@each_of("unauthorised", [case for case in ALL if not case[0].is_open])
def test_stranger_is_told_nothing(
    guarded: Process, its_node: str, method: str, path: str
) -> None:
    said = ask(guarded, method, path, b"{", node=its_node, auth="")
    assert_refused(said, 401, 104)
    assert "www-authenticate" in said.headers


@pytest.mark.parametrize("path", ["auth_username", "acl/$all", "banned", "apps", "users"])
def test_wrong_login_is_told_nothing(guarded: Process, path: str) -> None:
    said = call(guarded, "GET", f"/api/v4/{path}", auth="admin:wrong")
    assert_refused(said, 401, 103)


@each_of("wrong role", [case for case in ALL if not case[0].only_reads])
def test_viewer_changes_nothing(
    guarded: Process, its_node: str, method: str, path: str
) -> None:
    said = ask(guarded, method, path, b"{", node=its_node, auth=VIEWER)
    assert_refused(said, 403, 103, "board may read, and change nothing")


@each_of("101", [case for case in ALL if "{node}" in case[1]])
def test_other_node_is_unknown(guarded: Process, method: str, path: str) -> None:
    said = ask(guarded, method, path, node="emqx@elsewhere")
    assert_refused(said, 404, 101, "node 'emqx@elsewhere'")


WITH_BODY = [case for case in ALL if case[0].takes.body is not Nothing]


@each_of("bad JSON", WITH_BODY)
def test_body_that_is_no_json_is_109(
    guarded: Process, its_node: str, method: str, path: str
) -> None:
    for body in (b"{", b"\xff", b"[" * 10_000):
        said = ask(guarded, method, path, body, node=its_node)
        assert_refused(said, 400, 109, "expected JSON")


@each_of("wrong type", WITH_BODY)
def test_body_of_another_type_is_108(
    guarded: Process, its_node: str, method: str, path: str
) -> None:
    assert_refused(ask(guarded, method, path, b"7", node=its_node), 400, 108, "Expected")
