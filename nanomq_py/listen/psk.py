"""A file of pre-shared keys: ``IDENTITY:KEY`` lines, as mosquitto has them.

::

    # devices of the first floor
    pump-7:9f2c6d1e0b7a48c3a5d0f1e2b3c4d5e6

A key is written in hexadecimal. Empty lines and those that begin with ``#`` mean nothing. A
fault names file and line, and shows nothing of the line.

Source   mosquitto.conf(5): psk_file; RFC 9257, 6 (a key has 128 bits or more)
"""

from __future__ import annotations

import codecs
import re

from nanomq_py import kept
from nanomq_py.config import Config, ConfigError
from nanomq_py.config.faults import Faults
from nanomq_py.config.keys.listeners import Listener
from nanomq_py.config.values.texts import is_text
from nanomq_py.core import tls as core_tls
from nanomq_py.core.records import TlsOptions

MOST_BYTES = 8 << 20
MOST_IDENTITY_BYTES = 255  # it may be a user name
LEAST_KEY_BYTES, MOST_KEY_BYTES = 16, 48  # the most of Mbed TLS as pynng has it
_KEY = re.compile(r"(?:[0-9A-Fa-f]{2})+")
# Those of TLS 1.3, and for 1.2 with a key of their own for each connection before the others:
# ECDHE-PSK, then PSK, with ChaCha20-Poly1305, AES-GCM, AES-CCM and AES-CCM-8 (RFC 7925, 4.2).
CIPHERS = (0x1301, 0x1303, 0x1302, 0xCCAC, 0x00A9, 0x00A8, 0xCCAB, 0xC0A5, 0xC0A4, 0xC0A8)
# Keys that say something of certificates, which such a listener has not.
_OF_CERTIFICATES = (
    *("certfile", "keyfile", "key_password", "cacertfile", "crlfile"),
    *("verify_peer", "fail_if_no_peer_cert", "ciphers"),
)


def _psk(line: str) -> tuple[str, bytes] | str:
    """Return identity and key, or what is wrong with the line."""
    identity, colon, key = line.partition(":")
    if not colon or not identity or not is_text(identity):
        return "expected IDENTITY:KEY"
    if len(identity.encode()) > MOST_IDENTITY_BYTES:
        return f"expected an identity of {MOST_IDENTITY_BYTES} bytes at most"
    if not _KEY.fullmatch(key) or not LEAST_KEY_BYTES <= len(key) // 2 <= MOST_KEY_BYTES:
        return (
            f"expected a key of {LEAST_KEY_BYTES} to {MOST_KEY_BYTES} bytes in hexadecimal"
        )
    return identity, bytes.fromhex(key)


def _psks(path: str, text: str) -> dict[str, bytes]:
    faults = Faults()
    psks: dict[str, bytes] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip("\r ")
        if not line or line.startswith("#"):
            continue
        if faults.enough:
            break
        found = _psk(line)
        with faults.gathered():
            if isinstance(found, str):
                raise ConfigError(f"{path}:{number}: {found}")
            if found[0] in psks:
                raise ConfigError(f"{path}:{number}: this identity has a line above")
            psks[found[0]] = found[1]
    faults.check()
    return psks


def read_psks(path: str, called: str) -> dict[str, bytes]:
    """Return the key of each identity. Blocks.

    called   the key that names the file
    Raises   ConfigError
    """
    try:
        raw = kept.read_bytes(path, MOST_BYTES)
    except OSError as fault:
        raise ConfigError(f"{called}={path!r}: cannot be read: {fault.strerror}") from None
    try:
        text = raw.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{called}={path!r}: expected UTF-8") from None
    psks = _psks(path, text)
    if not psks:
        raise ConfigError(f"{called}={path!r}: expected a line IDENTITY:KEY")
    return psks


def load_psks(config: Config, listener: Listener, path: str) -> TlsOptions:
    """Return what a listener with pre-shared keys needs for TLS. Blocks.

    Raises   ConfigError naming the key
    """
    at = f"listener.{listener.name}."
    called = config.said.called(f"{at}tls.psk_file")
    for key in _OF_CERTIFICATES:
        if getattr(listener, key) is not None:
            other = config.said.called(f"{at}tls.{key}")
            raise ConfigError(
                f"{called}={path!r}: expected no {other} with it: a listener has pre-shared"
                " keys or certificates"
            )
    if listener.names_from not in (None, "psk"):
        raise ConfigError(f"{called}={path!r}: expected {at}username_from=psk, or none")
    if not core_tls.TLS_TAKES_PSKS or not core_tls.TLS_TAKES_CIPHERS:
        raise ConfigError(
            f"{called}={path!r}: the Mbed TLS inside this pynng takes no pre-shared keys"
        )
    version = listener.min_version or config.tls.min_version
    return TlsOptions(
        min_version=13 if version == "1.3" else 12,
        ciphers=CIPHERS,
        psks=tuple(read_psks(path, called).items()),
    )
