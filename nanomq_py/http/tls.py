"""TLS of the HTTP API: the certificate and key of a configuration, as asyncio wants them."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass

from nanomq_py import kept
from nanomq_py.config import Config, ConfigError
from nanomq_py.core.records import TlsOptions
from nanomq_py.listen.tls import http_listener, load_tls

_FILES = (
    ("certfile", "cert"),
    ("keyfile", "key"),
    ("cacertfile", "ca"),
    ("crlfile", "crl"),
)


@dataclass(frozen=True)
class ServerTls:
    """What handshakes are made with; ``options`` is what was read for it."""

    options: TlsOptions
    context: ssl.SSLContext


def load_server_tls(config: Config) -> ServerTls | None:
    """Return what ``http_server.tls.*`` says; None: no TLS. Blocks: it reads files.

    Raises   ConfigError naming the key
    """
    http, base = config.http_server, config.tls
    if not (http.enable and http.tls_enable):
        return None
    options = load_tls(config, http_listener(http))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = (
        ssl.TLSVersion.TLSv1_3 if options.min_version == 13 else ssl.TLSVersion.TLSv1_2
    )
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    certfile = http.tls_certfile or str(base.certfile)
    keyfile = http.tls_keyfile or str(base.keyfile)
    try:
        with kept.readable(certfile) as cert, kept.readable(keyfile) as key:
            context.load_cert_chain(cert, key, options.key_password or "")
    except (OSError, ssl.SSLError) as fault:  # they were good a moment ago
        raise ConfigError(f"{certfile}, or its key: changed while it was read") from fault
    if options.ca is not None:
        context.load_verify_locations(cadata=options.ca)
    if options.crl is not None:
        _refuse_revoked(context, options.crl)
    if options.verify_peer:
        context.verify_mode = (
            ssl.CERT_REQUIRED if options.require_cert else ssl.CERT_OPTIONAL
        )
    return ServerTls(options, context)


def _refuse_revoked(context: ssl.SSLContext, crl: str) -> None:
    """Refuse callers whose certificate stands in one of the lists."""
    fd = os.memfd_create("nanomq-crl")  # ssl takes lists from a file alone
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(crl.encode())
        context.load_verify_locations(cafile=f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def renewed_keys(old: ServerTls | None, new: ServerTls | None) -> list[str]:
    """Return the keys whose files have another content now."""
    if old is None or new is None:
        return []
    return [
        f"http_server.tls.{key}"
        for key, content in _FILES
        if getattr(old.options, content) != getattr(new.options, content)
    ]
