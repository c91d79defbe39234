"""TLS handshakes that are refused: what the client reads, and what the log says."""

from __future__ import annotations

import contextlib
import socket
import ssl
from pathlib import Path

import pytest

from nanomq_py.config import ConfigError, parse
from nanomq_py.core.tls import TLS_TAKES_CIPHERS
from nanomq_py.server import check_files
from tests import raw
from tests.certs import Certs, Identity, identity
from tests.conftest import Process, StartBroker
from tests.raw import Closed
from tests.transport.test_tls import KEY, context, dial, keys, versions

CHECKED = {"tls__verify_peer": "true"}
REQUIRED = {**CHECKED, "tls__fail_if_no_peer_cert": "true"}


def alert(process: Process, made: ssl.SSLContext) -> str:
    """Return the alert that ends the handshake, or the connection soon after it."""
    try:
        with dial(process, made) as c, contextlib.suppress(Closed):
            c.send(raw.connect("c", 5))
            while True:
                c.sock.recv(100)
    except ssl.SSLError as fault:
        return str(fault.reason)
    return "none"


@versions
@pytest.mark.parametrize(
    ("asked", "who", "reads", "says"),
    [
        (CHECKED, "stranger", "UNKNOWN_CA", "no known CA has signed its certificate"),
        (CHECKED, "expired", "CERTIFICATE_EXPIRED", "its certificate has expired"),
        (REQUIRED, "stranger", "UNKNOWN_CA", "no known CA has signed its certificate"),
        (REQUIRED, "expired", "CERTIFICATE_EXPIRED", "its certificate has expired"),
    ],
)
def test_refused_certificate_is_told_by_its_alert(
    start_broker: StartBroker,
    certs: Certs,
    tls: str,
    asked: dict[str, str],
    who: str,
    reads: str,
    says: str,
) -> None:
    process = start_broker(**keys(certs, **asked))
    assert alert(process, context(certs, getattr(certs, who), tls)).endswith(reads)
    process.waits_for(f"refused: TLS: {says}")
    with dial(process, context(certs, certs.client, tls)) as c:
        assert c.connect("c").reason == 0


@pytest.mark.parametrize(
    ("tls", "reads"),
    [("TLSv1.2", "HANDSHAKE_FAILURE"), ("TLSv1.3", "CERTIFICATE_REQUIRED")],
)
def test_missing_certificate_is_told_by_its_alert(
    start_broker: StartBroker, certs: Certs, tls: str, reads: str
) -> None:
    process = start_broker(**keys(certs, **REQUIRED))
    assert alert(process, context(certs, tls=tls)).endswith(reads)
    process.waits_for("refused: TLS: it showed no certificate")


def test_refused_handshake_is_logged_with_its_peer(
    start_broker: StartBroker, certs: Certs
) -> None:
    process = start_broker(**keys(certs, tls__min_version="1.3"), log__level="info")
    old = context(certs, tls="TLSv1.2")
    for _ in range(3):
        plain = socket.create_connection(("127.0.0.1", process.ports[KEY]), 20)
        port = plain.getsockname()[1]
        with pytest.raises(ssl.SSLError), plain:
            old.wrap_socket(plain, server_hostname="localhost")
        process.waits_for(f"127.0.0.1:{port}: refused: TLS: its version of TLS")
    lines = [line for line in process.lines if "refused: TLS: its version" in line]
    assert sum(" warning " in line for line in lines) == 1
    with socket.create_connection(("127.0.0.1", process.ports[KEY]), 20) as mqtt:
        mqtt.sendall(raw.connect("c", 4))
        mqtt.recv(100)
    process.waits_for("refused: TLS: what it sent is not TLS")


AT_ONCE = 300


def test_many_that_are_refused_at_once_are_each_logged_with_their_reason(
    start_broker: StartBroker, certs: Certs
) -> None:
    process = start_broker(**keys(certs, **REQUIRED), connect_timeout="60s")
    made = context(certs, certs.stranger, "TLSv1.2")
    flights = []
    with contextlib.ExitStack() as stack:
        for _ in range(AT_ONCE):
            sock = stack.enter_context(
                socket.create_connection(("127.0.0.1", process.ports[KEY]), 20)
            )
            came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = made.wrap_bio(came, goes, server_hostname="localhost")
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.do_handshake()
            sock.sendall(goes.read())
            last = b""
            while not last:
                came.write(sock.recv(65536))
                with contextlib.suppress(ssl.SSLWantReadError):
                    tls.do_handshake()
                last = goes.read()
            flights.append((sock, last))
        for sock, last in flights:
            sock.sendall(last)
        says = [
            f"127.0.0.1:{sock.getsockname()[1]}: refused: TLS: no known CA"
            for sock, _ in flights
        ]
        for text in says:
            process.waits_for(text)


