"""How https servers are verified, and what they are shown.

The system's CAs are looked up one by one in their folder where it has them by hash: reading the
whole bundle takes most of a megabyte.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from nanomq_py import kept
from nanomq_py.fetch.message import FetchError


class CertificateError(FetchError):
    """A file cannot be used; ``key`` says which: cacertfile or certfile."""

    def __init__(self, key: str, file: str, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.key = key


def client_tls(
    cacertfile: str | None, certfile: str | None, keyfile: str | None
) -> ssl.SSLContext:
    """Return a context that verifies servers by those CAs, or by the system's.

    Blocks. Raises CertificateError.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if cacertfile is None:
        _use_system(made)
    else:
        try:
            with kept.readable(cacertfile) as cafile:
                made.load_verify_locations(cafile=cafile)
        except OSError as fault:
            raise CertificateError("cacertfile", cacertfile, _reason(fault)) from None
    if certfile is not None:
        try:
            # A key with a password would be asked for at the terminal.
            with kept.readable(certfile) as cert, kept.readable(keyfile or certfile) as key:
                made.load_cert_chain(cert, key, password=lambda: "")
        except OSError as fault:
            raise CertificateError("certfile", certfile, _reason(fault)) from None
    return made


def _use_system(context: ssl.SSLContext) -> None:
    paths = ssl.get_default_verify_paths()
    folder = paths.capath
    is_told = paths.openssl_cafile_env in os.environ
    if folder is None or is_told or not any(Path(folder).glob("*.0")):
        context.set_default_verify_paths()
    else:
        context.load_verify_locations(capath=folder)


def _reason(fault: OSError) -> str:
    if isinstance(fault, ssl.SSLError):
        return "it is not a PEM file of certificates, or its key does not fit"
    return f"cannot be read: {fault.strerror}"
