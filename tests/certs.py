"""Certificates for tests, made when they are needed; none is kept.

``python -m tests.certs FOLDER`` writes them for people.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PASSWORD = "open sesame"


@dataclass
class Identity:
    """A certificate with its key, as files."""

    cert: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    certfile: Path
    keyfile: Path


def identity(
    folder: Path,
    name: str,
    *,
    issuer: Identity | None = None,
    common_name: str | None = None,
    valid_for: timedelta = timedelta(days=2),
    password: str | None = None,
    is_ca: bool = False,
) -> Identity:
    """Make one; without an issuer it is a CA that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name or name)])
    begun = datetime.now(timezone.utc) - timedelta(days=1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.cert.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begun)
        .not_valid_after(begun + valid_for)
        .add_extension(
            x509.BasicConstraints(ca=is_ca or issuer is None, path_length=None), True
        )
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
            ),
            False,
        )
    )
    cert = builder.sign(key if issuer is None else issuer.key, hashes.SHA256())
    certfile, keyfile = folder / f"{name}.pem", folder / f"{name}.key"
    certfile.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    keyfile.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password.encode())
            if password
            else serialization.NoEncryption(),
        )
    )
    return Identity(cert, key, certfile, keyfile)


def revocations(
    folder: Path, ca: Identity, *revoked: Identity, valid_for: timedelta = timedelta(days=2)
) -> Path:
    """Write the list of what that CA has revoked."""
    begun = datetime.now(timezone.utc) - timedelta(days=1)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.cert.subject)
        .last_update(begun)
        .next_update(begun + valid_for)
    )
    for identity in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(identity.cert.serial_number)
            .revocation_date(begun)
            .build()
        )
    path = folder / "crl.pem"
    path.write_bytes(
        builder.sign(ca.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    return path


@dataclass
class Certs:
    """A CA, a server and clients it stands for, and a stranger it does not."""

    ca: Identity
    server: Identity
    locked: Identity  # as server, its key encrypted with PASSWORD
    client: Identity  # Common Name "pump-7"
    expired: Identity
    stranger: Identity


def make(folder: Path) -> Certs:
    ca = identity(folder, "ca")
    other = identity(folder, "other-ca")
    return Certs(
        ca=ca,
        server=identity(folder, "server", issuer=ca, common_name="localhost"),
        locked=identity(
            folder, "locked", issuer=ca, common_name="localhost", password=PASSWORD
        ),
        client=identity(folder, "client", issuer=ca, common_name="pump-7"),
        expired=identity(folder, "expired", issuer=ca, valid_for=timedelta(hours=1)),
        stranger=identity(folder, "stranger", issuer=other, common_name="pump-7"),
    )


if __name__ == "__main__":
    make(Path(sys.argv[1]))