def test_port_scan_is_no_refusal(start_broker: StartBroker, certs: Certs) -> None:
    process = start_broker(**keys(certs))
    for _ in range(3):
        socket.create_connection(("127.0.0.1", process.ports[KEY]), 20).close()
    with dial(process, context(certs)) as c:
        c.connect("c")
    assert not any("refused: TLS" in line for line in process.lines)


# --- the chain


@pytest.fixture
def chain(tmp_path: Path) -> tuple[Identity, Identity, Identity]:
    """Return a root, a CA below it and a server's certificate of that."""
    root = identity(tmp_path, "root")
    middle = identity(tmp_path, "middle", issuer=root, is_ca=True)
    return root, middle, identity(tmp_path, "leaf", issuer=middle, common_name="localhost")


@versions
@pytest.mark.parametrize("has_root", [True, False])
def test_chain_is_completed_from_the_ca_file(
    start_broker: StartBroker,
    tmp_path: Path,
    chain: tuple[Identity, Identity, Identity],
    tls: str,
    has_root: bool,
) -> None:
    root, middle, leaf = chain
    known = (root, middle) if has_root else (middle,)
    cafile = tmp_path / "cas.pem"
    cafile.write_bytes(b"".join(one.certfile.read_bytes() for one in known))
    process = start_broker(
        tls__enable="true",
        tls__url="tls+nmq-tcp://127.0.0.1:0",
        tls__certfile=str(leaf.certfile),
        tls__keyfile=str(leaf.keyfile),
        tls__cacertfile=str(cafile),
    )
    made = ssl.create_default_context(cafile=str(root.certfile))
    made.minimum_version = made.maximum_version = ssl.TLSVersion[tls.replace(".", "_")]
    with dial(process, made) as c:  # which knows the root alone
        assert c.connect("c").reason == 0


# --- ciphers


def cipher_of(process: Process, made: ssl.SSLContext) -> str:
    with dial(process, made) as c:
        name, _, _ = c.sock.cipher()  # type: ignore[attr-defined]
        return str(name)


def speaking(certs: Certs, ciphers: str) -> ssl.SSLContext:
    made = context(certs, tls="TLSv1.2")
    made.set_ciphers(ciphers)
    return made


def test_ciphers_are_ecdhe_with_aead_by_default(
    start_broker: StartBroker, certs: Certs
) -> None:
    assert TLS_TAKES_CIPHERS
    process = start_broker(**keys(certs))
    assert cipher_of(process, context(certs, tls="TLSv1.3")).startswith("TLS_")
    assert "GCM" in cipher_of(process, speaking(certs, "ECDHE+AESGCM"))
    assert "CHACHA20" in cipher_of(process, speaking(certs, "ECDHE+CHACHA20"))
    with pytest.raises(ssl.SSLError):
        cipher_of(process, speaking(certs, "ECDHE-ECDSA-AES256-SHA384"))
    process.waits_for("refused: TLS: no cipher")


def test_ciphers_can_be_chosen_and_changed(start_broker: StartBroker, certs: Certs) -> None:
    only = "ECDHE-ECDSA-AES256-GCM-SHA384"
    other = "ECDHE-ECDSA-AES128-GCM-SHA256"
    process = start_broker(**keys(certs, tls__ciphers=only))
    assert cipher_of(process, speaking(certs, f"{other}:{only}")) == only
    with pytest.raises(ssl.SSLError):
        cipher_of(process, speaking(certs, other))
    process.reload(tls__ciphers=f"{other}:{only}")
    assert cipher_of(process, speaking(certs, f"{only}:{other}")) == other
    process.reload(tls__ciphers=None, listener__tls__tls__ciphers=only)
    assert cipher_of(process, speaking(certs, f"{other}:{only}")) == only


@pytest.mark.parametrize(
    ("ciphers", "says"),
    [
        ("nonsense", "tls.ciphers='nonsense': expected ciphers in OpenSSL's words"),
        ("SRP", "tls.ciphers='SRP': expected"),
        ("TLS_AES_128_GCM_SHA256", "tls.ciphers='TLS_AES.*expected"),
    ],
)
def test_ciphers_that_nobody_knows_are_named(certs: Certs, ciphers: str, says: str) -> None:
    text = "".join(
        f"{k.replace('__', '.')}={v}\n"
        for k, v in keys(certs, tls__ciphers=ciphers).items()
    )
    with pytest.raises(ConfigError, match=says):
        check_files(parse(text, "x.conf"))
