"""The client role of tests/c against mosquitto, over each transport that it has."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.certs import Certs
from tests.conftest import FOREIGN_ENV, free_port
from tests.dialling import WITHIN_S, Client, Home, tls_client

MOSQUITTO = shutil.which("mosquitto") or ""
pytestmark = pytest.mark.skipif(not MOSQUITTO, reason="no mosquitto here")
both = pytest.mark.parametrize("version", [4, 5])


@dataclass
class Far:
    """Where mosquitto listens."""

    tcp: int
    tls: int
    ws: int
    ipc: Path


def wait_for(connect: Any, popen: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + WITHIN_S
    while popen.poll() is None:
        with contextlib.suppress(OSError):
            connect()
            return
        assert time.monotonic() < until, "mosquitto did not start"
        time.sleep(0.01)
    raise AssertionError("mosquitto ended")


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory, certs: Certs) -> Iterator[Far]:
    folder = tmp_path_factory.mktemp("mosquitto")
    folder.chmod(0o755)  # it gives up the rights of root, if it has them
    far = Far(free_port(), free_port(), free_port(), folder / "far.sock")
    conf = folder / "mosquitto.conf"
    conf.write_text(
        "allow_anonymous true\nuser root\nmax_keepalive 65535\n"
        f"listener {far.tcp} 127.0.0.1\n"
        f"listener 0 {far.ipc}\n"
        f"listener {far.ws} 127.0.0.1\nprotocol websockets\n"
        f"listener {far.tls} 127.0.0.1\ncafile {certs.ca.certfile}\n"
        f"certfile {certs.server.certfile}\nkeyfile {certs.server.keyfile}\n"
        "require_certificate true\n"
    )
    popen = subprocess.Popen([MOSQUITTO, "-c", str(conf)], env=FOREIGN_ENV)
    try:
        wait_for(lambda: socket.create_connection(("127.0.0.1", far.tls)).close(), popen)
        yield far
    finally:
        popen.terminate()
        popen.wait(WITHIN_S)


def assert_speaks(client: Client, name: str) -> None:
    assert client.subscribe(1, f"{name}/#", 2).number == 2
    payload = os.urandom(100_000)
    for qos in (0, 1, 2):
        client.publish(10 + qos, f"{name}/{qos}", payload, qos)
        message = client.wait("MESSAGE")
        assert (message.text, message.number) == (f"{name}/{qos}", qos)
        assert (message.payload_len, message.payload) == (len(payload), payload[:1024])
    client.ping()
    client.wait("PONG")
    assert client.unsubscribe(2, f"{name}/#").id == 2
    client.disconnect()
    assert client.wait_for_end().number == 0


@both
@pytest.mark.parametrize("over", ["tcp", "tls", "ws", "ipc"])
def test_mosquitto_over(
    home: Home, far: Far, certs: Certs, over: str, version: int
) -> None:
    client = home.client()
    with tls_client(
        ca=certs.ca.certfile, cert=certs.client.certfile, key=certs.client.keyfile
    ) as tls:
        where: dict[str, tuple[str, int, dict[str, Any]]] = {
            "tcp": ("127.0.0.1", far.tcp, {}),
            "tls": ("localhost", far.tls, {"tls": tls}),
            "ws": ("127.0.0.1", far.ws, {"path": "/mqtt"}),
            "ipc": (str(far.ipc), 0, {}),
        }
        host, port, more = where[over]
        client.connect(host, port, version=version, **more)
    assert_speaks(client, f"{over}{version}")


@both
def test_a_session_is_kept_and_taken_over(home: Home, far: Far, version: int) -> None:
    first, second = home.client(), home.client()
    name = f"kept{version}"
    again = {"clean": False, "client_id": name, "version": version}
    assert first.connect("127.0.0.1", far.tcp, **again).number == 0
    first.subscribe(1, name, 1)
    assert second.connect("127.0.0.1", far.tcp, **again).number == 1
    assert first.wait_for_end().number == 0  # mosquitto does not say why
    second.publish(2, name, b"to whoever holds it", 1)
    assert second.wait("MESSAGE").payload == b"to whoever holds it"
