"""``/api/v2``: the document's own examples, and every error of the dialect.

Source  emqx-rest-api-v2.txt; http-dialects.md, "EMQX v2"; EMQX 2.3, emqttd_http, emqttd_mgmt
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nanomq_py.http.emqx_v2.dialect import FAMILIES
from tests import plugged
from tests.conftest import Process, StartBroker, running_broker
from tests.http.documented import DOCUMENTS, Client, Example, differences, examples_of_v2
from tests.http.endpoints import find
from tests.raw import CONNACK, PUBACK, PUBLISH, Raw, ack, connect

DOCUMENT = (DOCUMENTS / "emqx-rest-api-v2.txt").read_text()
NODE = "emqx@127.0.0.1"  # of the document
CLIENT = "C_1492145414740"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("plugins")
    plugged.install(folder, "counter", plugged.GOOD)
    plugged.install(folder, "broken", "raise RuntimeError('made up')\n")
    given = {
        "websocket.enable": "true",
        "websocket.url": "nmq-ws://127.0.0.1:0/mqtt",
        "listener.local.url": f"nmq-ipc://{folder}/mqtt.sock",
        "listener.tcp.max_connections": "100",
        "http_server.password": "mine",  # an administrator ends the default one
        "http_server.host": "127.0.0.1",
    }
    environ = {"PYTHONPATH": str(folder)}
    with running_broker(tmp_path_factory.mktemp("v2"), environ, **given) as process:
        yield process


@pytest.fixture(scope="module")
def api(broker: Process) -> Client:
    return Client(broker.http_port, "admin:mine")


@pytest.fixture(scope="module")
def local(api: Client, node: str) -> str:
    """Return the path of the local socket."""
    rows = result(api, f"monitoring/listeners/{node}")
    (path,) = [row["listen"] for row in rows if row["protocol"] == "mqtt:ipc"]
    return str(path)


@pytest.fixture(scope="module")
def node(api: Client) -> str:
    name: str = api.get("/api/v2/management/nodes").json["result"][0]["name"]
    return name


@pytest.fixture
def client(broker: Process) -> Iterator[Raw]:
    """Yield the client of the document, with its subscription."""
    with broker.raw() as raw:
        raw.connect(CLIENT)
        raw.subscribe((f"$client/{CLIENT}", 1), ("test_topic", 0))
        yield raw


def add_user(api: Client, name: str, password: str = "xxxxxx", **more: str) -> None:
    """Add a user, if there is none of that name."""
    body = {"username": name, "password": password, **more}
    assert api.call("POST", "/api/v2/users", body).json["code"] in (0, 113)


@pytest.fixture
def root(api: Client) -> str:
    """Return the name of the user of the document's examples."""
    add_user(api, "root", role="administrator", remark="123", email="admin@emqtt.io")
    return "root"


@pytest.fixture
def viewer(api: Client, broker: Process) -> Client:
    """Return a client whose user may read."""
    add_user(api, "v2-viewer", role="viewer")
    return Client(broker.http_port, "v2-viewer:xxxxxx")


def result(api: Client, path: str) -> Any:
    said = api.get(f"/api/v2/{path}")
    assert (said.status, said.json["code"]) == (200, 0), said
    return said.json["result"]


# --- the document's examples

VALUES = {
    "node_name": NODE,
    "clientid": CLIENT,
    "topic": "test_topic",
    "name": "counter",
    "username": "root",
}
# What an example sends where the document says it only in words, and another new user.
BODIES = {
    "PUT api/v2/nodes/{node_name}/plugins/{name}": {"active": True},
    "POST api/v2/users": {"username": "v2-new"},
}


def shown(method: str, path: str, outcome: str) -> pytest.MarkDecorator:
    """Return the mark of a test that shows what that endpoint does."""
    return find("v2", method, path).shows(outcome)


