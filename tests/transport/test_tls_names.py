"""The user name that a certificate proves: ``listener.NAME.username_from``."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from nanomq_py.config import ConfigError, parse
from nanomq_py.listen import tls as listen_tls
from nanomq_py.server import check_files
from tests.certs import Certs, Identity
from tests.conftest import Process, StartBroker
from tests.transport.test_tls import context, dial, keys, versions

RULES = {
    "acl_nomatch": "deny",
    "acl__rule__1": '{"permit":"allow","action":"subscribe","topics":["of/%u"]}',
}


def certificate(
    folder: Path, ca: Identity, common_name: str, *names: x509.GeneralName
) -> Identity:
    """Make one of that CA with an organization that looks like a name."""
    key = ec.generate_private_key(ec.SECP256R1())
    begun = datetime.now(timezone.utc) - timedelta(days=1)
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "CN=admin")]
    if common_name:
        attributes.append(
            x509.NameAttribute(NameOID.COMMON_NAME, common_name, _validate=False)
        )
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(attributes))
        .issuer_name(ca.cert.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begun)
        .not_valid_after(begun + timedelta(days=2))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
    cert = builder.sign(ca.key, hashes.SHA256())
    certfile, keyfile = folder / "named.pem", folder / "named.key"
    certfile.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    keyfile.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return Identity(cert, key, certfile, keyfile)


def named(certs: Certs, names_from: str, **more: str) -> dict[str, str]:
    return keys(
        certs,
        tls__verify_peer="true",
        listener__tls__username_from=names_from,
        **RULES,
        **more,
    )


def is_user(
    process: Process, certs: Certs, identity: Identity, name: str, tls: str = ""
) -> bool:
    with dial(process, context(certs, identity, tls)) as c:
        assert c.connect("c").reason == 0
        mine, other = c.subscribe((f"of/{name}", 0), ("of/admin", 0))
        assert other == 0x87
        return mine == 0


ALL = (
    x509.IPAddress(ip_address("192.0.2.7")),
    x509.RFC822Name("pump@works.example"),
    x509.DNSName("pump-7.works"),
    x509.UniformResourceIdentifier("urn:pump:7"),
    x509.DNSName("other.works"),
)


@versions
@pytest.mark.parametrize(
    ("names_from", "name"),
    [
        ("cn", "pump-7"),
        ("dns", "pump-7.works"),
        ("email", "pump@works.example"),
        ("uri", "urn:pump:7"),
    ],
)
def test_name_of_the_chosen_kind_is_the_user(
    start_broker: StartBroker,
    certs: Certs,
    tmp_path: Path,
    tls: str,
    names_from: str,
    name: str,
) -> None:
    identity = certificate(tmp_path, certs.ca, "pump-7", *ALL)
    process = start_broker(**named(certs, names_from, allow_anonymous="false"))
    assert is_user(process, certs, identity, name, tls)


def test_reload_chooses_another_kind(
    start_broker: StartBroker, certs: Certs, tmp_path: Path
) -> None:
    identity = certificate(tmp_path, certs.ca, "pump-7", *ALL)
    process = start_broker(**named(certs, "cn"))
    assert is_user(process, certs, identity, "pump-7")
    process.reload(listener__tls__username_from="dns")
    assert is_user(process, certs, identity, "pump-7.works")


@pytest.mark.parametrize(
    ("names_from", "common_name", "names", "reason"),
    [
        ("dns", "pump-7", (), 0x86),  # it has none: it logs in as elsewhere
        ("dns", "pump-7", (x509.RFC822Name("a@b"),), 0x86),
        ("cn", "", (x509.DNSName("pump-7"),), 0x86),
        ("dns", "pump-7", (x509.DNSName("admin\0.works"),), 0x87),
        ("dns", "pump-7", (x509.DNSName("a" * 256),), 0x87),
        ("cn", "admin\0.works", (), 0x87),
    ],
    ids=range(6),
)
def test_certificate_without_a_good_name_proves_none(
    start_broker: StartBroker,
    certs: Certs,
    tmp_path: Path,
    names_from: str,
    common_name: str,
    names: tuple[x509.GeneralName, ...],
    reason: int,
) -> None:
    identity = certificate(tmp_path, certs.ca, common_name, *names)
    process = start_broker(
        **named(certs, names_from, allow_anonymous="false"),
        auth__1__login="u",
        auth__1__password="p",
    )
    with dial(process, context(certs, identity)) as c:
        assert c.connect("c", user="admin", password=b"guess").reason == reason


def refusal(given: dict[str, str]) -> str:
    text = "".join(f"{name.replace('__', '.')}={value}\n" for name, value in given.items())
    with pytest.raises(ConfigError) as refused:
        check_files(parse(text, "x"))
    return str(refused.value)


def test_fault_names_its_key(certs: Certs) -> None:
    key = "listener.tls.username_from"
    assert f"{key}=dns: expected tls.verify_peer=true" in refusal(
        keys(certs, listener__tls__username_from="dns")
    )
    assert f"{key}='ip': expected cn or dns or email or uri or psk" in refusal(
        keys(certs, tls__verify_peer="true", listener__tls__username_from="ip")
    )
    assert f"{key}=psk: expected listener.tls.tls.psk_file with it" in refusal(
        named(certs, "psk")
    )
    assert f"{key}=dns: expected no listener.tls.cn_as_username=true with it" in refusal(
        named(certs, "dns", listener__tls__cn_as_username="true")
    )
    assert "listener.tcp.username_from=cn: expected a listener with TLS" in refusal(
        keys(certs, listener__tcp__username_from="cn")
    )


def test_names_are_not_promised_where_certificates_cannot_be_seen(
    certs: Certs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen_tls.core_tls, "knows_certificates", lambda: False)
    assert "username_from: the Mbed TLS inside" in refusal(named(certs, "cn"))
