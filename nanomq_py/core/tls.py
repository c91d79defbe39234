"""Certificates and keys as nng's TLS takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nanomq_py.core.native import TLS_IS_GUARDED as TLS_IS_GUARDED
from nanomq_py.core.native import c_text, check, ffi, lib
from nanomq_py.core.records import TlsOptions

if TYPE_CHECKING:
    from nanomq_py._core import CData, nmq_tls, nmq_tls_psk

TLS_TAKES_CIPHERS: bool = lib.nmq_tls_takes_ciphers()
TLS_TAKES_PSKS: bool = lib.nmq_tls_takes_psks()


def knows_certificates() -> bool:
    """Return whether the names in certificates can be read. It starts nng's threads."""
    return lib.nmq_tls_knows_certificates()


def has_cipher(suite: int) -> bool:
    """Return whether nng's TLS has the cipher suite of that number (IANA's)."""
    return lib.nmq_tls_has_cipher(suite)


def _c_psks(psks: tuple[tuple[str, bytes], ...], kept: list[CData]) -> nmq_tls_psk:
    raw = ffi.new("nmq_tls_psk[]", len(psks))
    kept.append(raw)
    for at, (identity, key) in enumerate(psks):
        held = ffi.new("uint8_t[]", key)
        kept.append(held)
        raw[at].identity, raw[at].key = c_text(identity, kept), held
        raw[at].key_bytes = len(key)
    return raw


class Tls:
    """Certificates and keys, made ready for listeners."""

    def __init__(self, options: TlsOptions) -> None:
        """Make them ready. Raises CoreError when nng's TLS cannot use them."""
        kept: list[CData] = []
        raw = ffi.new("nmq_tls_options *")
        raw.cert, raw.key = c_text(options.cert, kept), c_text(options.key, kept)
        raw.key_password = c_text(options.key_password, kept)
        raw.ca, raw.crl = c_text(options.ca, kept), c_text(options.crl, kept)
        raw.verify_peer, raw.require_cert = options.verify_peer, options.require_cert
        raw.min_version = options.min_version
        suites = ffi.new("uint16_t[]", options.ciphers)
        raw.ciphers, raw.cipher_count = suites, len(options.ciphers)
        psks = _c_psks(options.psks, kept)
        raw.psks, raw.psk_count = psks, len(options.psks)
        out = ffi.new("nmq_tls **")
        check(lib.nmq_tls_new(raw, out))
        self.handle: nmq_tls = ffi.gc(out[0], lib.nmq_tls_free)