EXAMPLES = [
    pytest.param(
        each,
        id=str(each),
        marks=shown(each.method, each.path.format(**VALUES)[len("api/v2") :], "success"),
    )
    for each in examples_of_v2(DOCUMENT)
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_answer_is_like_the_documents_example(
    api: Client, client: Raw, node: str, root: str, example: Example
) -> None:
    path = example.path.format(**VALUES).replace(NODE, node)
    if example.path == "api/v2/nodes/{node_name}/plugins/{name}":
        api.call("PUT", path, {"active": False})  # whatever was before
    body = example.request
    if str(example) in BODIES:
        body = (body or {}) | BODIES[str(example)]
    said = api.call(example.method, path, body)
    assert said.status == 200, said
    assert said.headers["content-type"] == "application/json"
    expected = _of_node(example.answer, node)
    assert differences(expected, said.json) == []


def _of_node(example: Any, node: str) -> Any:
    """Return the example with the name of our node in place of the document's."""
    if isinstance(example, dict):
        return {
            key.replace(NODE, node): _of_node(value, node) for key, value in example.items()
        }
    return example


def test_document_has_all_of_its_endpoints_here() -> None:
    here = {(e.method, path) for e in FAMILIES.all() for path in (e.path, *e.also)}
    same = {re.sub(r"{.*?}", "{}", f"{method} {path}") for method, path in here}
    for example in examples_of_v2(DOCUMENT):
        wanted = f"{example.method} {example.path.removeprefix('api/v2')}"
        assert re.sub(r"{.*?}", "{}", wanted) in same


# --- what lists and look-ups say


def test_client_is_as_it_is(api: Client, node: str, broker: Process) -> None:
    with broker.raw() as raw:
        raw.connect("v2-one", user="u", password=b"p", keep_alive=33, clean=False)
        port = raw.sock.getsockname()[1]
        (row,) = result(api, "clients/v2-one")["objects"]
        connected_at = row.pop("connected_at")
        assert row == {
            "client_id": "v2-one", "username": "u", "ipaddress": "127.0.0.1", "port": port,
            "clean_sess": False, "proto_ver": 4, "keepalive": 33,
        }  # fmt: skip
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", connected_at)
        rows = result(api, f"nodes/{node}/clients?page_size=10000")["objects"]
        assert {"connected_at": connected_at, **row} in rows
    # Away with its session kept: no client, but a session.
    with broker.raw() as other:
        other.connect("v2-waits")  # the broker has seen the other one leave by now
    assert result(api, "clients/v2-one") == {"objects": []}
    assert [row["client_id"] for row in result(api, "sessions/v2-one")["objects"]] == [
        "v2-one"
    ]


def test_client_without_a_user_name_has_undefined(api: Client, client: Raw) -> None:
    (row,) = result(api, f"clients/{CLIENT}")["objects"]
    assert row["username"] == "undefined"


def test_client_of_a_local_socket_has_no_address(api: Client, local: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(local)
        sock.sendall(connect("v2-local"))
        assert sock.recv(4)[0] >> 4 == CONNACK
        (row,) = result(api, "clients/v2-local")["objects"]
        assert (row["ipaddress"], row["port"]) == ("undefined", 0)


def test_session_tells_what_waits(api: Client, broker: Process) -> None:
    with broker.raw() as raw:
        raw.connect("v2-slow", clean=False)
        raw.subscribe(("v2/slow", 1))
        for number in range(3):
            api.call(
                "POST",
                "/api/v2/mqtt/publish",
                {"topic": "v2/slow", "qos": 1, "payload": str(number)},
            )
        raw.expect(PUBLISH)  # and no PUBACK
        (row,) = result(api, "sessions/v2-slow")["objects"]
        del row["created_at"]
        assert row["inflight_queue"] + row["message_queue"] == 3
        assert row["max_inflight"] > 0
        assert (row["message_dropped"], row["awaiting_rel"]) == (0, 0)
        assert (row["awaiting_ack"], row["awaiting_comp"]) == ("undefined", "undefined")


def test_pages_are_of_the_size_that_was_asked_for(api: Client, broker: Process) -> None:
    with broker.raw() as raw:
        raw.connect("v2-many")
        raw.subscribe(*((f"v2/many/{n}", n % 3) for n in range(600)))
        (node,) = [each["name"] for each in result(api, "management/nodes")]
        path = f"nodes/{node}/subscriptions?page_size=250&curr_page="
        pages = [result(api, f"{path}{number}") for number in (1, 2, 3, 100)]
        assert [len(page["objects"]) for page in pages[:2]] == [250, 250]
        assert pages[3]["objects"] == []
        total = pages[0]["total_num"]
        assert total >= 600
        for number, page in zip((1, 2, 3, 100), pages, strict=True):
            del page["objects"]
            assert page == {
                "current_page": number,
                "page_size": 250,
                "total_num": total,
                "total_page": -(-total // 250),
            }
        rows = result(api, "subscriptions/v2-many")["objects"]
        assert rows == [
            {"client_id": "v2-many", "topic": f"v2/many/{n}", "qos": n % 3}
            for n in range(600)
        ]


def test_route_of_a_topic_is_found_with_and_without_encoding(
    api: Client, broker: Process, node: str
) -> None:
    with broker.raw() as raw:
        raw.connect("v2-routes")
        raw.subscribe(("v2/r/+/#", 0), ("$share/g/v2/r", 0))
        for path in ("routes/v2/r/+/%23", "routes/v2%2Fr%2F%2B%2F%23"):
            assert result(api, path) == {"objects": [{"topic": "v2/r/+/#", "node": node}]}
        assert result(api, "routes/v2/r") == {"objects": [{"topic": "v2/r", "node": node}]}
        assert result(api, "routes/v2/nobody") == {"objects": []}


@pytest.mark.parametrize("kind", ["clients", "sessions", "subscriptions", "routes"])
def test_look_up_of_what_is_not_there_finds_nothing(api: Client, kind: str) -> None:
    assert result(api, f"{kind}/v2-nobody") == {"objects": []}


# --- publish, subscribe, unsubscribe, kick


def test_client_is_subscribed_and_gets_what_is_published(
    api: Client, broker: Process
) -> None:
    with broker.raw() as raw:
        raw.connect("v2-sub")
        body = {"topic": "v2/sub/+", "client_id": "v2-sub", "qos": 1}
        assert api.call("POST", "/api/v2/mqtt/subscribe", body).json["code"] == 0
        rows = result(api, "subscriptions/v2-sub")["objects"]
        assert rows == [{"client_id": "v2-sub", "topic": "v2/sub/+", "qos": 1}]
        sent = {"topic": "v2/sub/a", "payload": "é", "qos": 1}
        assert api.call("POST", "/api/v2/mqtt/publish", sent).json == {
            "code": 0,
            "result": [],
        }
        got = raw.expect(PUBLISH)
        assert (got.topic, got.payload, got.qos, got.retain) == (
            "v2/sub/a",
            "é".encode(),
            1,
            False,
        )
        body = {"topic": "v2/sub/+", "client_id": "v2-sub"}
        assert api.call("POST", "/api/v2/mqtt/unsubscribe", body).json["code"] == 0
        assert result(api, "subscriptions/v2-sub") == {"objects": []}
        # EMQX does not tell either whether there was one.
        assert api.call("POST", "/api/v2/mqtt/unsubscribe", body).json["code"] == 0


def test_payload_is_optional_and_a_message_can_be_retained(
    api: Client, broker: Process
) -> None:
    body = {"topic": "v2/kept", "payload": "x", "retain": True}
    assert api.call("POST", "/api/v2/mqtt/publish", body).json["code"] == 0
    with broker.raw() as raw:
        raw.connect("v2-late")
        raw.subscribe(("v2/kept", 0))
        assert raw.expect(PUBLISH).payload == b"x"
        assert (
            api.call("POST", "/api/v2/mqtt/publish", {"topic": "v2/kept"}).json["code"] == 0
        )
        assert raw.expect(PUBLISH).payload == b""


def test_metrics_count_what_happens(api: Client, broker: Process, node: str) -> None:
    path = f"monitoring/metrics/{node}"
    before = result(api, path)
    with broker.raw() as raw:
        raw.connect("v2-counted")
        raw.subscribe(("v2/counted", 2))
        raw.publish("v2/counted", b"x", qos=1, packet_id=1)
        assert {raw.read().kind, raw.read().kind} == {PUBACK, PUBLISH}
        raw.send(ack(PUBACK, 77))  # of nothing
        raw.ping()
        now = result(api, path)
        assert result(api, "monitoring/metrics") == {node: now}
    grown = {name: count - before[name] for name, count in now.items()}
    assert {name: count for name, count in grown.items() if name[:5] != "bytes"} == {
        name: COUNTED.get(name, 0) for name in now if name[:5] != "bytes"
    }
    assert grown["bytes/received"] > 0
    assert grown["bytes/sent"] > 0


COUNTED = {
    "packets/puback/received": 1, "packets/puback/missed": 1,
    "packets/connect": 1, "packets/connack": 1, "packets/subscribe": 1, "packets/suback": 1,
    "packets/publish/received": 1, "packets/publish/sent": 1, "packets/puback/sent": 1,
    "packets/pingreq": 1, "packets/pingresp": 1, "packets/received": 5, "packets/sent": 5,
    "messages/received": 1, "messages/sent": 1, "messages/qos1/received": 1,
    "messages/qos1/sent": 1,
}  # fmt: skip


def test_stats_agree_with_the_lists(
    api: Client, broker: Process, node: str, client: Raw
) -> None:
    stats = result(api, f"monitoring/stats/{node}")
    assert result(api, "monitoring/stats") == {node: stats}
    for kind in ("clients", "sessions", "subscriptions"):
        total = result(api, f"nodes/{node}/{kind}")["total_num"]
        assert stats[f"{kind}/count"] == total
        assert stats[f"{kind}/max"] >= total > 0
    assert stats["routes/count"] == result(api, "routes")["total_num"]
    (row,) = result(api, "monitoring/nodes")
    assert row["clients"] == stats["clients/count"]


@pytest.mark.endpoint("v2", "DELETE /clients/{clientid}", "success")
@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "kick_client/v2-out"), ("DELETE", "clients/v2-out")]
)
def test_client_is_kicked(api: Client, broker: Process, method: str, path: str) -> None:
    with broker.raw() as raw:
        raw.connect("v2-out")
        said = api.call(method, f"/api/v2/{path}")
        assert said.json == {"code": 0, "result": []}
        raw.read_until_closed()
    assert result(api, "clients/v2-out") == {"objects": []}


