"""Requests 10, 11 and 12 of ``/api/v1``: the document's own calls, and every refusal."""

from __future__ import annotations

import json
import re
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nanomq_py.config import Config, parse
from nanomq_py.config.keys.bridges import Bridge
from nanomq_py.config.keys.http_server import HttpServer
from nanomq_py.config.keys.listeners import Tls
from nanomq_py.http.errors import BadRequest
from nanomq_py.http.guard import BasicGuard
from nanomq_py.http.pem import PemFiles
from nanomq_py.http.v1.config import from_json, to_json
from nanomq_py.http.values import MASK
from tests.certs import PASSWORD, Certs
from tests.conftest import FOREIGN_ENV, Process, StartBroker, free_port
from tests.http.test_v1 import FakeProcess, app_of, post
from tests.raw import Raw
from tests.samples import SAMPLES

pytestmark = pytest.mark.plain

# As printed, but for the ports, which the test picks free.
DOCUMENT_11 = """\
curl --location --request GET 'http://localhost:8081/api/v1' \\
--header 'Authorization: Basic YWRtaW46cHVibGlj' \\
--header 'Content-Type: application/json' \\
--data-raw '{
    "req": 11,
    "seq": 9999
}'
"""
DOCUMENT_12 = """\
curl --location --request POST 'http://localhost:8081/api/v1' \\
--header 'Authorization: Basic YWRtaW46cHVibGlj' \\
--header 'Content-Type: application/json' \\
--data-raw '{
    "req": 12,
    "seq": 111,
    "data": {
        "url": "nmq-tcp://0.0.0.0:1883",
        "num_taskq_thread": 10,
        "max_taskq_thread": 10,
        "parallel": 10,
        "property_size": 32,
        "msq_len": 64,
        "allow_anonymous": true,
        "daemon": false,
        "tls": {
            "enable": false,
            "url": "tls+nmq-tcp://0.0.0.0:8883",
            "key_password": null,
            "key": null,
            "cert": null,
            "cacert": null,
            "verify_peer": false,
            "fail_if_no_peer_cert": false
        },
        "websocket": {
            "enable": true,
            "url": "nmq-ws://0.0.0.0:8083/mqtt",
            "tls_url": "nmq-wss://0.0.0.0:8084/mqtt"
        },
        "http_server": {
            "enable": true,
            "port": 8081,
            "username": "admin",
            "password": "public"
        },
        "bridge": {
            "bridge_mode": true,
            "address": "mqtt-tcp://broker.emqx.io:1883",
            "proto_ver": 4,
            "clientid": "bridge_client",
            "clean_start": true,
            "username": "username",
            "password": "passwd",
            "keepalive": 60,
            "parallel": 2,
            "forwards": [
                "topic1/#",
                "topic2/#"
            ],
            "subscription": [
                {
                    "topic": "cmd/topic1",
                    "qos": 1
                },
                {
                    "topic": "cmd/topic2",
                    "qos": 2
                }
            ]
        }
    }
}'
"""


