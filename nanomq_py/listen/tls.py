"""Certificates and keys: read, and checked so that a fault names the key that is wrong.

OpenSSL, which Python has, looks at them first: nng's Mbed TLS says only that something is
wrong.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import Any

from nanomq_py import kept
from nanomq_py.config import Config, ConfigError
from nanomq_py.config.faults import Faults
from nanomq_py.config.keys.http_server import HttpServer
from nanomq_py.config.keys.listeners import DEFAULT_CIPHERS, Listener, Tls
from nanomq_py.core import tls as core_tls
from nanomq_py.core.records import TlsOptions
from nanomq_py.listen.places import places_of
from nanomq_py.listen.psk import load_psks

MAX_PEM_BYTES = 1 << 20
MOST_CRL_BYTES = 8 << 20


def http_listener(http: HttpServer) -> Listener:
    """Return the TLS keys of the HTTP API as those of a listener, which has no name."""
    return Listener(
        keyfile=http.tls_keyfile,
        key_password=http.tls_key_password,
        certfile=http.tls_certfile,
        cacertfile=http.tls_cacertfile,
        crlfile=http.tls_crlfile,
        verify_peer=http.tls_verify_peer,
        fail_if_no_peer_cert=http.tls_fail_if_no_peer_cert,
        min_version=http.tls_min_version,
    )


def name_of(listener: Listener, key: str, base: Tls | None = None) -> str:
    """Return which key sets that for a listener: its own where it has one, else ``tls.*``.

    base  for the HTTP API: its own key is named where neither is there
    """
    own = getattr(listener, key) is not None
    if not listener.name:
        own = own or getattr(base, key, None) is None
        return f"http_server.tls.{key}" if own else f"tls.{key}"
    return f"listener.{listener.name}.tls.{key}" if own else f"tls.{key}"


def _read(name: str, path: str | None, most: int = MAX_PEM_BYTES) -> str:
    if path is None:
        raise ConfigError(f"{name}: missing, a listener with TLS needs it")
    try:
        raw = kept.read_bytes(path, most)
    except OSError as fault:
        raise ConfigError(f"{name}={path!r}: cannot be read: {fault.strerror}") from None
    if b"-----BEGIN " not in raw or b"\0" in raw:
        raise ConfigError(f"{name}={path!r}: expected a PEM file")
    return raw.decode("ascii", errors="replace")


def _check_certificates(name: str, path: str | None, text: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError):
        raise ConfigError(f"{name}={path!r}: expected certificates in PEM form") from None


def _check_pair(
    named: Callable[[str], str], certfile: str, keyfile: str, password: str | None
) -> None:
    """Raise ConfigError unless the key can be read and is that of the certificate."""
    name = named("keyfile")
    asked = False

    def give_password() -> str:
        nonlocal asked
        asked = True
        return password or ""

    try:
        with kept.readable(certfile) as cert, kept.readable(keyfile) as key:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
                cert, key, give_password
            )
    except ssl.SSLError as fault:
        if fault.reason == "KEY_VALUES_MISMATCH":
            why = f"{name}={keyfile!r}: does not belong to the certificate {certfile!r}"
        elif asked and password is None:
            why = f"{named('key_password')}: missing, the key {keyfile!r} is encrypted"
        elif asked:
            why = f"{named('key_password')}=(hidden): does not open {keyfile!r}"
        else:
            why = f"{name}={keyfile!r}: expected a private key in PEM form"
        raise ConfigError(why) from None


def _completed(cert: str, ca: str) -> str:
    """Return the chain with what the CA file has of the rest of it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_verify_locations(cadata=ca)
    known = context.get_ca_certs()
    if all(root["subject"] == root["issuer"] for root in known):
        return cert
    from nanomq_py.listen.chain import completed  # with cryptography: few need it

    try:
        return completed(cert, ca)
    except ValueError:  # OpenSSL could read it, so nng's TLS decides
        return cert


def _revoked(name: str, path: str, ca: str) -> str:
    """Return the revocation lists of a file. Raises ConfigError."""
    text = _read(name, path, MOST_CRL_BYTES)
    from nanomq_py.listen.revoked import fault_of  # with cryptography: few need it

    fault = fault_of(text, ca)
    if fault is not None:
        raise ConfigError(f"{name}={path!r}: {fault}")
    return text