# --- listeners, plugins, the configuration, paths


def test_listeners_are_those_that_are_open(
    api: Client, broker: Process, node: str, client: Raw
) -> None:
    rows = result(api, f"monitoring/listeners/{node}")
    assert result(api, "monitoring/listeners") == {node: rows}
    tcp, ws, local = rows
    assert (tcp["protocol"], tcp["listen"]) == ("mqtt:tcp", f"127.0.0.1:{broker.port}")
    port = broker.ports["websocket.url"]
    assert (ws["protocol"], ws["listen"]) == ("mqtt:ws", f"127.0.0.1:{port}")
    assert local["protocol"] == "mqtt:ipc"
    assert local["listen"].endswith("/mqtt.sock")
    assert (tcp["max_clients"], tcp["current_clients"]) == (100, 1)
    assert ws["max_clients"] > 100
    assert tcp["shutdown_count"] == []


def test_plugin_is_loaded_and_unloaded(api: Client, node: str) -> None:
    path = f"/api/v2/nodes/{node}/plugins/counter"

    def plugins() -> dict[str, Any]:
        return {each["name"]: each for each in result(api, f"nodes/{node}/plugins")}

    api.call("PUT", path, {"active": False})  # whatever was before
    assert plugins()["counter"] == {
        "name": "counter", "version": "1.2", "description": "the counter", "active": False,
    }  # fmt: skip
    assert api.call("PUT", path, {"active": False}).json == {
        "code": 111,
        "message": "not_started",
    }
    assert api.call("PUT", path, {"active": True}).json == {"code": 0, "result": []}
    assert plugins()["counter"]["active"] is True
    assert api.call("PUT", path, {"active": True}).json == {
        "code": 110,
        "message": "already_started",
    }


