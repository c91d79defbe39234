"""What tests of the dialer share."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.dialling import Home, guarded, lib


@pytest.fixture(scope="module")
def nng() -> Iterator[None]:
    with guarded():
        yield


@pytest.fixture
def home(nng: None) -> Iterator[Home]:
    live = lib.test_client_live()
    home = Home()
    yield home
    home.close()
    until = time.monotonic() + 20
    while lib.test_client_live() != live:  # whoever told of the end may still free
        assert time.monotonic() < until, "something leaked"
        time.sleep(0.001)


class Server:
    """A listening socket on 127.0.0.1 whose connections are all treated the same way."""

    def __init__(self, treat: Callable[[socket.socket], None]) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.hung_up = threading.Event()  # the dialer has closed
        self.met = threading.Event()  # a connection has come
        self.treat = treat
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self.listening.accept()
            with connection:
                self.met.set()
                self.treat(connection)
                while connection.recv(65536):
                    pass
        self.hung_up.set()

    def close(self) -> None:
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        self.thread.join(20)


Serve = Callable[[Callable[[socket.socket], None]], Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers = []

    def start(treat: Callable[[socket.socket], None]) -> Server:
        servers.append(Server(treat))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