def shell(line: str, ports: dict[str, int]) -> Any:
    """Run one of the document's lines with other ports; return the answer."""
    for port, other in ports.items():
        line = re.sub(rf'(localhost|0\.0\.0\.0|"port"): ?{port}\b', rf"\1:{other}", line)
    done = subprocess.run(
        ["bash", "-c", line.replace("curl ", "curl -s ", 1)],
        capture_output=True, text=True, check=True, timeout=20, env=FOREIGN_ENV,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_documents_calls_of_11_and_12(start_broker: StartBroker) -> None:
    http = free_port()
    start_broker(http_server__port=str(http))
    ports = {"8081": http, "1883": free_port(), "8083": free_port()}
    before = shell(DOCUMENT_11, ports)
    assert (before["code"], before["seq"], before["rep"]) == (0, 9999, 11)
    answer = shell(DOCUMENT_12, ports)
    assert (answer["code"], answer["seq"], answer["rep"]) == (0, 111, 12)
    assert answer["data"]["restart"] == ["num_taskq_thread", "max_taskq_thread"]
    assert {"url", "msq_len", "websocket.enable"} <= set(answer["data"]["applied"])
    after = shell(DOCUMENT_11, ports)["data"]
    wanted = json.loads(DOCUMENT_12[DOCUMENT_12.index("{") : -2])["data"]
    for name, value in wanted.items():
        if name in ("url", "websocket", "http_server"):
            continue  # its port is another
        if isinstance(value, dict):
            value = after[name] | {k: v for k, v in value.items() if v is not None}
        assert after[name] == value
    with Raw(ports["1883"], 5) as c:
        c.connect("c")


def test_11_12_11_is_the_identity_and_leaves_the_file(
    start_broker: StartBroker, certs: Certs
) -> None:
    process = start_broker(
        tls__enable="true",
        tls__url="tls+nmq-tcp://127.0.0.1:0",
        tls__certfile=str(certs.server.certfile),
        tls__keyfile=str(certs.server.keyfile),
        tls__cacertfile=str(certs.ca.certfile),
        bridge__mqtt__b__address="mqtt-tcp://127.0.0.1:1",
    )
    text = process.conf.read_text()
    before = process.api(req=11).json["data"]
    assert before["tls"]["key"] == certs.server.keyfile.read_text()
    got = process.api(req=12, data=before)
    assert got.json["data"] == {
        "applied": [], "restart": [], "unused": [], "saved": True,
    }  # fmt: skip
    assert process.api(req=11).json["data"] == before
    assert process.conf.read_text() == text
    assert [path.name for path in process.conf.parent.glob("*.pem")] == []


def test_pem_texts_become_files_of_the_owner(
    start_broker: StartBroker, certs: Certs
) -> None:
    process = start_broker(tls__url="tls+nmq-tcp://127.0.0.1:0")

    def put(identity: Any) -> set[str]:
        tls = {
            "enable": True,
            "key": identity.keyfile.read_text(),
            "cert": identity.certfile.read_text(),
        }
        got = process.api(req=12, data={"tls": tls})
        assert got.status == 200, got
        told = process.api(req=11).json["data"]["tls"]
        assert {name: told[name] for name in tls} == tls
        return {path.name for path in process.conf.parent.glob("*.pem")}

    first = put(certs.server)
    assert len(first) == 2
    for name in first:
        assert (process.conf.parent / name).stat().st_mode & 0o777 == 0o600
    assert put(certs.client) > first  # the .bak still needs the first
    third = put(certs.server)
    assert third > first
    got = process.api(req=12, data={"tls": {"key": certs.client.keyfile.read_text()}})
    assert (got.status, "does not belong" in got.json["message"]) == (400, True)
    assert {path.name for path in process.conf.parent.glob("*.pem")} == third


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"no_such": 1}, "no_such: unknown key"),
        ({"tls": {"no_such": 1}}, "tls.no_such: unknown key"),
        ({"msq_len": "64"}, "msq_len: expected a whole number"),
        ({"msq_len": 0}, "msq_len: expected a whole number from 1 to 65535"),
        ({"msq_len": True}, "msq_len: expected a whole number"),
        ({"msq_len": 1.5}, "msq_len: expected a whole number"),
        ({"msq_len": 1 << 70}, "msq_len: expected"),
        ({"allow_anonymous": 1}, "allow_anonymous: expected true or false"),
        ({"url": "http://h:1"}, "url: expected a URL nmq-tcp://HOST:PORT"),
        ({"url": ["x"]}, "url: expected a URL"),
        ({"tls": []}, "tls: expected an object"),
        ({"tls": {"key": "no PEM"}}, "tls.key: expected the text of a PEM file"),
        ({"tls": {"key": 5}}, "tls.key: expected the text of a PEM file"),
        (
            {"http_server": {"auth_type": "none"}},
            "http_server.auth_type: expected basic or",
        ),
        (
            {"http_server": {"username": ""}},
            "http_server.username: expected a text that is not empty",
        ),
        (
            {"http_server": {"password": ""}},
            "http_server.password: expected a text that is",
        ),
        ({"http_server": {"port": 65536}}, "http_server.port: expected a whole number"),
        ({"bridge": {"name": "x"}}, "bridge.name: unknown key"),
        ({"bridge": {"forwards": "a"}}, "bridge.forwards: expected topic filters"),
        ({"bridge": {"forwards": ["a,b"]}}, "bridge.forwards: expected topic filters"),
        (
            {"bridge": {"subscription": [{"qos": 1}]}},
            "bridge.subscription[0].topic: expected",
        ),
        ({"bridge": {"subscription": [{"topic": "a", "qos": 3}]}}, "[0].qos: expected"),
        ({"bridge": {"subscription": {}}}, "bridge.subscription: expected a list"),
    ],
)
def test_wrong_value_refuses_the_whole_and_names_the_key(
    broker: Process, data: dict[str, Any], says: str
) -> None:
    text = broker.conf.read_text()
    got = broker.api(req=12, data={"qos_duration": 9, **data})
    assert (got.status, got.json["code"], got.json["rep"]) == (400, 108, 12)
    assert says in got.json["message"]
    assert broker.conf.read_text() == text
    assert broker.api(req=11).json["data"]["qos_duration"] == 60