def test_plugin_that_does_not_start_is_told_why(api: Client, node: str) -> None:
    path = f"/api/v2/nodes/{node}/plugins/broken"
    for _ in range(2):
        said = api.call("PUT", path, {"active": True}).json
        assert (said["code"], "made up" in said["message"]) == (102, True)
        plugins = {each["name"]: each for each in result(api, f"nodes/{node}/plugins")}
        assert plugins["broken"]["active"] is False


def test_configuration_is_told_without_its_secrets(api: Client, node: str) -> None:
    rows = result(api, f"nodes/{node}/configs")
    assert result(api, "configs") == {node: rows}
    by_key = {row["key"]: row for row in rows}
    assert by_key["http_server.port"] == {
        "key": "http_server.port", "value": "0", "datatpye": "integer", "app": "nanomq",
    }  # fmt: skip
    assert by_key["http_server.password"]["value"] == "(hidden)"
    assert by_key["allow_anonymous"]["datatpye"] == "flag"


def test_paths_are_listed(api: Client, broker: Process) -> None:
    paths = result(api, "")["paths"]
    for example in examples_of_v2(DOCUMENT):
        spelled = example.path.replace("plugins/{name}", "plugins/{plugin_name}")
        assert spelled in paths
    open_to_all = Client(broker.http_port, auth="").get("/")
    assert (open_to_all.status, open_to_all.json) == (200, {"paths": paths})


