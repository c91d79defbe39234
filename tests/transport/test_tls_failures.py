"""What a TLS handshake that failed leaves: one count, one event and one line of the log."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nanomq_py import Broker
from nanomq_py.config import parse
from nanomq_py.events import HandshakeFailed
from tests import raw
from tests.certs import Certs, identity, revocations
from tests.conftest import FOREIGN_ENV
from tests.transport.test_tls import KEY, context, keys
from tests.transport.test_tls_refusal import REQUIRED

Fails = Callable[[int], None]
SECRET = "0f" * 16


@asynccontextmanager
async def broker_with(keys: dict[str, str]) -> AsyncIterator[Broker]:
    text = "".join(f"{key.replace('__', '.')}={value}\n" for key, value in keys.items())
    async with Broker(parse(text, "x.conf")) as broker:
        yield broker


def shakes(made: ssl.SSLContext) -> Fails:
    def fail(port: int) -> None:
        with (
            contextlib.suppress(ssl.SSLError, ConnectionError),
            socket.create_connection(("127.0.0.1", port), 20) as plain,
            made.wrap_socket(plain, server_hostname="localhost") as tls,
        ):
            tls.recv(1)  # by TLS 1.3 it hears only now that its certificate is not taken

    return fail


def speaks_mqtt(port: int) -> None:
    with (
        contextlib.suppress(ConnectionError),
        socket.create_connection(("127.0.0.1", port), 20) as plain,
    ):
        plain.sendall(raw.connect("c", 4, user="u", password=b"geheim"))
        while plain.recv(100):
            pass


def wrong_key(port: int) -> None:
    command = (
        f"openssl s_client -connect 127.0.0.1:{port} -tls1_2 -psk_identity nobody -psk"
    )
    subprocess.run(
        [*command.split(), SECRET],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=FOREIGN_ENV,
        timeout=20,
        check=False,
    )


@pytest.fixture
def failures(certs: Certs, tmp_path: Path) -> dict[str, tuple[dict[str, str], Fails, str]]:
    """Return by name: keys of a broker, who fails there, and why."""
    revoked = identity(tmp_path, "revoked", issuer=certs.ca)
    crl = revocations(tmp_path, certs.ca, revoked)
    psk = tmp_path / "psk"
    psk.write_text(f"pump-7:{SECRET}\n")
    psk.chmod(0o600)
    required = keys(certs, **REQUIRED)
    with_psk = {
        "listener__d__url": "tls+nmq-tcp://127.0.0.1:0",
        "listener__d__tls__psk_file": str(psk),
    }
    return {
        "no certificate": (required, shakes(context(certs)), "it showed no certificate"),
        "stranger": (required, shakes(context(certs, certs.stranger)), "no known CA"),
        "revoked": (
            {**required, "tls__crlfile": str(crl)},
            shakes(context(certs, revoked)),
            "its certificate was revoked",
        ),
        "no TLS": (keys(certs), speaks_mqtt, "what it sent is not TLS"),
        "no such key": (with_psk, wrong_key, "nobody has that"),
    }


@pytest.mark.parametrize(
    "failure", ["no certificate", "stranger", "revoked", "no TLS", "no such key"]
)
async def test_failed_handshake_has_one_count_one_event_and_one_line(
    failures: dict[str, tuple[dict[str, str], Fails, str]],
    failure: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    given, fail, why = failures[failure]
    caplog.set_level("INFO", "nanomq")
    async with (
        broker_with({**given, "log__level": "info"}) as broker,
        broker.events([HandshakeFailed]) as events,
    ):
        port = broker.ports["listener.d.url" if failure == "no such key" else KEY]
        for count in (1, 2):
            await asyncio.to_thread(fail, port)
            event = await asyncio.wait_for(anext(events), 20)
            assert why in event.reason
            assert event.client.client_id == ""
            assert event.client.address.startswith("127.0.0.1:")
            assert broker.stats().handshakes_failed == count
            assert broker.stats().logins_refused == 0
        await broker.stop()  # then all is told
        assert [each async for each in events] == []  # there was no other
    lines = [each for each in caplog.records if "refused: TLS" in each.getMessage()]
    assert [each.levelname for each in lines] == ["WARNING", "INFO"]
    assert all(why in each.getMessage() for each in lines)
    assert not any(word in caplog.text for word in ("geheim", SECRET))


FLOOD = 500


async def test_flood_of_them_is_counted_and_warned_of_once(
    certs: Certs, caplog: pytest.LogCaptureFixture
) -> None:
    """What is logged by default does not grow with it."""
    async with broker_with({**keys(certs), "log__level": "warn"}) as broker:

        def flood() -> None:
            for _ in range(FLOOD):
                speaks_mqtt(broker.ports[KEY])

        await asyncio.to_thread(flood)

        async def all_counted() -> None:
            while broker.stats().handshakes_failed < FLOOD:
                await asyncio.sleep(0.01)

        await asyncio.wait_for(all_counted(), 20)
        assert broker.stats().handshakes_failed == FLOOD
        await broker.stop()  # then all is told
    lines = [each for each in caplog.records if "refused: TLS" in each.getMessage()]
    assert sum(each.levelname == "WARNING" for each in lines) == 1
