"""Where clients come in: the listeners of a configuration, their sockets and certificates.

::

    url, tls.url, websocket.url, websocket.tls_url     the listeners tcp, tls, ws, wss
    listener.NAME.url                                  one more

Sockets of TCP and IPC listeners are made here, or come from systemd or from the process
before this one, and are handed to the core; TLS listeners are nng's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from nanomq_py.config import Config, ConfigError
from nanomq_py.config.sections import Listener
from nanomq_py.config.units import ipc_path
from nanomq_py.core.records import ListenerOptions

BACKLOG = 4096  # connections that wait to be accepted
_TLS = ("tls+nmq-tcp", "nmq-wss")
_WEBSOCKET = ("nmq-ws", "nmq-wss")


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

    Raises   ConfigError for a key that its kind of listener cannot keep
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
    """Return whether WebSocket is spoken over TLS: with TLS switched on, or a certificate.

    NanoMQ's own file names an address and a certificate that is not there, and has TLS off.
    """
    own, tls = given.get("wss", Listener()), config.tls
    certificate = own.certfile or (
        tls.certfile if os.path.exists(tls.certfile or "") else None
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
    if settings.cn_as_username and not place.has_tls:
        raise ConfigError(
            f"{called(f'listener.{place.name}.cn_as_username')}=true: expected a listener"
            " with TLS"
        )


def _path_of(place: Place, config: Config) -> str | None:
    """Return the path that WebSocket clients ask for; None: the listener has no WebSocket."""
    if place.scheme not in _WEBSOCKET:
        return None
    common = config.websocket.path if place.name in ("ws", "wss") else None
    return place.settings.path or common or urlsplit(place.url).path or "/"


def options_of(place: Place, config: Config, *, ask_auth: bool) -> ListenerOptions:
    """Return what the core needs of a listener, besides its socket and certificates."""
    parts = urlsplit(place.url)
    settings = place.settings
    return ListenerOptions(
        name=place.url,
        key=zlib.crc32(place.name.encode()) or 1,
        address=parts.netloc,
        path=_path_of(place, config),
        mount=settings.mountpoint,
        connections_max=settings.max_connections,
        ask_auth=ask_auth,
        cn_as_user_name=settings.cn_as_username,
        proxy=settings.proxy_protocol,
        proxy_from=config.proxy.trusted,
    )


# --- sockets


async def bind(place: Place, leaving: Sequence[socket.socket] = ()) -> socket.socket:
    """Return a socket that listens where the listener is to listen. Raises ConfigError.

    leaving  sockets of ours that will be closed: they may have the port still
    """
    try:
        if place.is_ipc:
            return _bind_ipc(ipc_path(place.url))
        parts = urlsplit(place.url)
        assert parts.hostname is not None
        # The URL names one family; two listeners serve both.
        return await bind_tcp(parts.hostname, parts.port or 0, leaving)
    except OSError as fault:
        why = fault.strerror or str(fault)
        raise place.error(f"cannot listen: {why}") from None


async def bind_tcp(
    host: str, port: int, leaving: Sequence[socket.socket] = (), *, only_ipv6: bool = True
) -> socket.socket:
    """Return a socket that listens there, beside those of ours that will be closed.

    only_ipv6  ``::`` does not serve IPv4 too
    Raises     OSError
    """
    found = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, kind, proto, _, address = found[0]
    sock = socket.socket(family, kind, proto)
    # The kernel lets sockets share a port that all say so; to others it stays taken.
    sharing = [s for s in leaving if s.family != socket.AF_UNIX]
    sharing = [*sharing, sock] if sharing else []
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_ipv6)
        for s in sharing:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    finally:
        for s in sharing:
            if s.fileno() >= 0:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
    return sock


def _is_left_over(path: str) -> bool:
    """Return whether the file is a socket that nobody listens on any more."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(path)
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def _bind_ipc(path: str) -> socket.socket:
    if _is_left_over(path):
        os.unlink(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
    except OSError:
        sock.close()
        raise
    return sock


def duplicate(sock: socket.socket, place: Place) -> socket.socket:
    """Return another descriptor of the socket. Raises ConfigError, where there is none."""
    try:
        return sock.dup()
    except OSError as fault:
        raise place.error(f"cannot listen: {fault.strerror}") from None


def unlink_ipc(place: Place) -> None:
    """Remove the file of an IPC listener that has stopped."""
    if place.is_ipc:
        with contextlib.suppress(OSError):
            os.unlink(ipc_path(place.url))


def fits(sock: socket.socket, place: Place) -> bool:
    """Return whether the listener could use a socket of that kind; nng makes those of TLS."""
    families = (socket.AF_UNIX,) if place.is_ipc else (socket.AF_INET, socket.AF_INET6)
    return not place.has_tls and sock.family in families


def serves(sock: socket.socket, place: Place) -> bool:
    """Return whether a bound socket listens where the URL says, in numbers."""
    if not fits(sock, place):
        return False
    address = sock.getsockname()
    if place.is_ipc:
        return bool(address == ipc_path(place.url))
    parts = urlsplit(place.url)
    return bool(parts.hostname == address[0] and parts.port == address[1])


def may_serve(sock: socket.socket, place: Place) -> bool:
    """Return whether a TCP socket can be where the URL says: at any port, or by a name."""
    if place.is_ipc:
        return False
    host, port = urlsplit(place.url).hostname or "", place.port
    address = sock.getsockname()
    try:
        same = ip_address(host) == ip_address(address[0])
    except ValueError:  # a name, which may stand for the address
        same = True
    return same and port in (0, address[1])


class Inherited:
    """Listening sockets that came with the process, by name (systemd's FDNAMES) or address.

    ``ours`` are the names of those that the process before this one had made.
    """

    def __init__(
        self, sockets: Iterable[tuple[str, socket.socket]] = (), ours: Iterable[str] = ()
    ) -> None:
        self._sockets = list(sockets)
        self._taken: set[socket.socket] = set()
        self.ours = frozenset(ours)
        self.is_last_resort = False  # the broker must start, if need be without a listener

    def take(self, place: Place) -> socket.socket | None:
        """Return a duplicate of the listener's socket; None: it has to be made.

        Raises   ConfigError
        """
        for name, sock in self._sockets:
            named = name == place.name and fits(sock, place)
            if name in self.ours:
                named = named and may_serve(sock, place)
            if sock not in self._taken and (named or serves(sock, place)):
                self._taken.add(sock)
                return duplicate(sock, place)
        return None

    def leaving(self) -> list[socket.socket]:
        """Return those that no listener has taken so far."""
        return [sock for _, sock in self._sockets if sock not in self._taken]

    def give_again(self) -> None:
        """Have every socket to be taken again, after a start that has failed."""
        self._taken.clear()

    def close(self) -> list[str]:
        """Close our hold on them; return which of them no listener took."""
        rest = [
            f"{name} ({sock.getsockname()})"
            for name, sock in self._sockets
            if sock not in self._taken
        ]
        for _, sock in self._sockets:
            sock.close()
        self._sockets.clear()
        return rest
