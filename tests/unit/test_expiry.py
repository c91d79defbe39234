"""listen/expiry.py: until when a certificate is good, as another library reads it too."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from nanomq_py.listen.expiry import not_after
from tests.certs import identity

KEY = ec.generate_private_key(ec.SECP256R1())


def made(until: datetime) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    builder = x509.CertificateBuilder(name, name, KEY.public_key(), 7)
    begun = datetime(1960, 1, 1, tzinfo=timezone.utc)
    good = builder.not_valid_before(begun).not_valid_after(until)
    return good.sign(KEY, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize("year", [1971, 1999, 2000, 2026, 2049, 2050, 9999])
def test_both_forms_of_a_time(year: int) -> None:
    until = datetime(year, 12, 31, 23, 59, 59, tzinfo=timezone.utc)
    assert not_after(made(until)) == until.timestamp()


def test_the_first_of_a_chain_counts(tmp_path: Path) -> None:
    its = identity(tmp_path, "x", valid_for=timedelta(days=3))
    other = made(datetime(2030, 1, 1, tzinfo=timezone.utc))
    assert not_after(its.certfile.read_text() + other) == (
        its.cert.not_valid_after_utc.timestamp()
    )


def test_what_is_no_certificate_has_no_end() -> None:
    whole = made(datetime(2030, 1, 1, tzinfo=timezone.utc))
    der = base64.b64decode("".join(whole.splitlines()[1:-1]))
    assert not_after("") is None
    for cut in (*range(0, 140), len(der) - 1):
        body = base64.encodebytes(der[:cut]).decode()
        text = f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n"
        assert not_after(text) is None
    assert not_after("-----BEGIN CERTIFICATE-----\nÄ!\n-----END CERTIFICATE-----\n") is None