def test_alarms_are_those_that_last(start_broker: StartBroker) -> None:
    constants = {"nanomq_py.alarms_part.LOOK_S": 0.02}
    broker = start_broker(constants=constants, max_connections="1")
    api = Client(broker.http_port)
    (node,) = [each["name"] for each in result(api, "management/nodes")]
    assert result(api, f"nodes/{node}/alarms") == []
    with broker.raw() as first, broker.raw() as second:
        first.connect("v2-first")
        second.read_until_closed()
        broker.waits_for("alarm connections_refused")
        (row,) = result(api, f"nodes/{node}/alarms")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", row.pop("occurred_at"))
    assert "max_connections: 1 so far" in row.pop("summary")
    assert row == {
        "id": "connections_refused", "severity": "warning", "title": "connections refused",
    }  # fmt: skip


def test_status_is_text_for_anybody(broker: Process, node: str) -> None:
    said = Client(broker.http_port, auth="").get("/status")
    assert (said.status, said.text) == (200, f"Node {node} is started\nemqx is running")


def test_message_is_of_the_client_that_it_names(api: Client, broker: Process) -> None:
    with broker.raw(5) as raw:
        raw.connect("v2-own")
        raw.subscribe(("v2/own", 0 | 4))  # No Local (MQTT 5.0, 3.8.3.1)
        body = {"topic": "v2/own", "payload": "mine", "client_id": "v2-own"}
        assert api.call("POST", "/api/v2/mqtt/publish", body).json["code"] == 0
        del body["client_id"]  # it is http then
        body["payload"] = "not mine"
        assert api.call("POST", "/api/v2/mqtt/publish", body).json["code"] == 0
        assert raw.expect(PUBLISH).payload == b"not mine"


@pytest.mark.endpoint("v2", "PUT /clients/{clientid}/clean_acl_cache", "success")
@pytest.mark.endpoint("v2", "DELETE /clean_acl_cache/{clientid}", "success")
@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "clients/v2-cache/clean_acl_cache"), ("DELETE", "clean_acl_cache/v2-cache")],
)
def test_kept_answers_are_dropped(
    api: Client, broker: Process, method: str, path: str
) -> None:
    with broker.raw() as raw:
        raw.connect("v2-cache")
        said = api.call(method, f"/api/v2/{path}", {"topic": "a"})
        assert said.json == {"code": 0, "result": []}


# --- users