SECRETS = Config(
    tls=Tls(key_password="tls-secret"),
    http_server=HttpServer(password="api-secret"),
    bridges=(Bridge(name="b", password="bridge-secret"),),
)


def shown(peer: str, url: str = "http://h/api/v1", mode: str = "auto") -> set[str]:
    """Return the secrets that request 11 of that peer is answered with."""
    config = replace(SECRETS, http_server=replace(SECRETS.http_server, mask_secrets=mode))
    client = app_of(config=config, guard=BasicGuard("admin", "public"), peer=peer)
    answer = client.post(url, content='{"req":11,"seq":1}', auth=("admin", "public"))
    data = answer.json()["data"]
    passwords = data["tls"]["key_password"], data["http_server"]["password"]
    return {*passwords, data["bridge"]["password"]}


ALL_SECRETS = {"tls-secret", "api-secret", "bridge-secret"}


def test_secrets_cross_the_network_under_tls_only() -> None:
    for loopback in ("127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"):
        assert shown(loopback) == ALL_SECRETS
    for machine in ("192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "nowhere", ""):
        assert shown(machine) == {MASK}
        assert shown(machine, "https://h/api/v1") == ALL_SECRETS
        assert shown(machine, mode="never") == ALL_SECRETS
    assert shown("127.0.0.1", "https://h/api/v1", mode="always") == {MASK}


def test_masked_answer_has_the_same_shape() -> None:
    def shape(value: Any) -> Any:
        if isinstance(value, dict):
            return [(name, shape(part)) for name, part in value.items()]
        return type(value)

    for config in (SECRETS, Config()):
        assert shape(to_json(config, masked=True)) == shape(to_json(config))


def test_reading_masked_and_writing_back_destroys_no_secret(
    start_broker: StartBroker, certs: Certs
) -> None:
    process = start_broker(
        tls__enable="true",
        tls__url="tls+nmq-tcp://127.0.0.1:0",
        tls__certfile=str(certs.locked.certfile),
        tls__keyfile=str(certs.locked.keyfile),
        tls__key_password=PASSWORD,
        bridge__mqtt__b__password="bridge-secret",
        http_server__mask_secrets="always",
    )
    text = process.conf.read_text()
    masked = process.api(req=11).json["data"]
    assert masked["tls"]["cert"] == certs.locked.certfile.read_text()
    for name in ("bridge-secret", PASSWORD, "PRIVATE KEY", '"public"'):
        assert name not in json.dumps(masked)
    assert masked["tls"]["key"] == masked["bridge"]["password"] == MASK
    masked["msq_len"] = 77
    got = process.api(req=12, data=masked)
    assert got.json["data"]["applied"] == ["msq_len"]
    assert process.conf.read_text() == text + "msq_len=77\n"
    process.set_keys(http_server__mask_secrets="never")
    assert process.api(req=10, action="reload").status == 200
    after = process.api(req=11).json["data"]
    assert after["tls"]["key"] == certs.locked.keyfile.read_text()
    assert after["tls"]["key_password"] == PASSWORD
    assert (after["http_server"]["password"], after["bridge"]["password"]) == (
        "public", "bridge-secret",
    )  # fmt: skip


def test_reading_the_configuration_leaves_an_audit_line(start_broker: StartBroker) -> None:
    process = start_broker()
    process.reload(log__level="error")
    assert process.api(req=11).status == 200
    process.waits_for("nanomq.audit: admin from 127.0.0.1:")
    process.waits_for(", req 11: read, its secrets shown")
    process.reload(http_server__mask_secrets="always")
    assert process.api(req=11).status == 200
    process.waits_for(", req 11: read, its secrets masked")


def test_null_leaves_a_value_alone_and_keypass_is_key_password() -> None:
    config = Config(msq_len=7)
    data = {"msq_len": None, "tls": {"keypass": "p", "enable": None}, "bridge": None}
    changed = from_json(config, data, PemFiles(None))
    assert (changed.msq_len, changed.tls.key_password) == (7, "p")
    assert to_json(changed)["tls"]["key_password"] == "p"


def test_pem_text_without_a_file_to_keep_it_beside_is_refused() -> None:
    with pytest.raises(BadRequest, match="started without a file"):
        from_json(Config(), {"tls": {"key": "-----BEGIN X"}}, PemFiles(None))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)  # fmt: skip
