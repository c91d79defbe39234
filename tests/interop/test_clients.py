"""Real clients: paho-mqtt over both transports, mosquitto_pub and mosquitto_sub."""

from __future__ import annotations

import queue
import subprocess
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as paho
import pytest

from tests.conftest import FOREIGN_ENV, Process, StartBroker

VERSIONS = {3: paho.MQTTv31, 4: paho.MQTTv311, 5: paho.MQTTv5}


class Paho:
    """A paho client whose messages go to a queue."""

    def __init__(
        self, port: int, client_id: str, version: int, transport: str = "tcp"
    ) -> None:
        self.messages: queue.Queue[tuple[str, bytes, int]] = queue.Queue()
        self._ready: queue.Queue[str] = queue.Queue()
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id,
            protocol=VERSIONS[version],
            transport=transport,  # type: ignore[arg-type]
        )
        self.client.on_connect = lambda *_: self._ready.put("connected")
        self.client.on_subscribe = lambda *_: self._ready.put("subscribed")
        self.client.on_message = self._on_message
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self._ready.get(timeout=20) == "connected"

    def _on_message(self, client: Any, data: Any, got: paho.MQTTMessage) -> None:
        self.messages.put((got.topic, got.payload, got.qos))

    def subscribe(self, topic: str, qos: int) -> None:
        self.client.subscribe(topic, qos)
        assert self._ready.get(timeout=20) == "subscribed"

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def made() -> Iterator[list[Paho]]:
    clients: list[Paho] = []
    yield clients
    for client in clients:
        client.stop()


@pytest.mark.parametrize("version", [3, 4, 5])
def test_paho_exchanges_all_qos(
    broker: Process, made: list[Paho], version: int, name: str
) -> None:
    sub, pub = (
        Paho(broker.port, name[:20], version),
        Paho(broker.port, "p" + name[:20], version),
    )
    made += [sub, pub]
    sub.subscribe(name + "/#", 2)
    for qos in (0, 1, 2):
        pub.client.publish(f"{name}/{qos}", b"x" * qos, qos).wait_for_publish(10)
    got = [sub.messages.get(timeout=20) for _ in range(3)]
    assert got == [(f"{name}/{q}", b"x" * q, q) for q in (0, 1, 2)]


@pytest.mark.parametrize("version", [4, 5])
def test_paho_over_websocket(
    start_broker: StartBroker, made: list[Paho], version: int, tmp_path: Any
) -> None:
    process = start_broker(
        websocket__enable="true", websocket__url="nmq-ws://127.0.0.1:0/mqtt"
    )
    (line,) = [line for line in process.lines if "serving:" in line]
    port = int(line.split("websocket.url on port ")[1].split()[0])
    client = Paho(port, "ws", version, "websockets")
    made.append(client)
    client.subscribe("a", 1)
    client.client.publish("a", b"y" * 70000, 1)
    assert client.messages.get(timeout=20) == ("a", b"y" * 70000, 1)


@pytest.mark.parametrize("version", ["31", "311", "5"])
@pytest.mark.parametrize("qos", ["0", "1", "2"])
def test_mosquitto_clients_exchange_messages(
    broker: Process, version: str, qos: str, name: str
) -> None:
    common = ["-h", "127.0.0.1", "-p", str(broker.port), "-V", version, "-q", qos]
    sub = subprocess.Popen(
        [
            "stdbuf",
            "-oL",
            "mosquitto_sub",
            *common,
            "-t",
            name + "/#",
            "-C",
            "3",
            "-W",
            "20",
            "-v",
            "-d",
        ],
        stdout=subprocess.PIPE,
        text=True,
        env=FOREIGN_ENV,
    )
    assert sub.stdout is not None
    lines = iter(sub.stdout.readline, "")
    assert any("Subscribed" in line for line in lines)
    for n in range(3):
        subprocess.run(
            ["mosquitto_pub", *common, "-t", f"{name}/{n}", "-m", f"m{n}"],
            check=True,
            timeout=20,
            env=FOREIGN_ENV,
        )
    heard = [line.strip() for line in lines if line.startswith(name)]
    assert heard == [f"{name}/{n} m{n}" for n in range(3)]
    assert sub.wait(20) == 0
    sub.stdout.close()


def test_mosquitto_keeps_a_session(broker: Process, name: str) -> None:
    common = ["-h", "127.0.0.1", "-p", str(broker.port), "-q", "1", "-t", name]
    ours = {"check": True, "timeout": 20, "env": FOREIGN_ENV}
    sub = ["mosquitto_sub", *common, "-i", name[:20], "-c", "-W", "20"]
    subprocess.run([*sub, "-E"], **ours)  # subscribe, then leave
    subprocess.run(["mosquitto_pub", *common, "-m", "waited"], **ours)
    got = subprocess.run([*sub, "-C", "1"], **ours, capture_output=True)
    assert got.stdout == b"waited\n"
