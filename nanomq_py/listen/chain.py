"""Which certificates a server sends: its own, and those between it and the root."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

MOST_LINKS = 10


def _issued(cert: x509.Certificate, by: x509.Certificate) -> bool:
    try:
        cert.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _issuer(cert: x509.Certificate, among: Sequence[x509.Certificate]) -> int | None:
    return next((at for at, by in enumerate(among) if _issued(cert, by)), None)


def completed(cert: str, ca: str) -> str:
    """Return the chain of ``cert``, in PEM form, with what ``ca`` has of its rest.

    A root is left out: a client that does not know it would not trust it.

    Raises   ValueError for what is no certificate
    """
    chain = x509.load_pem_x509_certificates(cert.encode())
    known = x509.load_pem_x509_certificates(ca.encode())
    more: list[str] = []
    last = chain[-1]
    while len(more) < MOST_LINKS and last.issuer != last.subject:
        at = _issuer(last, known)
        if at is None or known[at].issuer == known[at].subject:
            break
        last = known.pop(at)
        more.append(last.public_bytes(Encoding.PEM).decode())
    return "".join([cert if cert.endswith("\n") else f"{cert}\n", *more]) if more else cert
