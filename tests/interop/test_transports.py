"""Other people's clients over TLS, WebSocket and Unix sockets."""

from __future__ import annotations

import queue
import subprocess
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from tests.certs import Certs
from tests.conftest import FOREIGN_ENV, Process, StartBroker, start_on_all_transports

both = pytest.mark.parametrize("version", [4, 5])


@pytest.fixture
def process(start_broker: StartBroker, certs: Certs, tmp_path: Path) -> Process:
    return start_on_all_transports(start_broker, certs, tmp_path)


@both
@pytest.mark.parametrize("key", ["tls.url", "websocket.url", "websocket.tls_url"])
def test_paho_over(process: Process, certs: Certs, version: int, key: str) -> None:
    got: queue.Queue[bytes] = queue.Queue()
    client = paho.Client(
        paho.CallbackAPIVersion.VERSION2,
        "paho",
        protocol=paho.MQTTv5 if version == 5 else paho.MQTTv311,
        transport="websockets" if key.startswith("websocket") else "tcp",
    )
    if "tls" in key:
        client.tls_set(
            str(certs.ca.certfile), str(certs.client.certfile), str(certs.client.keyfile)
        )
    client.on_connect = lambda c, *_: c.subscribe("t/#", 2)
    client.on_subscribe = lambda c, *_: c.publish("t/1", b"x" * 100_000, qos=2)
    client.on_message = lambda c, u, message: got.put(message.payload)
    client.connect("127.0.0.1", process.ports[key])
    client.loop_start()
    try:
        assert got.get(timeout=20) == b"x" * 100_000
    finally:
        client.disconnect()
        client.loop_stop()


def assert_hears_hello(common: list[str]) -> None:
    heard = subprocess.run(
        ["mosquitto_sub", *common, "-C", "1", "-W", "20"],
        capture_output=True,
        timeout=30,
        env=FOREIGN_ENV,
        check=False,
    )
    assert heard.stdout == b"hello\n", heard.stderr


@both
def test_mosquitto_over_tls_with_a_certificate(
    process: Process, certs: Certs, version: int
) -> None:
    common = [
        *("-p", str(process.ports["tls.url"]), "-h", "localhost", "-V", f"{version}"),
        *("--cafile", str(certs.ca.certfile), "--cert", str(certs.client.certfile)),
        *("--key", str(certs.client.keyfile), "-t", "t", "-q", "1"),
    ]
    common[common.index("-V") + 1] = "mqttv5" if version == 5 else "mqttv311"
    retained = ["mosquitto_pub", *common, "-m", "hello", "-r"]
    subprocess.run(retained, check=True, timeout=30, env=FOREIGN_ENV)
    assert_hears_hello(common)


def test_mosquitto_over_a_unix_socket(process: Process, tmp_path: Path) -> None:
    path = tmp_path / "broker.sock"
    common = ["--unix", str(path), "-t", "t", "-q", "1"]
    if subprocess.run(
        ["mosquitto_pub", *common, "-m", "hello", "-r"],
        capture_output=True,
        timeout=30,
        env=FOREIGN_ENV,
        check=False,
    ).returncode:
        pytest.skip("this mosquitto_pub knows no Unix sockets")
    assert_hears_hello(common)
