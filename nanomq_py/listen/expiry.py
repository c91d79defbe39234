"""Until when a certificate is good, without a library for all that is in one.

Source  RFC 5280, 4.1: Certificate, TBSCertificate, Validity
"""

from __future__ import annotations

import re
import ssl
from datetime import datetime, timezone

from nanomq_py.tokens.der import INTEGER, SEQUENCE, element

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_VERSION, _UTC_TIME, _GENERALIZED_TIME = 0xA0, 0x17, 0x18


def _skipped(data: bytes, tag: int) -> bytes:
    """Return what follows the element that comes first. Raises ValueError."""
    return element(data, tag)[1]


def _time(data: bytes) -> tuple[float, bytes]:
    """Return the time that comes first, in seconds since 1970, and what follows it."""
    is_long = data[:1] == bytes([_GENERALIZED_TIME])
    content, rest = element(data, _GENERALIZED_TIME if is_long else _UTC_TIME)
    text = content.decode("ascii")
    if not is_long:  # RFC 5280, 4.1.2.5.1: 50 and above are of the last century
        text = f"{'19' if text[:2] >= '50' else '20'}{text}"
    moment = datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc)
    return moment.timestamp(), rest


def not_after(pem: str) -> float | None:
    """Return until when the first certificate is good, in seconds since 1970.

    None: it cannot be told
    """
    found = _PEM.search(pem)
    if found is None:
        return None
    try:
        certificate, _ = element(ssl.PEM_cert_to_DER_cert(found[0]), SEQUENCE)
        inside, _ = element(certificate, SEQUENCE)
        if inside[:1] == bytes([_VERSION]):
            inside = _skipped(inside, _VERSION)
        for tag in (INTEGER, SEQUENCE, SEQUENCE):  # serialNumber, signature, issuer
            inside = _skipped(inside, tag)
        validity, _ = element(inside, SEQUENCE)
        return _time(_time(validity)[1])[0]
    except ValueError:  # of base64, of ASCII and of a date, too
        return None
