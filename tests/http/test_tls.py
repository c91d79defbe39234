"""The HTTP API over TLS: ``http_server.tls.*``."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nanomq_py.http import door
from tests.certs import PASSWORD, Certs, Identity, identity, revocations
from tests.conftest import Answer, Process, StartBroker, free_port, running_broker
from tests.faults.test_http_attack import (
    ASK,
    FLOODS,
    HASTY,
    answer_of,
    cpu_s,
    is_closed,
    logins_while,
)

pytestmark = pytest.mark.plain


def keys(identity: Identity, **more: str) -> dict[str, str]:
    return {
        "http_server__tls__enable": "true",
        "http_server__tls__certfile": str(identity.certfile),
        "http_server__tls__keyfile": str(identity.keyfile),
        **more,
    }


def trusting(certs: Certs, client: Identity | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certs.ca.certfile))
    if client is not None:
        context.load_cert_chain(client.certfile, client.keyfile)
    return context


def connected(process: Process, context: ssl.SSLContext, port: int = 0) -> ssl.SSLSocket:
    sock = socket.create_connection(("127.0.0.1", port or process.http_port), 20)
    try:
        return context.wrap_socket(sock, server_hostname="localhost")
    except BaseException:
        sock.close()
        raise


def ask(
    process: Process, context: ssl.SSLContext, port: int = 0, **fields: object
) -> Answer:
    """Send one request to ``/api/v1`` over TLS."""
    body = json.dumps({"seq": 1, **fields}).encode()
    login = base64.b64encode(b"admin:public")
    head = (
        b"POST /api/v1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        b"Authorization: Basic %b\r\nContent-Length: %d\r\n\r\n" % (login, len(body))
    )
    with connected(process, context, port) as sock:
        sock.sendall(head + body)
        answer = b""
        while data := sock.recv(65536):
            answer += data
    if not answer:
        raise ConnectionError("no answer")
    head, _, body = answer.partition(b"\r\n\r\n")
    return Answer(int(head.split()[1]), json.loads(body))


def client_hello(context: ssl.SSLContext) -> bytes:
    """Return what a client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


def test_api_is_served_over_tls_and_nothing_else(
    start_broker: StartBroker, certs: Certs
) -> None:
    process = start_broker(**keys(certs.server))
    context = trusting(certs)
    assert ask(process, context, req=2).status == 200
    with connected(process, context) as sock:
        for _ in range(3):  # the connection is kept
            sock.sendall(ASK)
            assert answer_of(sock).startswith(b"HTTP/1.1 200")
    # What goes over TLS is not masked.
    assert ask(process, context, req=11).json["data"]["http_server"]["password"] == "public"
    with socket.create_connection(("127.0.0.1", process.http_port), 20) as plain:
        plain.sendall(ASK)
        assert is_closed(plain, 20)
    with pytest.raises(ssl.SSLCertVerificationError):
        connected(process, ssl.create_default_context())
    assert "Traceback" not in "".join(process.lines)


def test_certificate_is_that_of_the_mqtt_listeners_by_default(
    start_broker: StartBroker, certs: Certs
) -> None:
    process = start_broker(
        http_server__tls__enable="true",
        tls__certfile=str(certs.locked.certfile),
        tls__keyfile=str(certs.locked.keyfile),
        tls__key_password=PASSWORD,
        tls__min_version="1.3",
    )
    with connected(process, trusting(certs)) as sock:
        assert sock.version() == "TLSv1.3"
    old = trusting(certs)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match=r"EOF|version"):
        connected(process, old)


def test_ciphers_of_the_mqtt_listeners_do_not_matter(
    start_broker: StartBroker, certs: Certs
) -> None:
    broker = start_broker(
        http_server__tls__enable="true",
        http_server__tls__certfile=str(certs.server.certfile),
        http_server__tls__keyfile=str(certs.server.keyfile),
        tls__ciphers="AES128-CCM8",  # OpenSSL alone has it
    )
    assert broker.http_port


def test_callers_certificates_are_checked(start_broker: StartBroker, certs: Certs) -> None:
    process = start_broker(
        **keys(
            certs.server,
            http_server__tls__cacertfile=str(certs.ca.certfile),
            http_server__tls__verify_peer="true",
            http_server__tls__fail_if_no_peer_cert="true",
        )
    )
    assert ask(process, trusting(certs, certs.client), req=2).status == 200
    for wrong in (None, certs.stranger):
        # TLS 1.3: at the first byte.
        with pytest.raises((ssl.SSLError, ConnectionError)):
            ask(process, trusting(certs, wrong), req=2)
    process.set_keys(http_server__tls__fail_if_no_peer_cert=None)
    reload = ask(process, trusting(certs, certs.client), req=10, action="reload")
    assert reload.json["data"]["applied"] == ["http_server.tls.fail_if_no_peer_cert"]
    assert ask(process, trusting(certs), req=2).status == 200


