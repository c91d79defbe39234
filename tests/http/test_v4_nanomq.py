"""What only NanoMQ's v4 has: its configuration, bridges, control, topic tree.

Source  http-dialects.md, "EMQX v4 and Cloud"; NanoMQ's docs/en_US/api/v4.md, whose examples
        are copied here
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from nanomq_py.http.emqx_v4.dialect import FAMILIES
from tests.certs import Certs
from tests.conftest import Process, StartBroker, running_broker
from tests.http.documented import Client, Said, differences
from tests.http.v4 import PREFIXES, assert_refused, call, get

pytestmark = pytest.mark.plain

KEYS = {
    "property_size": "64",
    "auth.1.login": "steve",
    "auth.1.password": "secret-1",
    "auth.http.auth_req.url": "http://127.0.0.1:9/auth",
    "auth.http.auth_req.params": "clientid=%c,token=secret-2",
    "auth.http.auth_req.headers.X-Token": "secret-3",
    "bridge.mqtt.emqx.bridge_mode": "true",
    "bridge.mqtt.emqx.address": "mqtt-tcp://127.0.0.1:1",
    "bridge.mqtt.emqx.username": "edge-4",
    "bridge.mqtt.emqx.password": "secret-4",
    "bridge.mqtt.emqx.forwards": "topic1/#,topic2/#",
    "bridge.mqtt.emqx.subscription.1.topic": "cmd/topic1",
    "bridge.mqtt.emqx.subscription.1.qos": "1",
}


def mark(endpoint: str, outcome: str = "success") -> pytest.MarkDecorator:
    return pytest.mark.endpoint("v4", endpoint, outcome)


def under_both(endpoint: str, outcome: str = "success") -> Any:
    """Run a test with each prefix, of which it shows that."""
    return pytest.mark.parametrize(
        "prefix",
        [
            pytest.param(prefix, marks=pytest.mark.endpoint(dialect, endpoint, outcome))
            for dialect, prefix in zip(("v4", "cloud"), PREFIXES, strict=True)
        ],
    )


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A broker that tests only read from, or change what they put back."""
    with running_broker(tmp_path_factory.mktemp("nano"), **KEYS) as process:
        yield process


def post(broker: Process, path: str, body: object) -> Said:
    return call(broker, "POST", f"/api/v4{path}", body)


# --- reload

HOT = (
    '{"code":0,"data":{"property_size":64,"max_packet_size":3,"client_max_packet_size":5,'
    '"msq_len":2048,"qos_duration":10,"keepalive_backoff":1250,"allow_anonymous":false}}'
)


@under_both("GET /reload")
def test_hot_keys_are_as_in_the_example(nano: Process, prefix: str) -> None:
    said = call(nano, "GET", f"{prefix}/reload")
    expected = json.loads(HOT)
    assert differences(expected["data"], said.json["data"]) == []
    assert said.json["data"]["property_size"] == 64


@mark("POST /reload")
def test_hot_keys_of_the_example_are_in_force_and_in_the_file(
    start_broker: StartBroker,
) -> None:
    broker = start_broker()
    data = json.loads(HOT)["data"]
    said = post(broker, "/reload", {"data": data})
    assert said.json["code"] == 0, said
    assert "max_packet_size" in said.json["data"]["applied"]
    assert get(broker, "/reload")["data"] == data
    assert "max_packet_size=3\n" in broker.conf.read_text()
    with broker.raw() as client:  # allow_anonymous is false now
        assert client.connect("anonymous").reason == 5


# --- configuration

PARTS = [
    "basic",
    "tls",
    "auth",
    "auth_http",
    "websocket",
    "http_server",
    "sqlite",
    "bridge",
]
# NanoMQ's fields, of which this broker has no ipc_internal.
FIELDS = {
    "basic": "url num_taskq_thread max_taskq_thread parallel property_size daemon"
    " max_packet_size client_max_packet_size msq_len qos_duration keepalive_backoff"
    " allow_anonymous",
    "tls": "enable url key_password key cert cacert verify_peer fail_if_no_peer_cert",
    "auth_http": "enable timeout connect_timeout pool_size auth_req acl_req super_req",
    "websocket": "enable url tls_url",
    "http_server": "enable port addr username password auth_type",
    "sqlite": "enable disk_cache_size flush_mem_threshold resend_interval"
    " mounted_file_path",
    "bridge": "nodes",
}


