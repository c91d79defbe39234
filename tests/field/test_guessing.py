"""Guessing passwords over MQTT: slow for who guesses, and the right one always gets in."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import pytest
import scramp

from tests import raw
from tests.conformance.flows import text
from tests.conftest import Process, running_broker
from tests.raw import AUTH, CONNACK, DISCONNECT, Raw

pytestmark = pytest.mark.plain

SCRAM, DATA = text(0x15, "SCRAM-SHA-256"), 0x16
GO_ON = 0x18


@pytest.fixture
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with running_broker(
        tmp_path_factory.mktemp("guessing"),
        allow_anonymous="false",
        **{f"auth__{n}__login": f"u{n}" for n in (1, 2)},
        **{f"auth__{n}__password": f"secret{n}" for n in (1, 2)},
    ) as made:
        yield made


def login_s(process: Process, user: str, password: bytes, reason: int) -> float:
    """Return how long the answer to a login takes; it must have that Reason Code."""
    with process.raw(5) as c:
        began = time.monotonic()
        assert c.connect("", user=user, password=password).reason == reason
        return time.monotonic() - began


def test_wrong_passwords_of_a_user_are_slowed(process: Process) -> None:
    times = [login_s(process, "u1", b"wrong", 0x86) for _ in range(8)]
    assert times[6] > 0.08
    assert times[7] > 0.18
    assert 0.3 < login_s(process, "u1", b"secret1", 0) < 10  # as the next wrong one
    began = time.monotonic()
    while login_s(process, "u2", b"secret2", 0) > 0.09:  # the machine may be busy
        assert time.monotonic() - began < 60


@pytest.mark.alone
def test_right_password_gets_in_beside_24_threads_that_guess(process: Process) -> None:
    stop = threading.Event()
    guesses = []

    def guess() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError, raw.Closed):
                guesses.append(login_s(process, "u1", b"wrong", 0x86))

    threads = [threading.Thread(target=guess) for _ in range(24)]
    for thread in threads:
        thread.start()
    try:
        while len(guesses) < 60:
            time.sleep(0.05)
        before, began = len(guesses), time.monotonic()
        for _ in range(3):
            assert login_s(process, "u1", b"secret1", 0) < 3
        assert len(guesses) - before <= 24 * (time.monotonic() - began + 2)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_wrong_proofs_are_slowed_like_wrong_passwords(process: Process) -> None:
    def prove_s() -> float:
        client = scramp.ScramClient(["SCRAM-SHA-256"], "u1", "wrong")
        with process.raw(5) as c:
            properties = SCRAM + text(DATA, client.get_client_first())
            c.send(raw.connect("", 5, properties=properties))
            got = c.expect(AUTH)
            data = got.properties.split(SCRAM, 1)[1][3:]
            client.set_server_first(data.decode())
            properties = SCRAM + text(DATA, client.get_client_final())
            began = time.monotonic()
            c.send(raw.packet(AUTH, bytes([GO_ON]) + raw.props(5, properties)))
            assert c.expect(CONNACK).reason == 0x87
            return time.monotonic() - began

    times = [prove_s() for _ in range(8)]
    assert times[7] > 0.18


@pytest.mark.parametrize(("size", "reason"), [(1025, 0x87), (60_000, 0x87)])
def test_long_authentication_data_are_refused(
    process: Process, size: int, reason: int
) -> None:
    with process.raw(5) as c:
        c.send(raw.connect("", 5, properties=SCRAM + text(DATA, "n,,n=u1,r=" + "x" * size)))
        assert c.expect(CONNACK).reason == reason


def test_long_authentication_data_of_an_auth_are_refused(process: Process) -> None:
    client = scramp.ScramClient(["SCRAM-SHA-256"], "u1", "secret1")
    with process.raw(5) as c:
        properties = SCRAM + text(DATA, client.get_client_first())
        c.send(raw.connect("", 5, properties=properties))
        c.expect(AUTH)
        properties = SCRAM + text(DATA, "x" * 1025)
        c.send(raw.packet(AUTH, bytes([GO_ON]) + raw.props(5, properties)))
        got = c.read()
        assert (got.kind in (CONNACK, DISCONNECT), got.reason) == (True, 0x87)


async def test_exchange_is_forgotten_when_its_client_leaves() -> None:
    import asyncio

    from nanomq_py import Broker, Config
    from nanomq_py.config.keys.access import User
    from nanomq_py.config.keys.listeners import WebSocket

    config = Config(
        url="nmq-tcp://127.0.0.1:0",
        websocket=WebSocket(enable=False),
        users=(User(login="u", password="p"),),
    )

    def begin() -> Raw:
        client = scramp.ScramClient(["SCRAM-SHA-256"], "u", "p")
        c = Raw(broker.ports["url"], 5)
        properties = SCRAM + text(DATA, client.get_client_first())
        c.send(raw.connect("", 5, properties=properties))
        c.expect(AUTH)
        return c

    async with Broker(config) as broker:
        clients = [await asyncio.to_thread(begin) for _ in range(5)]
        assert len(broker._running.logins.exchanges) == 5
        for c in clients:
            c.close()
        until = time.monotonic() + 20
        while len(broker._running.logins.exchanges) > 0:
            assert time.monotonic() < until
            await asyncio.sleep(0.01)
