"""One test for each failure that users of such brokers reported of their reload.

Each broker here goes on serving the client that was there before.
"""

from __future__ import annotations

import http.client
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import Process, StartBroker, running_broker
from tests.eventually import eventually
from tests.http.v4 import get

BRIDGE = """
bridges.mqtt.site {
    server = "mqtt-tcp://127.0.0.1:1884"
    proto_ver = 4
    clientid = "gateway"
    keepalive = 60s
    forwards = ["up/#"]
    subscription = [{remote_topic = "down/#", qos = 1}]
    %s
}
"""
WILL = 'will { topic = "gone", qos = 1, retain = false, payload = "bye" }'


@contextmanager
def still_serves(process: Process) -> Iterator[None]:
    with process.raw(5) as c:
        c.connect("was-there-before")
        yield
        c.ping()
        with process.raw(5) as d:
            d.connect("comes-after")
    assert process.api(req=2).status == 200


def test_include_of_a_missing_file_does_not_abort(start_broker: StartBroker) -> None:
    process = start_broker()
    with still_serves(process):
        process.conf.write_text('url = "nmq-tcp://127.0.0.1:0"\ninclude "bridges.conf"\n')
        done = process.nanomq("reload", "--conf", str(process.conf))
        assert done.returncode == 2
        assert "nanomq.conf:2: include 'bridges.conf'" in done.stderr
        assert "No such file" in done.stderr
        got = process.api(req=10, action="reload")
        assert (got.status, got.json["code"]) == (400, 108)


@pytest.mark.parametrize("line", ["no_such_key=1", "msq_len", "mqtt { no_such = 1 }", "="])
def test_wrong_key_does_not_abort(start_broker: StartBroker, line: str) -> None:
    process = start_broker()
    with still_serves(process):
        process.conf.write_text(process.conf.read_text() + line + "\n")
        os.kill(process.pid, signal.SIGHUP)
        process.waits_for("not reloaded: ")
        got = process.api(req=10, action="reload")
        assert (got.status, got.json["code"]) == (400, 108)
        assert "nanomq.conf:5: " in got.json["message"]


def test_reload_says_succeeded_only_of_what_is_in_force(start_broker: StartBroker) -> None:
    process = start_broker()
    with still_serves(process):
        told = process.reload(
            msq_len="9", num_taskq_thread="2", sqlite__disk_cache_size="7"
        )
        assert told == {
            "applied": ["msq_len"],
            "restart": ["num_taskq_thread"],
            "unused": ["sqlite.disk_cache_size"],
        }
        done = process.nanomq("reload")
        assert done.stdout == "after a restart: num_taskq_thread\n"


def test_reload_without_conf_finds_the_only_broker(start_broker: StartBroker) -> None:
    process = start_broker()
    with still_serves(process):
        process.set_keys(msq_len="9")
        done = process.nanomq("reload")
        assert (done.returncode, done.stdout) == (0, "in force now: msq_len\n")


def test_reload_of_a_broker_that_was_started_without_conf(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    environ = {
        "NANOMQ_URL": "nmq-tcp://127.0.0.1:0",
        "NANOMQ_WEBSOCKET_ENABLE": "false",
        "NANOMQ_HTTP_SERVER_PORT": "0",
        "NANOMQ_LOG_LEVEL": "info",
    }
    with (
        running_broker(tmp_path_factory.mktemp("no"), environ, with_conf=False) as process,
        still_serves(process),
    ):
        got = process.api(req=12, data={"msq_len": 9})
        assert got.json["data"] == {
            "applied": ["msq_len"], "restart": [], "unused": [], "saved": False,
        }  # fmt: skip
        done = process.nanomq("reload")
        assert (done.returncode, done.stdout) == (0, "nothing has changed\n")
        assert process.api(req=11).json["data"]["msq_len"] == 9


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"null", b"[]", b"\xff\xfe\x00", b'{"req":12}', b'{"req":12,"seq":1}',
        b'{"req":12,"seq":1,"data":null}', b'{"req":12,"seq":1,"data":[]}',
        b'{"req":12,"seq":1,"data":{"tls":7}}', b'{"req":12,"seq":1,"data":{"tls":{"key":1}}}',
        b'{"req":12,"seq":1,"data":{"bridge":{"forwards":[1]}}}',
        b'{"req":12,"seq":1,"data":{"bridge":{"subscription":[{}]}}}',
        b'{"req":10,"seq":1,"action":{}}', b'{"req":1e99,"seq":1}',
        b'{"req":12,"seq":1,"data":' + b"[" * 5000,
        b'{"req":12,"seq":1,"data":{"url":"' + b"x" * 100_000 + b'"}}',
    ],
)  # fmt: skip
def test_invalid_http_body_does_not_abort(broker: Process, body: bytes) -> None:
    with still_serves(broker):
        connection = http.client.HTTPConnection("127.0.0.1", broker.http_port, timeout=20)
        connection.request(
            "POST", "/api/v1", body, {"Authorization": "Basic YWRtaW46cHVibGlj"}
        )
        answer = connection.getresponse()
        assert answer.status in (400, 404)
        assert b'"code":10' in answer.read()
        connection.close()