@mark("GET /configuration")
@mark("GET /configuration/{part}")
def test_parts_have_nanomqs_fields(nano: Process) -> None:
    whole = get(nano, "/configuration")["data"]
    assert list(whole) == PARTS
    for part in PARTS:
        assert get(nano, f"/configuration/{part}")["data"] == {part: whole[part]}
    for part, fields in FIELDS.items():
        assert list(whole[part]) == fields.split()
    assert whole["basic"]["property_size"] == 64
    assert whole["auth_http"]["timeout"] == 5
    assert list(whole["auth_http"]["auth_req"]) == ["url", "method", "headers", "params"]


def test_caller_on_the_machine_sees_secrets_unless_they_are_masked(
    start_broker: StartBroker,
) -> None:
    shown = start_broker(**KEYS)
    masked = start_broker(http_server__mask_secrets="always", **KEYS)
    text = call(shown, "GET", "/api/v4/configuration").text
    for number in (1, 3, 4):
        assert f"secret-{number}" in text
    assert "secret-2" not in text  # the value of a parameter
    hidden = call(masked, "GET", "/api/v4/configuration")
    assert "secret-" not in hidden.text
    assert hidden.json["data"]["auth"] == [{"login": "steve", "password": "******"}]
    assert hidden.json["data"]["http_server"]["password"] == "******"
    assert "secret-" not in call(masked, "GET", "/api/v4/bridges").text
    # What was shown can be sent back: a mask leaves a secret alone.
    said = post(masked, "/configuration", {"data": hidden.json["data"]})
    assert said.json == {"code": 0, "data": {"applied": [], "restart": [], "unused": []}}
    assert "secret-4" in masked.conf.read_text()


@mark("POST /configuration")
def test_configuration_that_was_shown_changes_nothing(nano: Process) -> None:
    before = nano.conf.read_text()
    whole = get(nano, "/configuration")["data"]
    said = post(nano, "/configuration", {"data": whole})
    assert said.json == {"code": 0, "data": {"applied": [], "restart": [], "unused": []}}
    assert nano.conf.read_text() == before


@mark("POST /configuration/{part}")
def test_parts_are_changed_at_once(start_broker: StartBroker) -> None:
    broker = start_broker(**KEYS)
    given: dict[str, Any] = {
        "basic": {"qos_duration": 7},
        "auth": [{"login": "steve", "password": "******"}, {"login": "b", "password": "c"}],
        "auth_http": {
            "timeout": 2.5,
            "auth_req": {"headers": {"X-Other": "v"}, "params": ["token", "user=%u"]},
        },
        "websocket": {"enable": True, "url": "nmq-ws://127.0.0.1:0/mqtt"},
        "http_server": {"username": "root"},
        "sqlite": {"disk_cache_size": 5},
    }
    auth = "admin:public"
    for part, values in given.items():
        path = f"/api/v4/configuration/{part}"
        said = call(broker, "POST", path, {"data": {part: values}}, auth)
        assert said.json["code"] == 0, said
        auth = "root:public" if part == "http_server" else auth
    whole = call(broker, "GET", "/api/v4/configuration", auth=auth).json["data"]
    assert whole["basic"]["qos_duration"] == 7
    assert whole["auth"] == [
        {"login": "steve", "password": "secret-1"},
        {"login": "b", "password": "c"},
    ]
    assert whole["auth_http"]["timeout"] == 2.5
    assert whole["auth_http"]["auth_req"]["headers"] == {"X-Other": "v"}
    assert whole["auth_http"]["auth_req"]["params"] == ["token", "user"]
    assert "token=secret-2,user=%u" in broker.conf.read_text()
    assert whole["websocket"]["url"] == "nmq-ws://127.0.0.1:0/mqtt"
    assert whole["sqlite"]["disk_cache_size"] == 5