def test_users_are_added_changed_and_deleted(api: Client, broker: Process) -> None:
    whole = {"email": "a@b", "role": "viewer", "remark": "r"}
    body = {"username": "v2-u", "password": "one", **whole}
    assert api.call("POST", "/api/v2/users/", body).json == {"code": 0, "result": []}
    row = result(api, "users/v2-u")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", row.pop("created_at"))
    assert row == {"username": "v2-u", **whole}
    mine = Client(broker.http_port, "v2-u:one")
    assert mine.get("/api/v2/users/v2-u").status == 200
    # A role and a password count at once.
    assert mine.call("PUT", "/api/v2/users/v2-u", {"remark": "x"}).status == 403
    change = {"role": "administrator"}
    assert api.call("PUT", "/api/v2/users/v2-u", change).json == {"code": 0, "result": []}
    assert mine.call("PUT", "/api/v2/users/v2-u", {"remark": "x"}).json["code"] == 0
    row = result(api, "users/v2-u")
    assert (row["role"], row["remark"], row["email"]) == ("administrator", "x", "a@b")
    assert row in result(api, "users")
    assert api.call("DELETE", "/api/v2/users/v2-u").json == {"code": 0, "result": []}
    assert mine.get("/api/v2/users").status == 401
    assert not any(each["username"] == "v2-u" for each in result(api, "users"))


def test_user_without_a_role_may_read(api: Client) -> None:
    add_user(api, "v2-plain")
    assert result(api, "users/v2-plain")["role"] == "viewer"


@pytest.mark.endpoint("v2", "PUT /change_pwd/{username}", "success")
@pytest.mark.endpoint("v2", "PUT /mqtt/users/change_pwd", "success")
@pytest.mark.parametrize(
    "path", ["users/change_pwd", "mqtt/users/change_pwd", "change_pwd/"]
)
def test_password_is_changed_by_who_knows_the_old_one(
    api: Client, broker: Process, path: str
) -> None:
    name = f"v2-{path.strip('/').replace('/', '-')}"
    add_user(api, name, "one")
    path = f"/api/v2/{path}{name}" if path.endswith("/") else f"/api/v2/{path}"
    body = {"username": name, "old_pwd": "one", "new_pwd": "two", "confirm_pwd": "two"}
    mine = Client(broker.http_port, f"{name}:one")
    assert mine.get("/api/v2/users").status == 200
    assert mine.call("PUT", path, body).json == {"code": 0, "result": []}  # a viewer's own
    assert mine.get("/api/v2/users").status == 401
    assert Client(broker.http_port, f"{name}:two").get("/api/v2/users").status == 200
    assert api.call("PUT", path, body).json == {"code": 114, "message": "OldPassword error"}
    assert Client(broker.http_port, f"{name}:two").get("/api/v2/users").status == 200


def test_viewer_changes_no_password_but_its_own(viewer: Client, root: str) -> None:
    body = {"old_pwd": "xxxxxx", "new_pwd": "y"}
    said = viewer.call("PUT", f"/api/v2/change_pwd/{root}", body)
    assert (said.status, said.json["code"]) == (403, 103)


@pytest.mark.endpoint("v2", "POST /auth", "success")
@pytest.mark.endpoint("v2", "POST /auth", "103")
@pytest.mark.endpoint("v2", "POST /auth", "104")
def test_login_is_judged_without_one(broker: Process, root: str) -> None:
    stranger = Client(broker.http_port, auth="")
    for name, password, code in (
        ("root", "xxxxxx", 0),
        ("root", "wrong", 103),
        ("v2-nobody", "xxxxxx", 103),
        ("", "xxxxxx", 104),
        ("root", "", 104),
    ):
        body = {"username": name, "password": password}
        said = stranger.call("POST", "/api/v2/auth", body)
        assert (said.status, said.json["code"]) == (200, code)
    assert stranger.call("POST", "/api/v2/auth", body).json["code"] == 104


