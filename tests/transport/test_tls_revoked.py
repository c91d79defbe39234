"""Certificates that their CA has revoked, and lists of them that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from nanomq_py.config import ConfigError, parse
from nanomq_py.server import check_files
from tests.certs import Certs, identity, revocations
from tests.conftest import StartBroker
from tests.transport.test_tls import context, dial, keys, may_come, versions
from tests.transport.test_tls_refusal import CHECKED, REQUIRED, alert


@versions
@pytest.mark.parametrize("asked", [CHECKED, REQUIRED], ids=["verify", "required"])
def test_revoked_certificate_is_refused(
    start_broker: StartBroker,
    certs: Certs,
    tmp_path: Path,
    tls: str,
    asked: dict[str, str],
) -> None:
    other = identity(tmp_path, "other", issuer=certs.ca)
    crl = revocations(tmp_path, certs.ca, other)
    process = start_broker(**keys(certs, tls__crlfile=str(crl), **asked))
    assert may_come(process, context(certs, certs.client, tls)) == 0
    assert alert(process, context(certs, other, tls)).endswith("CERTIFICATE_REVOKED")
    process.waits_for("refused: TLS: its certificate was revoked")


def test_reload_reads_the_list_again(
    start_broker: StartBroker, certs: Certs, tmp_path: Path
) -> None:
    crl = revocations(tmp_path, certs.ca)
    process = start_broker(**keys(certs, tls__crlfile=str(crl), **REQUIRED))
    made = context(certs, certs.client)
    with dial(process, made) as old:
        old.connect("old")
        revocations(tmp_path, certs.ca, certs.client)
        assert may_come(process, made) == 0  # not before it is told
        assert process.reload()["applied"] == ["tls.crlfile"]
        assert may_come(process, made) is None
        old.ping()  # it came in before
    process.reload(tls__crlfile=None)
    assert may_come(process, made) == 0


def test_list_of_one_listener_is_not_that_of_others(
    start_broker: StartBroker, certs: Certs, tmp_path: Path
) -> None:
    crl = revocations(tmp_path, certs.ca, certs.client)
    process = start_broker(
        **keys(certs, **REQUIRED),
        listener__more__url="tls+nmq-tcp://127.0.0.1:0",
        listener__more__tls__crlfile=str(crl),
    )
    made = context(certs, certs.client)
    assert may_come(process, made) == 0
    with pytest.raises(OSError), dial(process, made, key="listener.more.url") as c:  # noqa: PT011
        c.connect("c")


def test_list_that_has_expired_lets_nobody_in(
    start_broker: StartBroker, certs: Certs, tmp_path: Path
) -> None:
    crl = revocations(tmp_path, certs.ca, valid_for=timedelta(hours=1))
    process = start_broker(**keys(certs, tls__crlfile=str(crl), **REQUIRED))
    assert may_come(process, context(certs, certs.client)) is None
    process.waits_for("what its CA has revoked (crlfile) is not valid now")


def of_another_ca(folder: Path, certs: Certs) -> Path:
    return revocations(folder, identity(folder, "ca"))  # of the same name


def garbage(folder: Path, certs: Certs) -> Path:
    path = folder / "crl.pem"
    path.write_text("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")
    return path


def with_more(folder: Path, certs: Certs) -> Path:
    path = revocations(folder, certs.ca)
    path.write_bytes(path.read_bytes() + certs.ca.certfile.read_bytes())
    return path


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder, certs: folder / "none", "cannot be read: No such file"),
        (lambda folder, certs: certs.ca.certfile, "expected revocation lists in PEM form"),
        (garbage, "expected revocation lists in PEM form"),
        (with_more, "expected revocation lists in PEM form, and nothing else"),
        (of_another_ca, "expected lists that a CA of cacertfile has signed, not 'CN=ca'"),
    ],
)
def test_list_that_cannot_be_used_is_named(
    certs: Certs, tmp_path: Path, make: Callable[[Path, Certs], Path], says: str
) -> None:
    given = keys(certs, tls__crlfile=str(make(tmp_path, certs)), **CHECKED)
    text = "".join(f"{name.replace('__', '.')}={value}\n" for name, value in given.items())
    with pytest.raises(ConfigError, match=r"tls\.crlfile=") as refused:
        check_files(parse(text, "x"))
    assert says in str(refused.value)


def test_list_without_verify_peer_is_refused(certs: Certs, tmp_path: Path) -> None:
    crl = revocations(tmp_path, certs.ca)
    given = keys(certs, listener__tls__tls__crlfile=str(crl))
    text = "".join(f"{name.replace('__', '.')}={value}\n" for name, value in given.items())
    with pytest.raises(
        ConfigError, match=r"listener\.tls\.tls\.crlfile=.*verify_peer=true"
    ):
        check_files(parse(text, "x"))