def test_pem_texts_become_files_beside_the_configuration(
    start_broker: StartBroker, certs: Certs
) -> None:
    broker = start_broker()
    tls = {
        "enable": True,
        "url": "tls+nmq-tcp://127.0.0.1:0",
        "key": certs.server.keyfile.read_text(),
        "cert": certs.server.certfile.read_text(),
    }
    said = post(broker, "/configuration/tls", {"data": {"tls": tls}})
    assert said.json["code"] == 0, said
    told = get(broker, "/configuration/tls")["data"]["tls"]
    assert {name: told[name] for name in tls} == tls
    (key,) = broker.conf.parent.glob("nanomq-key-*.pem")
    assert key.stat().st_mode & 0o777 == 0o600


BRIDGE = {"name": "emqx", "enable": True}
BAD_CONFIGURATIONS: list[tuple[str, Any, int, str]] = [
    ("/reload", b"{", 109, "body: expected JSON"),
    ("/reload", {}, 107, "data: missing"),
    ("/reload", {"data": 1}, 108, "data: "),
    ("/reload", {"data": {"url": "x"}}, 108, "url: unknown key"),
    ("/reload", {"data": {"property_size": "64"}}, 108, "property_size: expected"),
    ("/reload", {"data": {"keepalive_backoff": -1}}, 108, "keepalive_backoff: expected"),
    ("/configuration", b"[]", 108, "Expected `object`"),
    ("/configuration", {}, 107, "data: missing"),
    ("/configuration", {"data": {"webhook": {}}}, 108, "webhook: unknown key"),
    ("/configuration/basic", {"data": {"tls": {}}}, 108, "tls: unknown key"),
    ("/configuration/basic", {"data": {"property_size": 1}}, 108, "property_size: unknown"),
    ("/configuration", {"data": {"basic": []}}, 108, "basic: expected an object"),
    ("/configuration", {"data": {"basic": {"x": 1}}}, 108, "basic.x: unknown key"),
    ("/configuration", {"data": {"basic": {"url": "x"}}}, 108, "basic.url: expected"),
    ("/configuration", {"data": {"tls": {"cert": "x"}}}, 108, "tls.cert: expected"),
    ("/configuration", {"data": {"tls": {"keyfile": "x"}}}, 108, "tls.keyfile: unknown"),
    ("/configuration", {"data": {"auth": {}}}, 108, "auth: expected a list"),
    ("/configuration", {"data": {"auth": [{"login": "a"}]}}, 108, "auth[0].password: "),
    ("/configuration", {"data": {"auth": [1]}}, 108, "auth[0]: expected an object"),
    ("/configuration", {"data": {"auth_http": {"timeout": "5"}}}, 108, "timeout: expected"),
    ("/configuration", {"data": {"auth_http": {"timeout": -1}}}, 108, "timeout: expected"),
    ("/configuration", {"data": {"auth_http": {"pool_size": 0}}}, 108, "pool_size: expec"),
    ("/configuration", {"data": {"auth_http": {"auth_req": {"params": ["a"]}}}}, 108,
     "auth_http.auth_req.params: expected"),
    ("/configuration", {"data": {"auth_http": {"auth_req": {"params": [1]}}}}, 108,
     "auth_http.auth_req.params: expected"),
    ("/configuration", {"data": {"auth_http": {"auth_req": {"headers": {"a b": "c"}}}}},
     108, "headers[0].name: expected"),
    ("/configuration", {"data": {"websocket": {"path": "/x"}}}, 108, "websocket.path: unkn"),
    ("/configuration", {"data": {"http_server": {"port": 70000}}}, 108, "port: expected"),
    ("/configuration", {"data": {"http_server": {"mask_secrets": "never"}}}, 108,
     "http_server.mask_secrets: unknown key"),
    ("/configuration", {"data": {"sqlite": {"resend_interval": 0}}}, 108, "resend_interval"),
    ("/configuration", {"data": {"bridge": {"x": 1}}}, 108, "bridge.x: unknown key"),
    ("/configuration", {"data": {"bridge": {"nodes": {}}}}, 108, "bridge.nodes: expected"),
    ("/configuration", {"data": {"bridge": {"nodes": [{}]}}}, 108, "nodes[0].name: expect"),
    ("/configuration", {"data": {"bridge": {"nodes": [{"name": "a\nurl"}]}}}, 108,
     "nodes[0].name: expected"),
    ("/configuration", {"data": {"bridge": {"nodes": [BRIDGE, BRIDGE]}}}, 108,
     "nodes[1].name: expected each name once"),
]  # fmt: skip


