"""Keys of the places where MQTT clients come in: tls, websocket, proxy, listener.NAME."""

from __future__ import annotations

from dataclasses import dataclass

from nanomq_py.config.declare.key import Checked, key
from nanomq_py.config.values.kind import Optional
from nanomq_py.config.values.networks import Networks
from nanomq_py.config.values.numbers import U32, Whole
from nanomq_py.config.values.texts import Mount, Text
from nanomq_py.config.values.urls import Url, UrlPath
from nanomq_py.config.values.words import Choice, Flag

DEFAULT_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


@dataclass(frozen=True, kw_only=True)
class Tls(Checked):
    enable: bool = key("enable", Flag(), False, "Listen for MQTT over TLS.")
    url: str = key(
        "url", Url(("tls+nmq-tcp",)), "tls+nmq-tcp://0.0.0.0:8883", "Where to listen."
    )
    keyfile: str | None = key(
        "keyfile", Optional(Text()), None, "PEM file of the private key.", private_file=True
    )
    key_password: str | None = key(
        "key_password", Optional(Text()), None, "Password of the private key.", secret=True
    )
    certfile: str | None = key("certfile", Optional(Text()), None, "PEM file of the chain.")
    cacertfile: str | None = key(
        "cacertfile",
        Optional(Text()),
        None,
        "PEM file of the CAs of clients' certificates.",
    )
    crlfile: str | None = key(
        "crlfile",
        Optional(Text()),
        None,
        "Own key: PEM file of the certificates that those CAs have revoked.",
    )
    verify_peer: bool = key("verify_peer", Flag(), False, "Check clients' certificates.")
    fail_if_no_peer_cert: bool = key(
        "fail_if_no_peer_cert", Flag(), False, "Refuse clients that have no certificate."
    )
    min_version: str = key(
        "min_version",
        Choice(("1.2", "1.3")),
        "1.2",
        "Own key: the oldest TLS that is spoken.",
    )
    ciphers: str = key(
        "ciphers",
        Text(empty=False),
        DEFAULT_CIPHERS,
        "Own key: ciphers for TLS 1.2, in OpenSSL's words and in order of preference; those of"
        " TLS 1.3 are all allowed.",
    )


# Listeners whose URL is another key than listener.NAME.url.
_BUILT_IN = {
    "tcp": "url",
    "tls": "tls.url",
    "ws": "websocket.url",
    "wss": "websocket.tls_url",
}
URL_ELSEWHERE = {
    name: f"{key} to say where the listener {name} listens"
    for name, key in _BUILT_IN.items()
}


@dataclass(frozen=True, kw_only=True)
class Listener(Checked):
    """One ``listener.NAME``: a place where clients come in.

    The names tcp, tls, ws and wss stand for ``url``, ``tls.url``, ``websocket.url`` and
    ``websocket.tls_url``, which say where those listen; they take the other keys.
    """

    name: str = ""
    url: str | None = key(
        "url",
        Optional(Url(("nmq-tcp", "tls+nmq-tcp", "nmq-ws", "nmq-wss", "nmq-ipc"))),
        None,
        "Where to listen.",
    )
    max_connections: int = key(
        "max_connections", Whole(0, U32), 0, "Most connections at once; 0: no bound."
    )
    allow_anonymous: bool | None = key(
        "allow_anonymous",
        Optional(Flag()),
        None,
        "Let clients in that give no user name, or an empty one. Default: as"
        " `allow_anonymous` says.",
    )
    mountpoint: str | None = key(
        "mountpoint",
        Optional(Mount()),
        None,
        "Put before the topics of these clients, who do not see it. `%c` and `%u` in it stand"
        " for client identifier and user name.",
    )
    durability: str = key(
        "durability",
        Choice(("inherit", "off")),
        "inherit",
        "off: what sessions of clients that come through it hold is in memory alone, and"
        " they are acknowledged at once, whatever `durability` says. See"
        " docs/durability.md.",
    )
    cn_as_username: bool = key(
        "cn_as_username",
        Flag(),
        False,
        "The same as `username_from=cn`.",
    )
    username_from: str | None = key(
        "username_from",
        Optional(Choice(("cn", "dns", "email", "uri", "psk"))),
        None,
        "Take the user name from TLS, and ask for no password: the Common Name of a verified"
        " certificate, the first DNS name, e-mail address or URI among its Subject Alternative"
        " Names, or the identity of a pre-shared key (`tls.psk_file`).",
    )
    proxy_protocol: bool = key(
        "proxy_protocol",
        Flag(),
        False,
        "Expect a PROXY header, version 1 or 2, from a load balancer. Not with TLS. See"
        " `proxy.trusted`.",
    )
    path: str | None = key(
        "websocket.path",
        Optional(UrlPath()),
        None,
        "The path that WebSocket clients ask for; `*`: any. Default: the one in the URL, and"
        " for ws and wss `websocket.path`.",
    )
    keyfile: str | None = key(
        "tls.keyfile",
        Optional(Text()),
        None,
        "Default: `tls.keyfile`, and so on.",
        private_file=True,
    )
    key_password: str | None = key(
        "tls.key_password", Optional(Text()), None, "Password of the key.", secret=True
    )
    certfile: str | None = key("tls.certfile", Optional(Text()), None, "PEM file.")
    cacertfile: str | None = key("tls.cacertfile", Optional(Text()), None, "PEM file.")
    crlfile: str | None = key("tls.crlfile", Optional(Text()), None, "PEM file.")
    verify_peer: bool | None = key("tls.verify_peer", Optional(Flag()), None, "")
    fail_if_no_peer_cert: bool | None = key(
        "tls.fail_if_no_peer_cert", Optional(Flag()), None, ""
    )
    min_version: str | None = key(
        "tls.min_version", Optional(Choice(("1.2", "1.3"))), None, ""
    )
    ciphers: str | None = key("tls.ciphers", Optional(Text()), None, "")
    psk_file: str | None = key(
        "tls.psk_file",
        Optional(Text()),
        None,
        "File of pre-shared keys, `IDENTITY:KEY` lines, for clients instead of certificates.",
        private_file=True,
    )

    @property
    def names_from(self) -> str | None:
        """Which of the names that TLS proves is the user; None: none."""
        return "cn" if self.cn_as_username else self.username_from


@dataclass(frozen=True, kw_only=True)
class WebSocket(Checked):
    enable: bool = key("enable", Flag(), True, "Listen for MQTT over WebSocket.")
    url: str | None = key(
        "url",
        Optional(Url(("nmq-ws",))),
        "nmq-ws://0.0.0.0:8083/mqtt",
        "Where to listen; empty: not without TLS.",
    )
    tls_url: str | None = key(
        "tls_url",
        Optional(Url(("nmq-wss",))),
        None,
        "Where to listen with TLS: when `tls.enable` is true, or there is a certificate.",
    )
    path: str | None = key(
        "path",
        Optional(UrlPath()),
        None,
        "Own key: the path that clients ask for, in place of the one in `websocket.url` and"
        " `websocket.tls_url`; `*`: any.",
    )


@dataclass(frozen=True, kw_only=True)
class Proxy:
    trusted: tuple[str, ...] = key(
        "trusted",
        Networks(),
        (),
        "Own key: addresses and networks that may send PROXY headers, to listeners that expect"
        " them; a connection from another address is refused. Empty: any address may.",
    )