def _ciphers(name: str, text: str) -> tuple[int, ...]:
    """Return the cipher suites by number. Raises ConfigError."""
    if not core_tls.TLS_TAKES_CIPHERS:
        if text == DEFAULT_CIPHERS:
            return ()
        raise ConfigError(
            f"{name}={text!r}: the Mbed TLS inside this pynng does not let its ciphers be"
            " chosen; take the key out. TLS by OpenSSL, which does, is to come"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.set_ciphers(text)
    except ssl.SSLError:
        raise ConfigError(
            f"{name}={text!r}: expected ciphers in OpenSSL's words, such as {DEFAULT_CIPHERS}"
        ) from None
    given = [
        cipher for cipher in context.get_ciphers() if core_tls.has_cipher(_number(cipher))
    ]
    if all(cipher["protocol"] == "TLSv1.3" for cipher in given):
        raise ConfigError(
            f"{name}={text!r}: expected one for TLS 1.2 that nng's Mbed TLS has, such as"
            f" those of {DEFAULT_CIPHERS}"
        )
    return tuple(_number(cipher) for cipher in given)


def _number(cipher: Mapping[str, Any]) -> int:
    return int(cipher["id"]) & 0xFFFF


def _refuse_without_verify(
    named: Callable[[str], str], listener: Listener, *, require: bool
) -> None:
    """Raise ConfigError naming the key that means nothing where no certificate is checked."""
    at = f"listener.{listener.name}."
    for given, wanted in (
        (f"{named('fail_if_no_peer_cert')}=true", require),
        (f"{at}cn_as_username=true", listener.cn_as_username),
        (f"{at}username_from={listener.username_from}", listener.username_from),
    ):
        if wanted:
            raise ConfigError(f"{given}: expected {named('verify_peer')}=true with it")
    if listener.crlfile is not None:
        raise ConfigError(
            f"{named('crlfile')}={listener.crlfile!r}: expected {named('verify_peer')}=true"
            " with it"
        )


def _check_names(config: Config, listener: Listener) -> None:
    """Raise ConfigError where user names cannot come from certificates."""
    names_from = listener.names_from
    key = "username_from" if listener.username_from else "cn_as_username"
    called = config.said.called(f"listener.{listener.name}.{key}")
    if names_from == "psk":
        raise ConfigError(
            f"{called}=psk: expected listener.{listener.name}.tls.psk_file with it"
        )
    if names_from is not None and not core_tls.knows_certificates():
        raise ConfigError(
            f"{called}: the Mbed TLS inside this pynng does not show certificates; take the"
            " key out"
        )


def load_tls(config: Config, listener: Listener) -> TlsOptions:
    """Return what a listener needs for TLS: its own keys, and ``tls.*`` for the others.

    Raises   ConfigError naming the key
    """
    if listener.psk_file is not None:
        return load_psks(config, listener, listener.psk_file)
    _check_names(config, listener)
    base = config.tls

    def named(key: str) -> str:
        return config.said.called(name_of(listener, key, base=base))

    certfile = listener.certfile or base.certfile
    keyfile = listener.keyfile or base.keyfile
    cafile = listener.cacertfile or base.cacertfile
    crlfile = listener.crlfile or base.crlfile
    password = listener.key_password if listener.keyfile else base.key_password
    verify = base.verify_peer if listener.verify_peer is None else listener.verify_peer
    require = listener.fail_if_no_peer_cert
    require = base.fail_if_no_peer_cert if require is None else require
    version = listener.min_version or base.min_version

    cert = _read(named("certfile"), certfile)
    _check_certificates(named("certfile"), certfile, cert)
    key = _read(named("keyfile"), keyfile)
    _check_pair(named, str(certfile), str(keyfile), password)
    ca = None if cafile is None else _read(named("cacertfile"), cafile)
    if ca is not None:
        _check_certificates(named("cacertfile"), cafile, ca)
    if verify and ca is None:
        raise ConfigError(
            f"{named('cacertfile')}: missing, {named('verify_peer')}=true needs it"
        )
    if not verify:
        _refuse_without_verify(named, listener, require=require)
        crlfile = None
    return TlsOptions(
        cert=cert if ca is None else _completed(cert, ca),
        key=key,
        key_password=password,
        ca=ca,
        crl=None
        if crlfile is None or ca is None
        else _revoked(named("crlfile"), crlfile, ca),
        verify_peer=verify,
        require_cert=require,
        min_version=13 if version == "1.3" else 12,
        # The HTTP API has OpenSSL's TLS, and its ciphers.
        ciphers=_ciphers(named("ciphers"), listener.ciphers or base.ciphers)
        if listener.name
        else (),
    )


def check_tls(config: Config) -> None:
    """Read what every listener needs. Raises ConfigError naming the keys. Blocks."""
    faults = Faults()
    with faults.gathered():
        for place in places_of(config):
            if place.has_tls:
                with faults.gathered():
                    load_tls(config, place.settings)
    faults.check()
