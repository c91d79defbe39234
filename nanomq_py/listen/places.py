"""Where clients come in, as a configuration says; no socket is touched.

::

    url, tls.url, websocket.url, websocket.tls_url     the listeners tcp, tls, ws, wss
    listener.NAME.url                                  one more
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from nanomq_py import kept
from nanomq_py.config import Config, ConfigError
from nanomq_py.config.keys.listeners import Listener
from nanomq_py.core.records import ListenerOptions, PeerName

_TLS = ("tls+nmq-tcp", "nmq-wss")
_WEBSOCKET = ("nmq-ws", "nmq-wss")
_NAMES = {
    None: PeerName.NO_NAME,
    "cn": PeerName.COMMON_NAME,
    "dns": PeerName.DNS_NAME,
    "email": PeerName.EMAIL,
    "uri": PeerName.URI,
    "psk": PeerName.PSK_IDENTITY,
}


@dataclass(frozen=True)
class Place:
    """One listener with its URL, and the key that sets it."""

    key: str
    url: str
    settings: Listener
    called: str = ""  # the key, as the file has it

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def scheme(self) -> str:
        return urlsplit(self.url).scheme

    @property
    def port(self) -> int:
        """The port that the URL names; 0: any free one, or none."""
        return 0 if self.is_ipc else urlsplit(self.url).port or 0

    @property
    def has_tls(self) -> bool:
        return self.scheme in _TLS

    @property
    def is_ipc(self) -> bool:
        return self.scheme == "nmq-ipc"

    def error(self, why: str) -> ConfigError:
        return ConfigError(f"{self.called or self.key}={self.url}: {why}")

    def allows_anonymous(self, config: Config) -> bool:
        own = self.settings.allow_anonymous
        return config.allow_anonymous if own is None else own


def places_of(config: Config) -> tuple[Place, ...]:
    """Return every listener of the configuration.

    Raises   ConfigError for a key that this kind of listener cannot have
    """
    given = {listener.name: listener for listener in config.listeners}
    called = config.said.called
    web, tls = config.websocket, config.tls
    built_in = [
        ("tcp", "url", config.url),
        ("tls", "tls.url", tls.url if tls.enable else None),
        ("ws", "websocket.url", web.url if web.enable else None),
        ("wss", "websocket.tls_url", web.tls_url if _has_wss(config, given) else None),
    ]
    places = [
        Place(key, url, given.pop(name, Listener(name=name)), called(key))
        for name, key, url in built_in
        if url is not None
    ]
    places += [
        Place(key := f"listener.{name}.url", listener.url, listener, called(key))
        for name, listener in given.items()
        if listener.url is not None
    ]
    for place in places:
        _check(place, called)
    return tuple(places)


def _has_wss(config: Config, given: Mapping[str, Listener]) -> bool:
    """Return whether WebSocket is spoken over TLS: TLS is switched on, or has a certificate.

    An address alone does not say so: NanoMQ's own file names one, and a certificate that does
    not exist, and has TLS off.
    """
    own, tls = given.get("wss", Listener()), config.tls
    certificate = own.certfile or (
        tls.certfile if kept.exists(tls.certfile or "") else None
    )
    return config.websocket.enable and (tls.enable or certificate is not None)


def _check(place: Place, called: Callable[[str], str]) -> None:
    settings = place.settings
    if settings.proxy_protocol and place.has_tls:
        raise ConfigError(
            f"{called(f'listener.{place.name}.proxy_protocol')}=true: expected a listener"
            " without TLS; the balancer can end TLS itself"
        )
    if settings.path is not None and place.scheme not in _WEBSOCKET:
        raise ConfigError(
            f"{called(f'listener.{place.name}.websocket.path')}={settings.path}: expected a"
            " listener with WebSocket"
        )
    _check_names(place, called)


def _check_names(place: Place, called: Callable[[str], str]) -> None:
    settings = place.settings
    at, chosen = f"listener.{place.name}.", settings.username_from
    if settings.cn_as_username and chosen not in (None, "cn"):
        raise ConfigError(
            f"{called(f'{at}username_from')}={chosen}: expected no"
            f" {called(f'{at}cn_as_username')}=true with it"
        )
    if settings.names_from is not None and not place.has_tls:
        key = "username_from" if chosen else "cn_as_username"
        raise ConfigError(
            f"{called(f'{at}{key}')}={chosen or 'true'}: expected a listener with TLS"
        )
    if settings.psk_file is not None and not place.has_tls:
        raise ConfigError(
            f"{called(f'{at}tls.psk_file')}={settings.psk_file!r}: expected a listener with"
            " TLS"
        )


def _path_of(place: Place, config: Config) -> str | None:
    """Return the path that WebSocket clients ask for; None: the listener has no WebSocket."""
    if place.scheme not in _WEBSOCKET:
        return None
    common = config.websocket.path if place.name in ("ws", "wss") else None
    return place.settings.path or common or urlsplit(place.url).path or "/"


def _name_of(place: Place, config: Config) -> PeerName:
    if "certificate" not in (config.auth.chain or ("certificate",)):
        return PeerName.NO_NAME
    return _NAMES[place.settings.names_from]


def options_of(place: Place, config: Config, *, ask_auth: bool) -> ListenerOptions:
    """Return what the core needs of a listener, besides its socket and certificates."""
    parts = urlsplit(place.url)
    settings = place.settings
    return ListenerOptions(
        url=place.url,
        key=zlib.crc32(place.name.encode()) or 1,
        address=parts.netloc,
        path=_path_of(place, config),
        mount=settings.mountpoint,
        connections_max=settings.max_connections,
        ask_auth=ask_auth,
        user_name_from=_name_of(place, config),
        unlogged=settings.durability == "off",
        proxy=settings.proxy_protocol,
        proxy_from=config.proxy.trusted,
    )