@mark("POST /reload", "108")
@mark("POST /configuration", "108")
@mark("POST /configuration/{part}", "108")
@pytest.mark.parametrize(("path", "body", "code", "text"), BAD_CONFIGURATIONS)
def test_bad_change_is_refused_whole(
    nano: Process, path: str, body: Any, code: int, text: str
) -> None:
    before = nano.conf.read_text()
    assert_refused(post(nano, path, body), 400, code, text)
    assert nano.conf.read_text() == before


@mark("GET /configuration/{part}", "101")
@mark("POST /configuration/{part}", "101")
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_unknown_part_is_not_found(nano: Process, method: str) -> None:
    said = call(nano, method, "/api/v4/configuration/foo", {"data": {}})
    assert_refused(said, 404, 101, "'foo': expected one of basic, tls")


# --- config_update

TEXT = "url=nmq-tcp://127.0.0.1:0\nwebsocket.enable=false\nhttp_server.port=0\n"


@mark("POST /config_update")
def test_text_takes_the_place_of_the_file(start_broker: StartBroker) -> None:
    broker = start_broker()
    text = broker.conf.read_text() + "# by hand\nmsq_len=9\n"
    said = post(broker, "/config_update", text.encode())
    assert (said.status, said.json["code"]) == (200, 0)
    assert said.json["data"]["applied"] == ["msq_len"]
    assert broker.conf.read_text() == text
    assert get(broker, "/reload")["data"]["msq_len"] == 9


@mark("POST /config_update")
def test_text_of_the_nested_form_is_taken(start_broker: StartBroker) -> None:
    broker = start_broker()
    text = (
        "mqtt { max_mqueue_len = 2048, retry_interval = 10s }\n"
        f'listeners.tcp {{ bind = "127.0.0.1:{broker.port}" }}\n'
        "http_server { port = 0 }\n"
    )
    assert post(broker, "/config_update", text.encode()).json["code"] == 0
    assert get(broker, "/reload")["data"]["qos_duration"] == 10


@mark("POST /config_update", "117")
@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "expected the text of a configuration"),
        (b" \n", "expected the text of a configuration"),
        (b"\xff", "body: expected UTF-8"),
        (b"a\0b", "zero byte"),
        (b"# one\nurl=nowhere\n", "nanomq.conf:2: url"),
        (b"mqtt {\n", "nanomq.conf:"),
        (b'"data": {', "nanomq.conf:"),
    ],
)
def test_text_that_is_no_configuration_is_117(
    nano: Process, body: bytes, text: str
) -> None:
    before = nano.conf.read_text()
    assert_refused(post(nano, "/config_update", body), 400, 117, text)
    assert nano.conf.read_text() == before


def test_text_that_is_too_long_is_refused(nano: Process) -> None:
    said = post(nano, "/config_update", b"#" * ((1 << 20) + 1))
    assert_refused(said, 400, 108, "larger than 1 MiB")


@mark("POST /config_update", "118")
def test_text_that_cannot_be_written_is_118(start_broker: StartBroker) -> None:
    broker = start_broker()
    text = broker.conf.read_text()
    broker.conf.write_text(text + "# by another hand\n")
    said = post(broker, "/config_update", (text + "msq_len=9\n").encode())
    assert_refused(said, 500, 118, "changed on disk since it was read")
    assert broker.conf.read_text() == text + "# by another hand\n"
    assert get(broker, "/reload")["data"]["msq_len"] != 9


def test_broker_without_a_file_writes_none(start_broker: StartBroker) -> None:
    environ = {
        "NANOMQ_URL": "nmq-tcp://127.0.0.1:0",
        "NANOMQ_WEBSOCKET__ENABLE": "false",
        "NANOMQ_HTTP_SERVER__PORT": "0",
    }
    broker = start_broker(environ, with_conf=False)
    said = post(broker, "/config_update", TEXT.encode())
    assert_refused(said, 500, 118, "without a configuration file")


