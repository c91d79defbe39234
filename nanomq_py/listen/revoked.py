"""Lists of revoked certificates: checked, as Mbed TLS passes over one that does not fit."""

from __future__ import annotations

import re

from cryptography import x509
from cryptography.exceptions import InvalidSignature

_LIST = re.compile(r"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


def _is_of(found: x509.CertificateRevocationList, ca: x509.Certificate) -> bool:
    try:
        return found.issuer == ca.subject and found.is_signature_valid(
            ca.public_key()  # type: ignore[arg-type] # another kind of key raises TypeError
        )
    except (ValueError, TypeError, InvalidSignature):
        return False


def fault_of(text: str, ca: str) -> str | None:
    """Return what is wrong with revocation lists in PEM form; None: nothing.

    ca   the certificates of those who may have made them, in PEM form
    """
    try:
        lists = [x509.load_pem_x509_crl(pem.encode()) for pem in _LIST.findall(text)]
        known = x509.load_pem_x509_certificates(ca.encode())
    except ValueError:
        lists, known = [], []
    if not lists or text.count("-----BEGIN ") != len(lists):
        return "expected revocation lists in PEM form, and nothing else"
    for found in lists:
        if not any(_is_of(found, ca) for ca in known):
            name = found.issuer.rfc4514_string()
            return f"expected lists that a CA of cacertfile has signed, not {name!r}"
    return None
