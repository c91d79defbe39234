"""MQTT over TLS: versions, certificates of both sides, and faults that name their key."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from nanomq_py import Broker
from nanomq_py.config import Config, ConfigError, parse
from nanomq_py.core.tls import TLS_IS_GUARDED
from nanomq_py.listen.places import places_of
from nanomq_py.server import check_files
from tests.certs import PASSWORD, Certs, Identity
from tests.conformance.flows import closed_with, kept, take
from tests.conftest import Process, StartBroker
from tests.raw import Closed, Raw

KEY = "tls.url"
versions = pytest.mark.parametrize("tls", ["TLSv1.2", "TLSv1.3"])


def keys(certs: Certs, **more: str) -> dict[str, str]:
    return {
        "tls__enable": "true",
        "tls__url": "tls+nmq-tcp://127.0.0.1:0",
        "tls__certfile": str(certs.server.certfile),
        "tls__keyfile": str(certs.server.keyfile),
        "tls__cacertfile": str(certs.ca.certfile),
        **more,
    }


def context(
    certs: Certs, identity: Identity | None = None, tls: str = ""
) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(certs.ca.certfile))
    if identity is not None:
        made.load_cert_chain(identity.certfile, identity.keyfile)
    if tls:
        made.minimum_version = made.maximum_version = ssl.TLSVersion[tls.replace(".", "_")]
    return made


def dial(process: Process, made: ssl.SSLContext, version: int = 5, key: str = KEY) -> Raw:
    plain = socket.create_connection(("127.0.0.1", process.ports[key]), 20)
    return Raw(made.wrap_socket(plain, server_hostname="localhost"), version)


def may_come(process: Process, made: ssl.SSLContext) -> int | None:
    """Return the Reason Code of CONNACK; None: the handshake or the connection failed."""
    try:
        with dial(process, made) as c:
            return c.connect("x").reason
    except (ssl.SSLError, OSError, Closed):
        return None


@versions
def test_messages_travel_over_tls(
    start_broker: StartBroker, certs: Certs, tls: str
) -> None:
    process = start_broker(**keys(certs))
    with dial(process, context(certs, tls=tls)) as c:
        assert c.sock.version() == tls  # type: ignore[attr-defined]
        c.connect("c")
        c.subscribe(("t", 2))
        for size in (0, 1, 16384, 300_000):
            c.publish("t", b"x" * size, qos=0)
            assert take(c) == ("t", b"x" * size, 0)


def test_older_tls_than_min_version_is_refused(
    start_broker: StartBroker, certs: Certs
) -> None:
    process = start_broker(**keys(certs, tls__min_version="1.3"))
    assert may_come(process, context(certs, tls="TLSv1.3")) == 0
    assert may_come(process, context(certs, tls="TLSv1.2")) is None


def test_tls_1_1_is_never_spoken(start_broker: StartBroker, certs: Certs) -> None:
    process = start_broker(**keys(certs))
    made = context(certs)
    made.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        made.minimum_version = made.maximum_version = ssl.TLSVersion.TLSv1_1
    assert may_come(process, made) is None


def test_encrypted_key(start_broker: StartBroker, certs: Certs) -> None:
    process = start_broker(
        **keys(
            certs,
            tls__certfile=str(certs.locked.certfile),
            tls__keyfile=str(certs.locked.keyfile),
            tls__key_password=PASSWORD,
        )
    )
    assert may_come(process, context(certs)) == 0
    assert PASSWORD not in "".join(process.lines)


@versions
@pytest.mark.parametrize(
    ("more", "allowed"),
    [
        ({}, ("nobody", "client", "stranger", "expired")),
        ({"tls__verify_peer": "true"}, ("nobody", "client")),
        (
            {"tls__verify_peer": "true", "tls__fail_if_no_peer_cert": "true"},
            ("client",),
        ),
    ],
    ids=["unchecked", "verify", "required"],
)
def test_certificates_of_clients(
    start_broker: StartBroker,
    certs: Certs,
    tls: str,
    more: dict[str, str],
    allowed: tuple[str, ...],
) -> None:
    process = start_broker(**keys(certs, **more))
    for who in ("nobody", "client", "stranger", "expired"):
        identity = getattr(certs, who, None)
        reason = may_come(process, context(certs, identity, tls))
        assert (reason == 0) == (who in allowed), f"{who}: {reason}"


def test_common_name_is_the_user_and_needs_no_password(
    start_broker: StartBroker, certs: Certs
) -> None:
    process = start_broker(
        **keys(certs, tls__verify_peer="true"),
        listener__tls__cn_as_username="true",
        allow_anonymous="false",
        auth__1__login="u",
        auth__1__password="p",
        acl_nomatch="deny",
        acl__rule__1='{"permit":"allow","username":"pump-7","topics":["of/%u/#"]}',
    )
    with dial(process, context(certs, certs.client)) as c:
        assert c.connect("c").reason == 0
        assert c.subscribe(("of/pump-7/a", 0), ("of/u/a", 0)) == [0, 0x87]
    assert may_come(process, context(certs)) == 0x87
    assert may_come(process, context(certs, certs.stranger)) != 0
    with dial(process, context(certs)) as c:  # no certificate: by password, as elsewhere
        assert c.connect("c", user="u", password=b"p").reason == 0


def common_names(certs: Certs, **more: str) -> dict[str, str]:
    return keys(
        certs, tls__verify_peer="true", listener__tls__cn_as_username="true", **more
    )


def test_name_that_is_only_said_passes_no_rule_beside_certificates(
    start_broker: StartBroker, certs: Certs
) -> None:
    process = start_broker(**common_names(certs))
    with process.raw(5) as said, process.raw(5) as slow, process.raw(5) as nobody:
        said.connect("said", user="pump-7", password=b"")
        nobody.connect("nobody")
        process.reload(
            acl_nomatch="deny",
            acl__rule__1='{"permit":"allow","username":"pump-7","topics":["secret"]}',
        )
        assert closed_with(said) == 0x87
        assert nobody.subscribe(("secret", 0)) == [0x87]
        # a connection of before that took its time with the CONNECT
        assert slow.connect("slow", user="pump-7", password=b"").reason == 0x86
    with process.raw(5) as said:
        assert said.connect("said", user="pump-7").reason == 0x86
    with dial(process, context(certs)) as said:  # no certificate
        assert said.connect("said", user="pump-7").reason == 0x86
    with dial(process, context(certs, certs.client)) as c:
        c.connect("c")
        assert c.subscribe(("secret", 0)) == [0]
    process.reload(acl__rule__1=None)
    with process.raw(5) as said:
        assert said.connect("said", user="pump-7").reason == 0


def test_session_of_a_certificate_is_not_for_who_says_its_name(
    start_broker: StartBroker, certs: Certs
) -> None:
    process = start_broker(**common_names(certs))
    with dial(process, context(certs, certs.client)) as c:
        c.connect("c", **kept(5))
        assert c.subscribe(("secret", 1)) == [1]
        c.leave()
    with process.raw(5) as said:
        assert said.connect("c", user="pump-7", **kept(5)).flags == 0
        said.leave()
    with dial(process, context(certs, certs.client)) as c:
        assert c.connect("c", **kept(5)).flags == 0


def test_session_is_the_users_by_password_and_by_certificate(
    start_broker: StartBroker, certs: Certs
) -> None:
    process = start_broker(
        **common_names(certs, auth__1__login="pump-7", auth__1__password="p")
    )
    with dial(process, context(certs, certs.client)) as c:
        c.connect("c", **kept(5))
        c.leave()
    with process.raw(5) as c:
        assert c.connect("c", user="pump-7", password=b"p", **kept(5)).flags == 1
        c.leave()
    with dial(process, context(certs, certs.client)) as c:
        assert c.connect("c", **kept(5)).flags == 1


def replace_file(path: Path, by: Path) -> None:
    fresh = path.with_suffix(".new")
    shutil.copyfile(by, fresh)
    os.replace(fresh, path)


def test_certificates_are_replaced_under_open_connections(
    start_broker: StartBroker, certs: Certs, tmp_path: Path
) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "cert.key"
    shutil.copyfile(certs.server.certfile, cert)
    shutil.copyfile(certs.server.keyfile, key)
    process = start_broker(**keys(certs, tls__certfile=str(cert), tls__keyfile=str(key)))

    def shown() -> bytes | None:
        with dial(process, context(certs)) as c:
            return c.sock.getpeercert(binary_form=True)  # type: ignore[attr-defined,no-any-return]

    with dial(process, context(certs)) as old:
        old.connect("old")
        before = shown()
        fresh = certs.client  # another certificate of the same CA
        replace_file(cert, fresh.certfile)
        os.kill(process.pid, signal.SIGHUP)  # the key is still the old one's
        lines = process.conf.read_text().splitlines()
        line = 1 + next(n for n, text in enumerate(lines) if text.startswith("tls.keyfile"))
        process.waits_for(f"not reloaded: {process.conf}:{line}: tls.keyfile=")
        assert shown() == before
        replace_file(key, fresh.keyfile)
        os.kill(process.pid, signal.SIGHUP)
        process.waits_for("tls.certfile: another content")
        assert shown() not in (before, None)
        old.ping()


Fault = Callable[[Certs, Path], tuple[dict[str, str], str]]


def text_as(kind: str) -> Fault:
    def make(certs: Certs, folder: Path) -> tuple[dict[str, str], str]:
        (folder / "x.pem").write_text("hello")
        return {
            f"tls__{kind}": str(folder / "x.pem")
        }, f"tls.{kind}='.*x.pem': expected a PEM"

    return make


def garbage_as(kind: str, says: str) -> Fault:
    def make(certs: Certs, folder: Path) -> tuple[dict[str, str], str]:
        whole = Path(getattr(certs.server, kind)).read_text()
        (folder / "x.pem").write_text(whole.replace("\n", "\n!", 3))
        return {f"tls__{kind}": str(folder / "x.pem")}, says

    return make


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(text_as("certfile"), id="certfile is text"),
        pytest.param(text_as("keyfile"), id="keyfile is text"),
        pytest.param(text_as("cacertfile"), id="cacertfile is text"),
        pytest.param(
            garbage_as("certfile", "tls.certfile='.*x.pem': expected certificates"),
            id="certfile is garbage",
        ),
        pytest.param(
            garbage_as("keyfile", "tls.keyfile='.*x.pem': expected a private key"),
            id="keyfile is garbage",
        ),
        pytest.param(
            lambda c, f: (
                {"tls__keyfile": str(c.client.keyfile)},
                "tls.keyfile=.*: does not",
            ),
            id="key of another certificate",
        ),
        pytest.param(
            lambda c, f: ({"tls__certfile": "NULL"}, "tls.certfile: missing"),
            id="no certfile",
        ),
        pytest.param(
            lambda c, f: (
                {"tls__keyfile": "/nowhere/k"},
                "tls.keyfile='/nowhere/k': cannot be read: No such file",
            ),
            id="no such file",
        ),
        pytest.param(
            lambda c, f: (
                {
                    "tls__certfile": str(c.locked.certfile),
                    "tls__keyfile": str(c.locked.keyfile),
                },
                "tls.key_password: missing",
            ),
            id="no password",
        ),
        pytest.param(
            lambda c, f: (
                {
                    "tls__certfile": str(c.locked.certfile),
                    "tls__keyfile": str(c.locked.keyfile),
                    "tls__key_password": "wrong",
                },
                r"tls.key_password=\(hidden\): does not open",
            ),
            id="wrong password",
        ),
        pytest.param(
            lambda c, f: (
                {"tls__cacertfile": "NULL", "tls__verify_peer": "true"},
                "tls.cacertfile: missing, tls.verify_peer=true needs it",
            ),
            id="nobody to verify by",
        ),
        pytest.param(
            lambda c, f: (
                {"tls__fail_if_no_peer_cert": "true"},
                "tls.fail_if_no_peer_cert=true: expected tls.verify_peer=true",
            ),
            id="required but not checked",
        ),
        pytest.param(
            lambda c, f: (
                {"listener__tls__cn_as_username": "true"},
                "listener.tls.cn_as_username=true: expected tls.verify_peer=true",
            ),
            id="a name that nobody checks",
        ),
        pytest.param(
            lambda c, f: (
                {"listener__tls__tls__keyfile": str(c.client.keyfile)},
                "listener.tls.tls.keyfile='.*': does not belong",
            ),
            id="a listener's own key",
        ),
    ],
)
def test_fault_names_its_key(certs: Certs, tmp_path: Path, fault: Fault) -> None:
    more, says = fault(certs, tmp_path)
    text = "".join(f"{k.replace('__', '.')}={v}\n" for k, v in keys(certs, **more).items())
    config = parse(text, "x.conf")
    with pytest.raises(ConfigError, match=says):
        check_files(config)


async def test_certificate_of_another_kind_does_not_start_a_broker(certs: Certs) -> None:
    config = parse(
        "url=\nwebsocket.enable=false\ntls.enable=true\ntls.url=tls+nmq-tcp://127.0.0.1:0\n",
        "x.conf",
    )
    broker = Broker(config)
    with pytest.raises(ConfigError, match=r"tls\.certfile: missing"):
        await broker.start()
    with pytest.raises(RuntimeError, match="not running"):
        broker.stats()


async def test_handshakes_at_the_same_time_do_not_spoil_each_other(
    start_broker: StartBroker, certs: Certs
) -> None:
    assert TLS_IS_GUARDED
    process = start_broker(**keys(certs))
    wanted = context(certs)
    wanted.minimum_version = ssl.TLSVersion.TLSv1_3

    async def handshake() -> None:
        _, writer = await asyncio.open_connection(
            "127.0.0.1", process.ports[KEY], ssl=wanted, server_hostname="localhost"
        )
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    for _ in range(30):
        await asyncio.gather(*(handshake() for _ in range(30)))
    await asyncio.sleep(0.01)  # asyncio closes what is below TLS some turns later


def test_handshake_that_is_cut_at_any_byte_leaves_nothing(
    start_broker: StartBroker, certs: Certs
) -> None:
    process = start_broker(**keys(certs))
    with dial(process, context(certs)) as healthy:
        healthy.connect("healthy")
        hello = client_hello(certs)
        for end in range(1, len(hello), 7):
            with socket.create_connection(("127.0.0.1", process.ports[KEY]), 20) as cut:
                cut.sendall(hello[:end])
        healthy.ping()
    assert may_come(process, context(certs)) == 0


def client_hello(certs: Certs) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    half = context(certs).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        half.do_handshake()
    return outgoing.read()


def test_handshake_that_never_ends_does_not_hold_a_slot(
    start_broker: StartBroker, certs: Certs
) -> None:
    process = start_broker(**keys(certs, connect_timeout="300ms"))
    with socket.create_connection(("127.0.0.1", process.ports[KEY]), 20) as slow:
        slow.sendall(client_hello(certs)[:40])
        assert slow.recv(1) == b""


def test_config_default_has_no_tls_listener() -> None:
    assert [place.name for place in places_of(Config())] == ["tcp"]
