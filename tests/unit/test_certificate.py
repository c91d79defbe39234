"""io/certificate.h: names in certificates of any kind, whole or broken."""

from __future__ import annotations

import warnings
from datetime import datetime, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from tests._core_test import ffi, lib
from tests.unit.clib import Exact

NONE, REFUSED = lib.NMQ_ENOENT, lib.NMQ_EACCESS
CN, DNS = lib.NMQ_PEER_COMMON_NAME, lib.NMQ_PEER_DNS_NAME
EMAIL, URI = lib.NMQ_PEER_EMAIL, lib.NMQ_PEER_URI
KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(
    subject: list[x509.NameAttribute], names: list[x509.GeneralName] | None = None
) -> bytes:
    begun = datetime(2026, 1, 1, tzinfo=timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(subject))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer")]))
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(begun)
        .not_valid_after(begun + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
    )
    if names is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), True)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def name_of(der: bytes, kind: int) -> bytes | int:
    """Return the name, or the status that is not NMQ_OK."""
    held, to = Exact(der), ffi.new("char[]", lib.NMQ_PEER_NAME_BYTES)
    rv = int(lib.nmq_certificate_name(held.slice, kind, to))
    return rv if rv != 0 else ffi.string(to)


def common_name(text: str, kind: _ASN1Type = _ASN1Type.UTF8String) -> x509.NameAttribute:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is longer than it may be
        return x509.NameAttribute(NameOID.COMMON_NAME, text, kind, _validate=False)


def organization(text: str) -> x509.NameAttribute:
    return x509.NameAttribute(NameOID.ORGANIZATION_NAME, text)


FULL = certificate(
    [organization("CN=admin"), common_name("pump-7"), organization("Works, CN=root")],
    [
        x509.RFC822Name("pump@works.example"),
        x509.DNSName("a.works.example"),
        x509.DNSName("b.works.example"),
        x509.UniformResourceIdentifier("spiffe://works/pump/7"),
    ],
)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (CN, b"pump-7"),
        (DNS, b"a.works.example"),
        (EMAIL, b"pump@works.example"),
        (URI, b"spiffe://works/pump/7"),
        (lib.NMQ_PEER_NO_NAME, NONE),
    ],
)
def test_each_kind_is_its_own(kind: int, name: bytes | int) -> None:
    assert name_of(FULL, kind) == name


@pytest.mark.parametrize(
    ("attribute", "name"),
    [
        (common_name("Zoë"), "Zoë".encode()),
        (common_name("plain", _ASN1Type.PrintableString), b"plain"),
        (common_name("a,b+c=d"), b"a,b+c=d"),
        (common_name("x" * 255), b"x" * 255),
        (common_name("x" * 256), REFUSED),
        (common_name("admin\0.evil"), REFUSED),
        (common_name("ab", _ASN1Type.BMPString), REFUSED),
        (common_name("ab", _ASN1Type.T61String), REFUSED),
        (organization("CN=admin"), NONE),
    ],
    ids=range(9),
)
def test_common_name(attribute: x509.NameAttribute, name: bytes | int) -> None:
    assert name_of(certificate([attribute]), CN) == name


@pytest.mark.parametrize(
    ("names", "kind", "name"),
    [
        (None, DNS, NONE),
        ([x509.DNSName("a")], EMAIL, NONE),
        ([x509.DNSName("a\0.evil")], DNS, REFUSED),
        ([x509.DNSName("a" * 256)], DNS, REFUSED),
        ([x509.DNSName("")], DNS, NONE),
        ([x509.RFC822Name("a@b")], DNS, NONE),
    ],
    ids=range(6),
)
def test_alternative_name(
    names: list[x509.GeneralName] | None, kind: int, name: bytes | int
) -> None:
    assert name_of(certificate([common_name("c")], names), kind) == name


def test_certificate_that_is_cut_has_no_name() -> None:
    for size in range(len(FULL)):
        for kind in (CN, DNS, EMAIL, URI):
            assert name_of(FULL[:size], kind) == REFUSED


@given(
    changes=st.lists(st.tuples(st.integers(0, len(FULL) - 1), st.integers(0, 255))),
    kind=st.sampled_from([CN, DNS, EMAIL, URI]),
)
def test_any_bytes_end_in_a_name_or_a_status(
    changes: list[tuple[int, int]], kind: int
) -> None:
    der = bytearray(FULL)
    for at, byte in changes:
        der[at] = byte
    found = name_of(bytes(der), kind)
    assert found in (NONE, REFUSED) or (isinstance(found, bytes) and len(found) < 256)