# --- bridges


NODES = {
    "bridge": {
        "nodes": [
            {
                "name": "emqx", "enable": True, "parallel": 2,
                "connector": {
                    "server": "mqtt-tcp://127.0.0.1:1", "proto_ver": 4,
                    "clientid": f"nanomq@{socket.gethostname()}-emqx",
                    "clean_start": True, "username": "edge-4", "password": "secret-4",
                    "keepalive": 60,
                },
                "forwards": ["topic1/#", "topic2/#"],
                "subscription": [
                    {
                        "remote_topic": "cmd/topic1", "local_topic": "cmd/topic1",
                        "topic": "cmd/topic1", "qos": 1,
                    }
                ],
            }
        ]
    }
}  # fmt: skip


@mark("GET /bridges")
@mark("GET /bridges/{name}")
def test_bridges_are_those_of_the_configuration(nano: Process) -> None:
    assert get(nano, "/configuration/bridge")["data"] == NODES
    for path in ("/bridges", "/bridges/", "/bridges/emqx"):
        (node,) = get(nano, path)["data"]["bridge"]["nodes"]
        status = node.pop("status")
        assert [node] == NODES["bridge"]["nodes"]
        assert status["state"] in ("connecting", "waiting")
        assert (status["address"], status["waiting"]) == ("mqtt-tcp://127.0.0.1:1", 0)
    assert get(nano, "/bridges/other")["data"] == {"bridge": {"nodes": []}}


# NanoMQ's example, and a topic that changes on its way.
PUT = {
    "emqx": {
        "name": "emqx", "enable": False, "parallel": 8,
        "server": "mqtt-tcp://broker.emqx.io:1883", "proto_ver": 4, "clientid": "hello3",
        "clean_start": True, "username": "emqx", "password": "emqx123", "keepalive": 60,
        "forwards": [
            {"remote_topic": "fwd/topic1", "local_topic": "fwd/topic1"},
            {"remote_topic": "fwd/topic2", "local_topic": "topic2", "qos": 1},
        ],
        "subscription": [
            {"remote_topic": "cmd/topic1", "local_topic": "topic3", "qos": 1},
            {"topic": "cmd/topic3", "qos": 2},
        ],
    }
}  # fmt: skip


@mark("PUT /bridges/{name}")
def test_bridge_is_changed_in_the_file(start_broker: StartBroker) -> None:
    broker = start_broker(**KEYS)
    said = call(broker, "PUT", "/api/v4/bridges/emqx", PUT)
    assert said.json["code"] == 0, said
    assert "bridge.mqtt.emqx.address" in said.json["data"]["applied"]
    assert said.json["data"]["unused"] == ["bridge.mqtt.emqx.parallel"]
    (node,) = get(broker, "/bridges/emqx")["data"]["bridge"]["nodes"]
    given = PUT["emqx"]
    assert (node["enable"], node["parallel"]) == (False, 8)
    for name, value in node["connector"].items():
        assert value == given[name]
    assert node["forwards"] == [
        "fwd/topic1",
        {"local_topic": "topic2", "remote_topic": "fwd/topic2", "qos": 1},
    ]
    assert [
        (each["topic"], each["local_topic"], each["qos"]) for each in node["subscription"]
    ] == [("cmd/topic1", "topic3", 1), ("cmd/topic3", "cmd/topic3", 2)]
    # What is shown is understood, in the form of data too, and a mask is no password.
    node["connector"]["password"] = "******"
    said = call(broker, "PUT", "/api/v4/bridges/emqx", {"data": node})
    assert said.json == {"code": 0, "data": {"applied": [], "restart": [], "unused": []}}
    assert "bridge.mqtt.emqx.password=emqx123" in broker.conf.read_text()


