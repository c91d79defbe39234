"""What a rule costs: messages a second through one that selects and publishes.

    python bench/rules.py [--messages 100000] [--qos 1] [--rounds 3]

One client publishes as fast as it may, another one has what the rule makes of it; the broker is
a process of its own.
"""

from __future__ import annotations

import argparse
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.api import cpu_s  # noqa: E402
from tests.conftest import Process, running_broker  # noqa: E402
from tests.http.documented import Client  # noqa: E402

SQL = (
    'SELECT payload.temperature AS t, payload.unit AS unit, topic, clientid FROM "s/#"'
    " WHERE payload.temperature > 10"
)
ACTIONS = [
    {
        "name": "republish",
        "params": {
            "target_topic": "made/${clientid}",
            "target_qos": 0,
            "payload_tmpl": '{"t":${t},"of":"${topic}"}',
        },
    }
]
PAYLOAD = b'{"temperature":21.5,"unit":"C","humidity":40,"site":{"hall":"b","row":3}}'


def text(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


def packet(kind: int, body: bytes) -> bytes:
    left, size = len(body), b""
    while True:
        left, digit = divmod(left, 128)
        size += bytes((digit | (128 if left else 0),))
        if not left:
            return bytes((kind,)) + size + body


def connect(port: int, client_id: bytes) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(packet(0x10, text(b"MQTT") + b"\x04\x02\x00\x00" + text(client_id)))
    assert sock.recv(4, socket.MSG_WAITALL)[3] == 0
    return sock


def publish(sock: socket.socket, count: int, qos: int) -> None:
    """Publish; who reads the acknowledgements is another thread."""
    ready = []
    for number in range(count):
        ident = (number % 60_000 + 1).to_bytes(2, "big") if qos else b""
        ready.append(packet(0x30 | qos << 1, text(b"s/1") + ident + PAYLOAD))
    for at in range(0, count, 200):
        sock.sendall(b"".join(ready[at : at + 200]))


def drain(sock: socket.socket) -> None:
    while sock.recv(1 << 16):
        pass


def received(sock: socket.socket, count: int, size: int) -> None:
    """Return once that many messages of that size have come."""
    left = count * size
    while left > 0:
        chunk = sock.recv(1 << 18)
        assert chunk, "the broker has closed the connection"
        left -= len(chunk)


def measure(broker: Process, count: int, qos: int) -> None:
    port, pid = broker.port, broker.popen.pid
    subscriber, publisher = connect(port, b"has"), connect(port, b"gives")
    subscriber.sendall(packet(0x82, b"\x00\x01" + text(b"made/#") + b"\x00"))
    subscriber.recv(5, socket.MSG_WAITALL)
    made = packet(0x30, text(b"made/gives") + b'{"t":21.5,"of":"s/1"}')
    threading.Thread(target=drain, args=(publisher,), daemon=True).start()
    began, cpu = time.perf_counter(), cpu_s(pid)
    giver = threading.Thread(target=publish, args=(publisher, count, qos))
    giver.start()
    received(subscriber, count, len(made))
    took = time.perf_counter() - began
    spent = cpu_s(pid) - cpu
    giver.join()
    print(
        f"{count} messages, QoS {qos}: {count / took:,.0f} a second,"
        f" {spent / count * 1e6:.1f} us of the broker's processors each"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--qos", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        running_broker(Path(folder), **{"plugins.load": "rules"}) as broker,
    ):
        rule = {"rawsql": SQL, "actions": ACTIONS}
        said = Client(broker.http_port, "admin:public").call("POST", "/api/v4/rules", rule)
        assert said.status == 200, said
        for _ in range(given.rounds):
            measure(broker, given.messages, given.qos)


if __name__ == "__main__":
    main()