@pytest.mark.parametrize("tls", ["TLSv1.2", "TLSv1.3"])
def test_caller_whose_certificate_was_revoked_is_refused(
    start_broker: StartBroker, certs: Certs, tmp_path: Path, tls: str
) -> None:
    other = identity(tmp_path, "other", issuer=certs.ca)
    crl = revocations(tmp_path, certs.ca, other)
    process = start_broker(
        **keys(
            certs.server,
            http_server__tls__cacertfile=str(certs.ca.certfile),
            http_server__tls__crlfile=str(crl),
            http_server__tls__verify_peer="true",
        )
    )

    def may_ask(client: Identity | None) -> bool:
        context = trusting(certs, client)
        context.minimum_version = context.maximum_version = ssl.TLSVersion[
            tls.replace(".", "_")
        ]
        try:
            return ask(process, context, req=2).status == 200
        except (ssl.SSLError, ConnectionError):  # asyncio does not wait for its alert
            return False

    assert [may_ask(client) for client in (None, certs.client, other)] == [
        True,
        True,
        False,
    ]
    revocations(tmp_path, certs.ca, certs.client)
    got = ask(process, trusting(certs), req=10, action="reload")
    assert got.json["data"]["applied"] == ["http_server.tls.crlfile"]
    assert [may_ask(client) for client in (certs.client, other)] == [False, True]
    crl.write_text("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")
    got = ask(process, trusting(certs), req=10, action="reload")
    assert f"http_server.tls.crlfile='{crl}': expected revocation lists" in str(got.json)
    assert not may_ask(certs.client)


def test_list_of_the_mqtt_listeners_counts_where_there_is_none_of_its_own(
    start_broker: StartBroker, certs: Certs, tmp_path: Path
) -> None:
    process = start_broker(
        **keys(
            certs.server,
            tls__cacertfile=str(certs.ca.certfile),
            tls__crlfile=str(revocations(tmp_path, certs.ca, certs.client)),
            http_server__tls__verify_peer="true",
        )
    )
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(process, trusting(certs, certs.client), req=2)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"crlfile": "/no/such"}, "http_server.tls.verify_peer=true with it"),
        (
            {"crlfile": "/no/such", "verify_peer": "true", "cacertfile": "CA"},
            "http_server.tls.crlfile='/no/such': cannot be read",
        ),
        ({"certfile": "/no/such"}, "http_server.tls.certfile='/no/such': cannot be read"),
        ({"keyfile": "CLIENT"}, "does not belong to the certificate"),
        ({"verify_peer": "true"}, "http_server.tls.cacertfile: missing"),
        ({"fail_if_no_peer_cert": "true"}, "http_server.tls.verify_peer=true with it"),
        ({"keyfile": "LOCKED"}, "http_server.tls.key_password: missing"),
    ],
)
def test_keys_that_cannot_be_used_are_refused_by_name(
    start_broker: StartBroker, certs: Certs, given: dict[str, str], says: str
) -> None:
    process = start_broker(**keys(certs.server))
    files = {
        "CA": certs.ca.certfile,
        "CLIENT": certs.client.keyfile,
        "LOCKED": certs.locked.keyfile,
    }
    process.set_keys(
        **{f"http_server__tls__{k}": str(files.get(v, v)) for k, v in given.items()}
    )
    got = ask(process, trusting(certs), req=10, action="reload")
    assert (got.status, says in got.json["message"]) == (400, True), got
    assert ask(process, trusting(certs), req=2).status == 200  # as before


def test_new_certificate_counts_from_the_next_connection_on(
    start_broker: StartBroker, certs: Certs, tmp_path: Path
) -> None:
    certfile, keyfile = tmp_path / "cert.pem", tmp_path / "key.pem"

    def install(identity: Identity) -> None:
        certfile.write_bytes(identity.certfile.read_bytes())
        keyfile.write_bytes(identity.keyfile.read_bytes())

    install(certs.server)
    process = start_broker(**keys(Identity(certs.ca.cert, certs.ca.key, certfile, keyfile)))
    context = trusting(certs)
    with connected(process, context) as old:
        serial = old.getpeercert()["serialNumber"]  # type: ignore[index]
        install(certs.client)
        got = ask(process, context, req=10, action="reload")
        assert got.json["data"]["applied"] == [
            "http_server.tls.certfile", "http_server.tls.keyfile",
        ]  # fmt: skip
        old.sendall(ASK)
        assert answer_of(old).startswith(b"HTTP/1.1 200")
    with connected(process, context) as new:
        assert new.getpeercert()["serialNumber"] != serial  # type: ignore[index]


def test_tls_is_switched_on_and_off_by_a_reload(
    start_broker: StartBroker, certs: Certs
) -> None:
    process = start_broker()
    assert process.reload(**keys(certs.server))["applied"]
    assert ask(process, trusting(certs), req=2).status == 200
    process.set_keys(http_server__tls__enable="false")
    got = ask(process, trusting(certs), req=10, action="reload")
    assert got.json["data"]["applied"] == ["http_server.tls.enable"]
    assert process.api(req=2).status == 200