@mark("PUT /bridges/{name}", "108")
@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        (b"{", 109, "body: expected JSON"),
        (b"[]", 108, "Expected `object`"),
        ({}, 108, "emqx: expected an object"),
        ({"other": {}}, 108, "emqx: expected an object"),
        ({"emqx": 1}, 108, "emqx: expected an object"),
        ({"emqx": {"name": "other"}}, 108, "emqx.name: expected 'emqx'"),
        ({"emqx": {"enable": 1}}, 108, "emqx.bridge_mode: expected"),
        ({"emqx": {"server": "x"}}, 108, "emqx.address: expected"),
        ({"emqx": {"connector": []}}, 108, "emqx.connector: expected an object"),
        ({"emqx": {"connector": {"keepalive": -1}}}, 108, "emqx.keepalive: expected"),
        ({"emqx": {"sub_properties": {"identifier": 1}}}, 108, "sub_properties: unknown"),
        ({"emqx": {"tls": {"enable": True, "x": 1}}}, 108, "emqx.ssl.x: unknown key"),
        ({"emqx": {"forwards": "a"}}, 108, "emqx.forwards: expected a list"),
        ({"emqx": {"forwards": [{"qos": 1}]}}, 108, "emqx.forwards[0]: expected local"),
        ({"emqx": {"forwards": ["a/#/b"]}}, 108, "emqx.forwards: expected topic filters"),
        ({"emqx": {"forwards": [{"topic": "a", "x": 1}]}}, 108, "forward[0].x: unknown"),
        ({"emqx": {"subscription": [{"qos": 1}]}}, 108, "subscription[0]: expected remote"),
        (
            {"emqx": {"forwards": [{"local_topic": "+/x/#", "remote_topic": "#"}]}},
            108,
            "bridge.mqtt.emqx.forward.1.remote_topic='#': expected one topic, or",
        ),
        ({"emqx": {"proto_ver": 3}}, 108, "emqx.proto_ver=3: expected 4 or 5"),
        ({"emqx": {"subscription": [{"topic": "a", "qos": 3}]}}, 108, "qos: expected"),
    ],
)  # fmt: skip
def test_bad_bridge_is_refused(nano: Process, body: Any, code: int, text: str) -> None:
    said = call(nano, "PUT", "/api/v4/bridges/emqx", body)
    assert_refused(said, 400, code, text)
    assert get(nano, "/configuration/bridge")["data"] == NODES


SUBSCRIBE = {"data": {"subscription": [{"remote_topic": "cmd/topic4", "qos": 1}]}}
UNSUBSCRIBE = {"data": {"unsubscription": [{"topic": "cmd/topic1"}]}}
SWITCH = {"data": {"bridge_switch": False}}
RUNNING = [("sub", SUBSCRIBE), ("unsub", UNSUBSCRIBE), ("switch", SWITCH)]


@mark("POST /bridges/sub/{name}", "108")
@mark("PUT /bridges/sub/{name}", "108")
@mark("POST /bridges/unsub/{name}", "108")
@mark("PUT /bridges/unsub/{name}", "108")
@mark("POST /bridges/switch/{name}", "108")
@mark("PUT /bridges/switch/{name}", "108")
@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(("action", "body"), RUNNING)
def test_action_that_cannot_be_is_refused(
    nano: Process, method: str, action: str, body: object
) -> None:
    path = f"/api/v4/bridges/{action}"
    assert_refused(call(nano, method, f"{path}/other", body), 404, 108, "no bridge 'other'")
    assert_refused(call(nano, method, f"{path}/emqx", {}), 400, 107, "data: missing")
    assert_refused(call(nano, method, f"{path}/emqx", {"data": {}}), 400, 107, "missing")
    assert_refused(call(nano, method, f"{path}/emqx", b"{"), 400, 109, "expected JSON")
    assert get(nano, "/configuration/bridge")["data"] == NODES


