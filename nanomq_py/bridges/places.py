"""Where other brokers are: addresses as the core dials them, with their certificates."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from nanomq_py import kept
from nanomq_py.config import ConfigError
from nanomq_py.config.keys.bridges import Bridge
from nanomq_py.config.values.urls import ipc_path
from nanomq_py.core.binding import CoreError
from nanomq_py.core.bridging import DialTls

MAX_PEM_BYTES = 4 << 20  # the CAs of a system are much less

# A scheme -> whether it has TLS, whether it is a WebSocket.
_SCHEMES = {
    "mqtt-tcp": (False, False),
    "nmq-tcp": (False, False),
    "tls+mqtt-tcp": (True, False),
    "tls+nmq-tcp": (True, False),
    "nmq-ws": (False, True),
    "nmq-wss": (True, True),
}


@dataclass(frozen=True)
class Place:
    """An address, as ``csrc/io/dialer.h`` has it.

    tls  of the next dial: new certificates do not make it another place
    """

    url: str
    host: str
    port: int  # 0: host is the path of a Unix socket
    path: str | None = None  # of a WebSocket
    tls: DialTls | None = field(default=None, compare=False)


@dataclass(frozen=True)
class _Pem:
    """Texts for TLS with whatever place."""

    ca: str
    cert: str | None
    key: str | None


def _key(bridge: Bridge, name: str) -> str:
    return f"bridge.mqtt.{bridge.name}.{name}"


def _read(key: str, path: str) -> str:
    try:
        raw = kept.read_bytes(path, MAX_PEM_BYTES)
    except OSError as fault:
        raise ConfigError(f"{key}={path!r}: cannot be read: {fault.strerror}") from None
    if b"-----BEGIN " not in raw or b"\0" in raw:
        raise ConfigError(f"{key}={path!r}: expected a PEM file")
    return raw.decode("ascii", errors="replace")


def _cas(bridge: Bridge) -> str:
    """Return the CAs that stand for the other broker."""
    key = _key(bridge, "ssl.cacertfile")
    path = bridge.cacertfile
    if path is None:
        paths = ssl.get_default_verify_paths()
        path = next(
            (p for p in (paths.cafile, paths.openssl_cafile) if p and Path(p).is_file()),
            None,
        )
    if path is None:
        raise ConfigError(f"{key}: missing: this system has no file of all its CAs")
    text = _read(key, path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError):
        raise ConfigError(f"{key}={path!r}: expected certificates in PEM form") from None
    return text


def _check_pair(bridge: Bridge, certfile: str, keyfile: str) -> None:
    """Raise ConfigError unless the key can be read and is that of the certificate."""
    key = _key(bridge, "ssl.keyfile")
    password = bridge.key_password or ""
    try:
        with kept.readable(certfile) as cert, kept.readable(keyfile) as private:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(
                cert, private, lambda: password
            )
    except ssl.SSLError as fault:
        if fault.reason == "KEY_VALUES_MISMATCH":
            why = f"{key}={keyfile!r}: does not belong to the certificate {certfile!r}"
        else:
            why = (
                f"{key}={keyfile!r}: expected a private key in PEM form, and ssl.key_password"
                " if it is encrypted"
            )
        raise ConfigError(why) from None


def _pem(bridge: Bridge) -> _Pem:
    """Read the files of a bridge. Blocks. Raises ConfigError."""
    cert = key = None
    if bridge.certfile is not None:
        keyfile = bridge.keyfile or bridge.certfile
        cert = _read(_key(bridge, "ssl.certfile"), bridge.certfile)
        key = _read(_key(bridge, "ssl.keyfile"), keyfile)
        _check_pair(bridge, bridge.certfile, keyfile)
    elif bridge.keyfile is not None:
        raise ConfigError(f"{_key(bridge, 'ssl.certfile')}: missing, ssl.keyfile needs it")
    return _Pem(_cas(bridge) if bridge.verify_peer else "", cert, key)


def _tls(bridge: Bridge, host: str, pem: _Pem) -> DialTls:
    try:
        return DialTls(
            bridge.server_name or host,
            ca=pem.ca or None,
            cert=pem.cert,
            key=pem.key,
            key_password=bridge.key_password,
            verify_peer=bridge.verify_peer,
        )
    except CoreError as fault:
        raise ConfigError(
            f"{_key(bridge, 'ssl')}: TLS cannot use these files, or the name"
            f" {bridge.server_name or host!r}: {fault}"
        ) from None


def _places(bridge: Bridge) -> Iterator[Place]:
    pem: _Pem | None = None
    for number, url in enumerate(bridge.addresses):
        key = _key(bridge, "hybrid_servers" if number else "address")
        scheme = url.partition("://")[0]
        if scheme.endswith("ipc"):
            yield Place(url, ipc_path(url), 0)
            continue
        if scheme not in _SCHEMES:
            raise ConfigError(
                f"{key}={url}: expected another scheme, such as mqtt-tcp: QUIC is not spoken"
                " here"
            )
        has_tls, is_web = _SCHEMES[scheme]
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if not port:
            raise ConfigError(f"{key}={url}: expected a port from 1 to 65535")
        if has_tls and pem is None:
            pem = _pem(bridge)
        tls = _tls(bridge, host, pem) if has_tls and pem is not None else None
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        yield Place(url, host, port, (target or "/mqtt") if is_web else None, tls)


def places_of(bridge: Bridge) -> tuple[Place, ...]:
    """Return where the other broker may be, the preferred one first.

    Blocks: it reads PEM files. Raises ConfigError naming the key.
    """
    return tuple(_places(bridge))