def test_user_of_the_configuration_is_one_of_them(
    start_broker: StartBroker,
) -> None:
    broker = start_broker(http_server__username="me", http_server__password="mine")
    api = Client(broker.http_port, "me:mine")
    (row,) = result(api, "users")
    assert row == result(api, "users/me")
    assert (row["username"], row["role"]) == ("me", "administrator")
    for method, path, body, code in (
        ("POST", "users", {"username": "me", "password": "x"}, 113),
        ("PUT", "users/me", {"role": "viewer"}, 102),
        ("PUT", "change_pwd/me", {"old_pwd": "mine", "new_pwd": "x"}, 102),
        ("DELETE", "users/me", None, 106),
    ):
        said = api.call(method, f"/api/v2/{path}", body)
        assert (said.status, said.json["code"]) == (200, code), said
    body = {"username": "me", "password": "mine"}
    assert api.call("POST", "/api/v2/auth", body).json == {"code": 0, "result": []}


def test_first_user_of_the_document_takes_the_place_of_the_default_one(
    start_broker: StartBroker,
) -> None:
    (example,) = [e for e in examples_of_v2(DOCUMENT) if str(e) == "POST api/v2/users"]
    api = Client(start_broker().http_port)
    for code in (0, 113):
        assert api.call("POST", "/api/v2/users", example.request).json["code"] == code
    (row,) = result(api, "users")
    del row["created_at"]
    assert row == {k: v for k, v in example.request.items() if k != "password"}