DATA = st.fixed_dictionaries(
    {},
    optional={
        name: JSON
        if not isinstance(value, dict)
        else st.dictionaries(st.sampled_from(sorted(value)), JSON) | JSON
        for name, value in to_json(Config()).items()
    },
)


@given(DATA)
def test_any_data_is_refused_or_understood(data: dict[str, Any]) -> None:
    try:
        changed = from_json(Config(), data, PemFiles(Path("/x/nanomq.conf")))
    except BadRequest as refused:
        assert refused.status == 400
        assert refused.message
    else:
        to_json(changed)


MEMBERS = JSON | st.lists(
    st.dictionaries(
        st.sampled_from(["name", "token", "topic", "tags", "take"]),
        JSON | st.sampled_from(["a", "b", MASK]),
    ),
    max_size=3,
)
OWN = parse("samples.sink.a.token=t\nsamples.source.1.topic=a\n", "x", (SAMPLES,))


@example({"rule": [{"name": -(1 << 63) - 1}]})
@given(
    st.dictionaries(st.sampled_from(["rate", "store", "sink", "source", "rule"]), MEMBERS)
)
def test_any_data_for_a_part_is_refused_or_understood(data: dict[str, Any]) -> None:
    try:
        changed = from_json(OWN, {"samples": data}, PemFiles(None))
    except BadRequest as refused:
        assert refused.status == 400
        assert "samples" in refused.message
    else:
        assert from_json(changed, to_json(changed), PemFiles(None)) == changed
        assert from_json(changed, to_json(changed, masked=True), PemFiles(None)) == changed


@pytest.mark.parametrize(
    ("action", "asked"), [("stop", ["stop"]), ("restart", ["check", "restart"])]
)
def test_action_is_answered_and_then_done(action: str, asked: list[str]) -> None:
    process = FakeProcess()
    got = post(app_of(process=process), {"req": 10, "seq": 7, "action": action})
    assert (got.status_code, got.text) == (200, '{"code":0,"seq":7,"rep":10}')
    assert process.asked == asked


def test_stop_ends_the_process(start_broker: StartBroker) -> None:
    process = start_broker()
    assert process.api(req=10, action="stop").json == {"code": 0, "seq": 1, "rep": 10}
    assert process.ends() == 0


def test_restart_brings_in_what_waited_and_is_refused_with_a_fault(
    start_broker: StartBroker,
) -> None:
    http, tcp = free_port(), free_port()
    process = start_broker(http_server__port=str(http), url=f"nmq-tcp://127.0.0.1:{tcp}")
    assert process.reload(num_taskq_thread="2")["restart"] == ["num_taskq_thread"]
    process.set_keys(tls__enable="true")
    got = process.api(req=10, action="restart")
    assert (got.status, "tls.certfile: missing" in got.json["message"]) == (400, True)
    process.set_keys(tls__enable=None)
    assert process.api(req=10, action="restart").json == {"code": 0, "seq": 1, "rep": 10}
    process.waits_for("restarting")
    until = time.monotonic() + 20
    while True:
        assert time.monotonic() < until
        try:
            answer = process.api(req=10, action="reload")
        except OSError:
            continue  # between the two processes
        if answer.status == 200 and answer.json["data"]["restart"] == []:
            break


def test_audit_line_says_who_what_from_where_and_hides_secrets(
    start_broker: StartBroker,
) -> None:
    process = start_broker()
    process.reload(log__level="error")
    data = {"http_server": {"password": "the-new-one"}, "msq_len": 5}
    assert process.api(req=12, data=data).status == 200
    process.waits_for("req 12")
    (line,) = [line for line in process.lines if "req 12" in line]
    assert "nanomq.audit: admin from 127.0.0.1:" in line
    assert (
        "req 12: msq_len: (none) -> 5; http_server.password: (hidden) -> (hidden)" in line
    )
    assert not any("the-new-one" in line for line in process.lines)