def test_bridge_update_without_its_will_does_not_abort(start_broker: StartBroker) -> None:
    process = start_broker()
    base = process.conf.read_text()
    nested = "".join(
        '{} = "{}"\n'.format(*line.split("=", 1)) for line in base.splitlines()
    )
    with still_serves(process):
        process.conf.write_text(nested + BRIDGE % WILL)
        assert process.api(req=10, action="reload").status == 200
        process.conf.write_text(nested + BRIDGE % "")
        assert process.api(req=10, action="reload").status == 200
        bridge = process.api(req=11).json["data"]["bridge"]
        assert (bridge["address"], bridge["forwards"]) == (
            "mqtt-tcp://127.0.0.1:1884", ["up/#"],
        )  # fmt: skip
        part = {"address": "mqtt-tcp://127.0.0.1:1885", "subscription": []}
        got = process.api(req=12, data={"bridge": part})
        assert got.status == 200
        assert process.api(req=11).json["data"]["bridge"] == {**bridge, **part}
        assert "127.0.0.1:1885" in process.conf.read_text()


def nested_conf(process: Process) -> str:
    lines = process.conf.read_text().splitlines()
    return "".join('{} = "{}"\n'.format(*line.split("=", 1)) for line in lines)


def test_reload_with_a_broker_that_cannot_be_dialled_does_not_crash(
    start_broker: StartBroker,
) -> None:
    """NanoMQ #1458: a reload while the server is not dialable."""
    process = start_broker()
    nested = nested_conf(process)
    with still_serves(process):
        for server in ("127.0.0.1:1", "nowhere.invalid:1883", "[::1]:1"):
            text = BRIDGE.replace("127.0.0.1:1884", server) % WILL
            process.conf.write_text(nested + text)
            assert process.api(req=10, action="reload").status == 200
            (node,) = get(process, "/bridges/site")["data"]["bridge"]["nodes"]
            assert node["status"]["address"] == f"mqtt-tcp://{server}"
            assert node["status"]["state"] in ("connecting", "waiting")
        process.conf.write_text(f"mqtt {{}}\n{nested}")
        assert process.api(req=10, action="reload").status == 200
        assert get(process, "/bridges")["data"] == {"bridge": {"nodes": []}}


def test_will_that_changes_while_a_bridge_reconnects_does_not_crash(
    start_broker: StartBroker,
) -> None:
    """NanoMQ: a use after free where the will is replaced while the bridge dials."""
    far = start_broker()
    process = start_broker()
    nested = nested_conf(process)
    quick = "backoff_min = 10ms\n backoff_max = 10ms\n"
    text = BRIDGE.replace("127.0.0.1:1884", f"127.0.0.1:{far.port}")

    def change(payload: int, server: str) -> None:
        will = f'will {{ topic = "gone", payload = "{payload}" }}'
        where = text.replace(f"127.0.0.1:{far.port}", server)
        process.conf.write_text(nested + where % (quick + will))
        assert process.api(req=10, action="reload").status == 200

    def is_up() -> bool:
        (node,) = get(process, "/bridges/site")["data"]["bridge"]["nodes"]
        return bool(node["status"]["state"] == "up")

    with far.raw(5) as heard, still_serves(process):
        heard.connect("hears")
        heard.subscribe(("gone", 0))
        for payload in range(20):
            away = "127.0.0.1:1" if payload % 2 else f"127.0.0.1:{far.port}"
            change(payload, away)
        change(99, f"127.0.0.1:{far.port}")
        eventually(is_up)
        heard.assert_silent()  # who leaves in order has no will
    assert get(process, "/bridges")["code"] == 0