@mark("POST /bridges/sub/{name}")
@mark("PUT /bridges/sub/{name}")
@mark("POST /bridges/unsub/{name}")
@mark("PUT /bridges/unsub/{name}")
@mark("POST /bridges/switch/{name}")
@mark("PUT /bridges/switch/{name}")
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_actions_change_the_configuration(start_broker: StartBroker, method: str) -> None:
    broker = start_broker(**KEYS)

    def act(action: str, body: object) -> dict[str, Any]:
        said = call(broker, method, f"/api/v4/bridges/{action}/emqx", body)
        assert (said.status, said.json["code"]) == (200, 0), said
        (node,) = get(broker, "/bridges/emqx")["data"]["bridge"]["nodes"]
        assert isinstance(node, dict)
        return node

    topics = [(s["topic"], s["qos"]) for s in act("sub", SUBSCRIBE)["subscription"]]
    assert topics == [("cmd/topic1", 1), ("cmd/topic4", 1)]
    topics = [(s["topic"], s["qos"]) for s in act("unsub", UNSUBSCRIBE)["subscription"]]
    assert topics == [("cmd/topic4", 1)]
    said = call(broker, method, "/api/v4/bridges/unsub/emqx", UNSUBSCRIBE)
    assert_refused(said, 404, 108, "emqx: it does not subscribe to 'cmd/topic1'")
    node = act("switch", SWITCH)
    assert (node["status"]["state"], node["others"]) == ("paused", {"paused": True})
    node = act("switch", {"data": {"bridge_switch": True}})
    assert node["status"]["state"] in ("connecting", "waiting")
    assert "others" not in node


@mark("POST /bridges")
@mark("DELETE /bridges/{name}")
def test_bridge_is_added_and_ended(start_broker: StartBroker) -> None:
    broker = start_broker()
    new = {
        "name": "cloud",
        "server": "mqtt-tcp://127.0.0.1:1",
        "forwards": [{"local_topic": "a/#", "remote_topic": "b/#"}],
        "will": {"topic": "gone", "qos": 1},
        "ssl": {"enable": False},
    }
    said = post(broker, "/bridges", new)
    assert said.json["code"] == 0, said
    (node,) = get(broker, "/bridges")["data"]["bridge"]["nodes"]
    assert (node["name"], node["enable"]) == ("cloud", True)
    assert node["forwards"] == [{"local_topic": "a/#", "remote_topic": "b/#"}]
    assert node["others"] == {"will.topic": "gone", "will.qos": 1}
    assert_refused(post(broker, "/bridges", new), 409, 108, "there is a bridge 'cloud'")
    loop = {
        "name": "back",
        "server": "mqtt-tcp://127.0.0.1:1",
        "subscription": [{"remote_topic": "b/#", "local_topic": "a/#"}],
    }
    text = (
        "bridge.mqtt.cloud.forward.1: 'a/#' goes there, and bridge.mqtt.back.subscription.1:"
        " 'b/#' brings it back, again and again: expected one bridge for both"
    )
    assert_refused(post(broker, "/bridges", loop), 400, 108, text)
    assert call(broker, "DELETE", "/api/v4/bridges/cloud").json["code"] == 0
    assert get(broker, "/bridges")["data"] == {"bridge": {"nodes": []}}
    said = call(broker, "DELETE", "/api/v4/bridges/cloud")
    assert_refused(said, 404, 108, "there is no bridge 'cloud'")


@mark("POST /bridges", "108")
@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "name: expected a name that matches"),
        ({"name": "a b"}, "name: expected a name that matches"),
        ({"data": 1}, "data: expected an object"),
        ({"name": "b", "x": 1}, "b.x: unknown key"),
        ({"name": "b", "server": "mqtt-quic://h:1"}, "QUIC is not spoken here"),
    ],
)
def test_bridge_that_cannot_be_is_not_added(nano: Process, body: Any, text: str) -> None:
    assert_refused(post(nano, "/bridges", body), 400, 108, text)
    assert get(nano, "/configuration/bridge")["data"] == NODES


def test_bridge_that_is_not_there_is_not_changed(nano: Process) -> None:
    said = call(nano, "PUT", "/api/v4/bridges/other", {"other": {}})
    assert_refused(said, 404, 108, "there is no bridge 'other'")


# --- control and tree


@mark("POST /ctrl/{action}")
def test_stop_is_answered_first(start_broker: StartBroker) -> None:
    broker = start_broker()
    said = post(broker, "/ctrl/stop", None)
    assert (said.status, said.json) == (200, {"code": 0})
    assert broker.ends() == 0