def test_port_of_a_server_with_tls_moves(start_broker: StartBroker, certs: Certs) -> None:
    process = start_broker(**keys(certs.server))
    port = free_port()
    data = {"http_server": {"port": port}}
    assert ask(process, trusting(certs), req=12, data=data).status == 200
    assert ask(process, trusting(certs), port, req=2).status == 200


@pytest.fixture(scope="module")
def tls_broker(tmp_path_factory: pytest.TempPathFactory, certs: Certs) -> Iterator[Process]:
    given = keys(certs.server, auth__1__login="u", auth__1__password="p")
    with running_broker(tmp_path_factory.mktemp("https"), **given) as made:
        yield made
        assert "Traceback" not in "".join(made.lines)


@pytest.fixture(scope="module")
def hasty_broker(
    tmp_path_factory: pytest.TempPathFactory, certs: Certs
) -> Iterator[Process]:
    """A broker that waits a second for its HTTP peers."""
    mine = {
        "nanomq_py.http.door.HANDSHAKE_S": 1.0,
        "nanomq_py.http.connection.CLOSE_S": 1.0,
        **HASTY,
    }
    folder = tmp_path_factory.mktemp("hasty")
    with running_broker(folder, constants=mine, **keys(certs.server)) as made:
        yield made


def test_peer_that_stops_in_the_handshake_is_cut(
    hasty_broker: Process, certs: Certs
) -> None:
    hello = client_hello(trusting(certs))
    with contextlib.ExitStack() as closing:
        made = {}
        for name, first in {"nothing": b"", "half": hello[:50], "hello": hello}.items():
            sock = socket.create_connection(("127.0.0.1", hasty_broker.http_port), 20)
            made[name] = closing.enter_context(sock)
            sock.sendall(first)
        assert not any(is_closed(sock, 0.1) for sock in made.values())
        for name, sock in made.items():
            assert is_closed(sock, 20), name


def test_peer_that_does_not_close_tls_is_cut(hasty_broker: Process, certs: Certs) -> None:
    ask_last = ASK.replace(b"Host: a", b"Host: a\r\nConnection: close")
    before = hasty_broker.descriptors()
    with connected(hasty_broker, trusting(certs)) as sock:
        sock.sendall(ask_last)
        assert answer_of(sock).startswith(b"HTTP/1.1 200")
        until = time.monotonic() + 20  # it is silent, and does not read
        while hasty_broker.descriptors() > before:
            assert time.monotonic() < until
            time.sleep(0.1)


def test_peer_that_reads_no_answer_is_cut(hasty_broker: Process, certs: Certs) -> None:
    with connected(hasty_broker, trusting(certs)) as sock:
        sock.settimeout(100)  # much is parsed before
        with pytest.raises(OSError, match=r"reset|EOF|Broken pipe"):
            sock.sendall(ASK * 1_000_000)


@pytest.mark.alone
def test_what_peers_send_over_tls_is_parsed_in_turns(
    tls_broker: Process, broker: Process, certs: Certs
) -> None:
    def send() -> None:
        with contextlib.suppress(OSError), connected(tls_broker, trusting(certs)) as sock:
            sock.settimeout(1)
            sock.sendall(FLOODS["tiny chunks"])

    logins_while(tls_broker, broker, send).assert_undisturbed(95)


def test_handshakes_have_places_and_make_room(tls_broker: Process, certs: Certs) -> None:
    hello = client_hello(trusting(certs))
    with contextlib.ExitStack() as closing:
        for number in range(40):  # places: 32
            address = ("127.0.0.1", tls_broker.http_port)
            sock = closing.enter_context(socket.create_connection(address, 20))
            sock.sendall(hello if number % 2 else hello[:20])
        began = time.monotonic()
        assert ask(tls_broker, trusting(certs), req=2).status == 200
        assert time.monotonic() - began < door.HANDSHAKE_S  # for none of the others


@pytest.mark.alone
def test_logins_do_not_wait_for_handshakes(
    tls_broker: Process, broker: Process, certs: Certs
) -> None:
    hello, count = client_hello(trusting(certs)), [0]

    def shake() -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as closing:
            for _ in range(16):
                sock = socket.create_connection(("127.0.0.1", tls_broker.http_port), 1)
                closing.enter_context(sock).sendall(hello)
            sock.recv(1)
            count[0] += 16

    times = logins_while(tls_broker, broker, shake)
    assert count[0] > 100
    times.assert_undisturbed(95)


def test_broken_handshakes_cost_no_time_and_few_lines(tls_broker: Process) -> None:
    before = cpu_s(tls_broker)
    for _ in range(200):
        with socket.create_connection(("127.0.0.1", tls_broker.http_port), 20) as sock:
            sock.sendall(b"\x16\x03\x01\x00\x05hello")
            assert is_closed(sock, 20)
    assert cpu_s(tls_broker) - before < 2
    lines: list[Any] = [line for line in tls_broker.lines if "no handshake with" in line]
    assert len(lines) <= 2
