"""What is the same for every endpoint of every dialect, in the dialect's words.

Source  http-dialects.md, "EMQX v2", "EMQX v4 and Cloud"; RFC 9110, 15.5.6
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Process, running_broker
from tests.http.documented import Client, Said
from tests.http.endpoints import (
    ALL,
    BAD_JSON,
    MISSING,
    OTHER_METHOD,
    OTHER_NODE,
    STRANGER,
    WRONG_ROLE,
    WRONG_TYPE,
    Served,
    body_of,
    can_be_wrong,
    each_of,
    find,
    required,
    takes_json,
    wrong_bodies,
    wrong_queries,
)

pytestmark = pytest.mark.plain

NODE = "nanomq@edge"
V2_WORDS = {
    101: "badrpc: nodedown: ",
    107: "params error: ",
    108: "params type error: ",
    109: "Body not json: ",
}
STATUS = {"v2": 200, "v4": 400, "cloud": 400}  # of a request with something wrong in it


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    given = {
        "node.name": NODE,
        "http_server.password": "mine",  # an administrator ends the default one
        "http_server.host": "127.0.0.1",
        "http_server.max_connections_per_address": "64",
    }
    with running_broker(tmp_path_factory.mktemp("every"), **given) as process:
        yield process


@pytest.fixture(scope="module")
def api(broker: Process) -> Client:
    return Client(broker.http_port, "admin:mine")


@pytest.fixture(scope="module")
def viewer(api: Client, broker: Process) -> Client:
    body = {"username": "looks", "password": "on", "role": "viewer"}
    assert api.call("POST", "/api/v2/users", body).json == {"code": 0, "result": []}
    return Client(broker.http_port, "looks:on")


def assert_refused(said: Said, status: int, code: int, text: str = "") -> None:
    assert (said.status, said.json["code"]) == (status, code), said
    assert list(said.json) == ["code", "message"]
    assert text in said.json["message"]


def assert_cannot_be(served: Served, said: Said, code: int, text: str = "") -> None:
    """Assert that a request is refused for what is in it."""
    assert_refused(said, STATUS[served.dialect], code, text)
    if served.dialect == "v2":
        assert said.json["message"].startswith(V2_WORDS[code])


@each_of(STRANGER, [each for each in ALL if not each.endpoint.is_open])
def test_stranger_is_not_let_in(broker: Process, served: Served) -> None:
    said = Client(broker.http_port, "").call(served.endpoint.method, served.concrete(NODE))
    assert_refused(said, 401, 104)
    assert "www-authenticate" in said.headers


@pytest.mark.parametrize("prefix", ["/api/v2", "/api/v4", "/api"])
def test_wrong_login_is_not_let_in(broker: Process, prefix: str) -> None:
    said = Client(broker.http_port, "admin:wrong").get(f"{prefix}/routes")
    assert_refused(said, 401, 103)
    assert "www-authenticate" in said.headers


@each_of(WRONG_ROLE, [each for each in ALL if not each.endpoint.only_reads])
def test_viewer_changes_nothing(viewer: Client, served: Served) -> None:
    said = viewer.call(served.endpoint.method, served.concrete(NODE), b"{")
    assert_refused(said, 403, 103)


@each_of(
    WRONG_ROLE,
    [e for e in ALL if e.endpoint.only_reads and e.endpoint.method == "GET"],
)
def test_viewer_may_read(viewer: Client, served: Served) -> None:
    assert viewer.get(served.concrete(NODE)).status not in (401, 403)


@each_of(BAD_JSON, filter(takes_json, ALL))
def test_body_that_is_no_json_is_109(api: Client, served: Served) -> None:
    bodies = [b"{", b"\xff", b"[" * 10_000]
    if required(served.endpoint.takes.body):
        bodies.append(b"")
    for body in bodies:
        said = api.call(served.endpoint.method, served.concrete(NODE), body)
        assert_cannot_be(served, said, 109, "expected JSON")


@each_of(MISSING, [each for each in ALL if required(each.endpoint.takes.body)])
def test_missing_field_is_107(api: Client, served: Served) -> None:
    whole = body_of(served)
    for name in required(served.endpoint.takes.body):
        without = {key: value for key, value in whole.items() if key != name}
        for body in (without, {**whole, name: None}):
            said = api.call(served.endpoint.method, served.concrete(NODE), body)
            assert_cannot_be(served, said, 107, f"{name}: missing")


@each_of(WRONG_TYPE, filter(can_be_wrong, ALL))
def test_value_of_another_type_is_108(api: Client, served: Served) -> None:
    method, path = served.endpoint.method, served.concrete(NODE)
    bodies = wrong_bodies(served) if takes_json(served) else []
    said = [api.call(method, path, body) for body in bodies]
    said += [
        api.call(method, f"{path}?{query}", body_of(served))
        for query in wrong_queries(served)
    ]
    assert said
    for each in said:
        assert_cannot_be(served, each, 108)


@each_of(OTHER_METHOD, ALL)
def test_other_method_is_405_and_told_those_that_there_are(
    api: Client, served: Served
) -> None:
    said = api.call("PATCH", served.concrete(NODE))
    assert_refused(said, 405, 102)
    assert served.endpoint.method in said.headers["allow"].split(", ")


@each_of(OTHER_NODE, [each for each in ALL if each.has_node])
def test_other_node_is_101(api: Client, served: Served) -> None:
    path = served.concrete("emqx@elsewhere")
    said = api.call(served.endpoint.method, path, body_of(served))
    assert_refused(said, 200 if served.dialect == "v2" else 404, 101, "emqx@elsewhere")
    if served.dialect == "v2":
        assert said.json["message"].startswith(V2_WORDS[101])


@pytest.mark.parametrize("prefix", ["/api/v2", "/api/v4", "/api"])
def test_unknown_path_is_404(api: Client, prefix: str) -> None:
    for path in ("nothing", "brokers/a/b", "clients/a/b/c"):
        assert_refused(api.get(f"{prefix}/{path}"), 404, 102)


def test_endpoint_of_a_path_is_found() -> None:
    found = find("cloud", "GET", "/nodes/n%40h/clients/a%2Fb?x=/")
    assert (found.name, found.prefix) == ("GET /nodes/{node}/clients/{clientid}", "/api")
