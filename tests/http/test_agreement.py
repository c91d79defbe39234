"""``/api/v1``, ``/api/v2``, ``/api/v4`` and ``$SYS`` tell one truth while clients talk."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Process, running_broker
from tests.http.documented import Client
from tests.http.v4 import get
from tests.raw import PUBLISH, Raw

CLIENTS = 40
SUBSCRIPTIONS = 3  # of each


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with running_broker(tmp_path_factory.mktemp("agree"), sys_interval="1") as process:
        yield process


@contextlib.contextmanager
def talking(broker: Process) -> Iterator[None]:
    """Have a client publish to the others until the end."""
    end = threading.Event()

    def talk() -> None:
        with broker.raw() as publisher:
            publisher.connect("talker")
            while not end.is_set():
                for number in range(50):
                    publisher.publish(f"load/{number % CLIENTS}", b"x" * 20)
                publisher.ping()

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join(20)


def sys_value(broker: Process, topic: str) -> int:
    """Return a value of ``$SYS`` that is told from now on."""
    with broker.raw() as reader:
        reader.connect(f"reads-{topic.replace('/', '-')}")
        reader.subscribe((f"$SYS/broker/{topic}", 0))
        value = -1
        for _ in range(2):  # the first is the retained one, of before
            packet = reader.expect(PUBLISH)
            value = int(packet.payload)
        return value


def counts(broker: Process) -> dict[str, int]:
    """Return the messages received so far, in the order in which they were asked for."""
    v2: Any = Client(broker.http_port).get("/api/v2/monitoring/metrics").json["result"]
    (of_v2,) = v2.values()
    return {
        "v1": broker.api(req=2).json["data"]["message_in"],
        "v4": get(broker, "/metrics")["data"][0]["metrics"]["messages.received"],
        "v2": of_v2["messages/received"],
        "v1 again": broker.api(req=2).json["data"]["message_in"],
    }


def test_all_tell_the_same_of_clients_and_subscriptions(broker: Process) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(CLIENTS):
            client: Raw = stack.enter_context(broker.raw())
            client.connect(f"c{number}")
            filters = [(f"load/{number}", 0), (f"a/{number}", 1), ("all/#", 2)]
            client.subscribe(*filters)
            # It reads what comes, so that nobody waits for it.
            stack.enter_context(drained(client))
        stack.enter_context(talking(broker))
        names = {f"c{number}" for number in range(CLIENTS)}
        v1_clients = broker.api(req=5).json["data"]
        assert names <= {row["client_id"] for row in v1_clients}
        v1 = {
            row["client_id"]: row["subscriptions"] for row in broker.api(req=4).json["data"]
        }
        assert set(v1) == names
        assert broker.api(req=2).json["data"]["client_size"] == CLIENTS
        of_v4 = get(broker, "/clients")
        assert names <= {row["clientid"] for row in of_v4["data"]}
        assert of_v4["meta"]["count"] == len(v1_clients)
        subscriptions = get(broker, "/subscriptions")
        told = {(r["clientid"], r["topic"], r["qos"]) for r in subscriptions["data"]}
        assert told == {(c, s["topic"], s["qos"]) for c, rows in v1.items() for s in rows}
        (stats,) = get(broker, "/stats")["data"]
        assert stats["stats"]["subscriptions.count"] == CLIENTS * SUBSCRIPTIONS
        assert stats["stats"]["live_connections.count"] == len(v1_clients)
        node = get(broker, "/nodes")["data"][0]
        assert node["connections"] == len(v1_clients)
        assert sys_value(broker, "subscriptions/count") == CLIENTS * SUBSCRIPTIONS + 1
        found = Client(broker.http_port).get(f"/api/v2/nodes/{node['node']}/clients").json
        assert found["result"]["total_num"] >= CLIENTS + 1


def test_all_count_the_same_messages(broker: Process) -> None:
    with talking(broker):
        for _ in range(20):
            told = counts(broker)
            # v2 is asked first: what is counted only grows.
            assert told["v2"] <= told["v1"] <= told["v4"] <= told["v1 again"]
    quiet = counts(broker)
    assert len(set(quiet.values())) == 1
    assert sys_value(broker, "publish/messages/received") == quiet["v1"]


@contextlib.contextmanager
def drained(client: Raw) -> Iterator[None]:
    """Have a thread read all that comes to a client until the end."""

    def read() -> None:
        with contextlib.suppress(OSError, ValueError):
            while client.sock.recv(65536):
                pass

    client.sock.settimeout(None)
    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield
    finally:
        client.sock.shutdown(2)
        thread.join(20)