@mark("POST /ctrl/{action}")
def test_restart_keeps_the_port_and_retained_messages(start_broker: StartBroker) -> None:
    broker = start_broker()
    kept = {"topic": "kept", "payload": "x", "retain": True}
    assert post(broker, "/mqtt/publish", kept).json == {"code": 0}
    said = post(broker, "/ctrl/restart", None)
    assert (said.status, said.json) == (200, {"code": 0})
    broker.waits_for("nanomq: stopped")  # who comes from here on waits for the next process
    with broker.raw() as client:  # its socket is open all the time
        client.connect("after")
        client.subscribe(("kept", 0))
        assert client.expect(3).payload == b"x"


@mark("POST /ctrl/{action}", "101")
def test_other_action_is_not_found(nano: Process) -> None:
    assert_refused(post(nano, "/ctrl/reload", None), 404, 101, "expected stop or restart")


@mark("POST /ctrl/{action}", "108")
def test_restart_that_would_fail_is_refused(start_broker: StartBroker) -> None:
    broker = start_broker()
    broker.conf.write_text("url=nowhere\n")
    assert_refused(post(broker, "/ctrl/restart", None), 400, 108, "nanomq.conf:1: url")


@under_both("GET /topic-tree")
def test_tree_is_that_of_the_filters(nano: Process, prefix: str, name: str) -> None:
    with nano.raw() as client:
        client.connect(name)
        client.subscribe((f"{name}/123/456", 0), (name, 1))
        said = call(nano, "GET", f"{prefix}/topic-tree").json
    assert list(said) == ["data", "code"]
    root, first, second, third = said["data"]
    assert root == [{"topic": "", "cld_cnt": 1, "clientid": []}]
    assert first == [{"topic": name, "cld_cnt": 1, "clientid": [name]}]
    assert second == [{"topic": "123", "cld_cnt": 1, "clientid": []}]
    assert third == [{"topic": "456", "cld_cnt": 0, "clientid": [name]}]


# --- the list of endpoints, and who may call them


@mark("GET /")
@pytest.mark.parametrize("path", ["/api/v4", "/api/v4/", "/api"])
def test_endpoints_are_listed(nano: Process, path: str) -> None:
    said = call(nano, "GET", path)
    assert said.json["code"] == 0
    rows = said.json["data"]
    assert {tuple(row) for row in rows} == {("path", "name", "method", "descr")}
    listed = {(row["method"], row["path"]) for row in rows}
    assert {("GET", "/clients/:clientid"), ("POST", "/ctrl/:action")} <= listed
    assert len(rows) == sum(1 + len(each.also) for each in FAMILIES.all())


OURS = [
    ("GET", "/reload"), ("POST", "/reload"), ("GET", "/configuration"),
    ("POST", "/configuration/basic"), ("POST", "/config_update"), ("POST", "/ctrl/stop"),
    ("GET", "/bridges"), ("PUT", "/bridges/emqx"), ("POST", "/bridges/sub/emqx"),
    ("GET", "/topic-tree"), ("GET", "/"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), OURS)
def test_stranger_is_not_let_in(nano: Process, method: str, path: str) -> None:
    said = Client(nano.http_port, auth="").call(method, f"/api/v4{path}")
    assert_refused(said, 401, 104)
    said = Client(nano.http_port, auth="admin:wrong").call(method, f"/api/v4{path}")
    assert_refused(said, 401, 103)


@mark("GET /configuration", "wrong role")
def test_viewer_reads_masked_and_changes_nothing(start_broker: StartBroker) -> None:
    broker = start_broker(http_server__mask_secrets="never", **KEYS)
    admin = {"username": "root", "password": "root's", "role": "administrator"}
    viewer = {"username": "vic", "password": "vic's", "role": "viewer"}
    for user in (viewer, admin):
        assert call(broker, "POST", "/api/v2/users", user).json["code"] == 0
    vic = Client(broker.http_port, "vic:vic's")
    for path in ("/configuration", "/bridges"):
        assert "secret-" in call(broker, "GET", f"/api/v4{path}", auth="root:root's").text
        said = vic.get(f"/api/v4{path}")
        assert (said.status, "secret-" in said.text) == (200, False)
    for method, path in OURS:
        if method != "GET":
            assert_refused(vic.call(method, f"/api/v4{path}"), 403, 103)