def test_store_that_cannot_be_used_is_102(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    path = tmp_path / "store"
    broker = start_broker(store__path=str(path), http_server__password="mine")
    path.write_bytes(b"no database" * 1000)
    api = Client(broker.http_port, "admin:mine")
    for method, body in (("GET", None), ("POST", {"username": "a", "password": "b"})):
        said = api.call(method, "/api/v2/users", body)
        assert (said.status, said.json["code"]) == (200, 102), said
        assert str(path) in said.json["message"]


def test_administrator_replaces_the_default_password(start_broker: StartBroker) -> None:
    broker = start_broker()
    default = Client(broker.http_port)
    assert [each["username"] for each in result(default, "users")] == ["admin"]
    add_user(default, "boss", role="administrator")
    assert default.get("/api/v2/users").status == 401
    boss = Client(broker.http_port, "boss:xxxxxx")
    assert [each["username"] for each in result(boss, "users")] == ["boss"]
    said = boss.call("DELETE", "/api/v2/users/boss").json
    assert (said["code"], "last administrator" in said["message"]) == (106, True)


# --- errors


@dataclass(frozen=True)
class Case:
    """A request that is refused, and with what."""

    method: str
    path: str
    body: Any
    code: int
    message: str

    def __str__(self) -> str:
        return f"{self.code} {self.method} {self.path}"


NOBODY = "Clientid: v2-nobody"
LONG = "x" * 70_000
REFUSED = [
    Case("PUT", "kick_client/v2-nobody", None, 112, f"{NOBODY} is not online"),
    Case("DELETE", "clients/v2-nobody", None, 112, f"{NOBODY} is not online"),
    Case("POST", "mqtt/publish", {"topic": "a/#"}, 102, "validate topic: a/# fail"),
    Case("POST", "mqtt/publish", {"topic": ""}, 102, "validate topic:  fail"),
    Case("POST", "mqtt/subscribe", {"topic": "a/#/b", "client_id": CLIENT}, 102,
         "validate topic: a/#/b fail"),
    Case("POST", "mqtt/subscribe", {"topic": "a", "client_id": "v2-nobody"}, 102,
         f"{NOBODY} not found"),
    Case("POST", "mqtt/unsubscribe", {"topic": "a#", "client_id": CLIENT}, 102,
         "validate topic: a# fail"),
    Case("POST", "mqtt/unsubscribe", {"topic": "a", "client_id": "v2-nobody"}, 102,
         f"{NOBODY} not found"),
    Case("GET", "routes/a/%23/b", None, 115, "validate topic: a/#/b fail"),
    Case("PUT", "nodes/NODE/plugins/nobody", {"active": True}, 102, "nobody"),
    Case("PUT", "nodes/NODE/plugins/nobody", {"active": False}, 111, "not_started"),
    Case("GET", "users/v2-nobody", None, 105, "User not found"),
    Case("PUT", "users/v2-nobody", {"remark": "x"}, 105, "User not found"),
    Case("DELETE", "users/v2-nobody", None, 105, "User not found"),
    Case("DELETE", "users/admin", None, 106, "admin cannot be deleted"),
    Case("POST", "users", {"username": "root", "password": "x"}, 113, "User already exist"),
    Case("POST", "users", {"username": "", "password": "x"}, 104, "Empty"),
    Case("POST", "users", {"username": "u", "password": ""}, 104, "Empty"),
    Case("POST", "users", {"username": "u", "password": "x" * 2000}, 108, "password"),
    Case("POST", "users", {"username": "u", "password": "x", "role": "king"}, 108, "role: "),
    Case("PUT", "users/root", {"role": "king"}, 108, "role: "),
    Case("PUT", "users/change_pwd", {"username": "root", "old_pwd": "xxxxxx", "new_pwd": "a",
         "confirm_pwd": "b"}, 113, "new_pwd and confirm_pwd"),
    Case("PUT", "users/change_pwd", {"username": "root", "old_pwd": "wrong", "new_pwd": "a",
         "confirm_pwd": "a"}, 114, "OldPassword error"),
    Case("PUT", "users/change_pwd", {"username": "root", "old_pwd": "xxxxxx", "new_pwd": "",
         "confirm_pwd": ""}, 104, "Empty"),
    Case("PUT", "users/change_pwd", {"username": "v2-nobody", "old_pwd": "a", "new_pwd": "b",
         "confirm_pwd": "b"}, 105, "User not"),
    Case("PUT", "mqtt/users/change_pwd", {"username": "root", "old_pwd": "wrong",
         "new_pwd": "a", "confirm_pwd": "a"}, 114, "OldPassword error"),
    Case("PUT", "change_pwd/root", {"old_pwd": "wrong", "new_pwd": "b"}, 114, "OldPassword"),
    Case("PUT", "change_pwd/v2-nobody", {"old_pwd": "a", "new_pwd": "b"}, 105, "User not"),
    Case("PUT", "change_pwd/root", {"old_pwd": "xxxxxx", "new_pwd": ""}, 104, "Empty"),
    Case("PUT", "clients/v2-nobody/clean_acl_cache", {"topic": "a"}, 112, NOBODY),
    Case("DELETE", "clean_acl_cache/v2-nobody", {"topic": "a"}, 112, NOBODY),
    Case("POST", "mqtt/publish", {"topic": "a", "client_id": "x" * 70_000}, 108, "client_id"),
    Case("GET", "nodes/NODE/clients?curr_page=x", None, 108, "curr_page: "),
    Case("GET", "nodes/NODE/sessions?curr_page=0", None, 108, "curr_page: "),
    Case("GET", "nodes/NODE/subscriptions?page_size=0", None, 108, "page_size: "),
    Case("GET", "routes?page_size=10001", None, 108, "page_size: "),
    Case("GET", "clients/a%2", None, 108, "percent-encoded"),
    Case("GET", f"clients/{LONG[:14_000]}", None, 0, ""),
]  # fmt: skip


def refused(case: Case) -> Any:
    marks = (
        []
        if "%2" in case.path
        else [shown(case.method, case.path, str(case.code or "success"))]
    )
    return pytest.param(case, id=str(case)[:80], marks=marks)


@pytest.mark.parametrize("case", [refused(each) for each in REFUSED])
def test_refusal_has_status_200_its_code_and_a_message(
    api: Client, client: Raw, node: str, root: str, case: Case
) -> None:
    said = api.call(case.method, f"/api/v2/{case.path.replace('NODE', node)}", case.body)
    assert (said.status, said.json["code"]) == (200, case.code), said
    assert case.message in said.json.get("message", "")
    if case.code:
        assert list(said.json) == ["code", "message"]


@pytest.mark.parametrize("qos", [3, -1, "1", True, 1.5])
def test_qos_that_cannot_be_is_108(api: Client, qos: object) -> None:
    for path in ("mqtt/publish", "mqtt/subscribe"):
        body = {"topic": "a", "client_id": "v2-x", "qos": qos}
        said = api.call("POST", f"/api/v2/{path}", body)
        assert (said.status, said.json["code"]) == (200, 108)
        assert "qos: " in said.json["message"]
