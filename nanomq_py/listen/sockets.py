"""Listening sockets: made for a place, or checked whether they can be used there.

Sockets of TCP and IPC listeners are made here, or come with the process, and are handed to the
core; TLS listeners are nng's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from nanomq_py.config.values.urls import ipc_path
from nanomq_py.listen.places import Place

BACKLOG = 4096  # connections that wait to be accepted


async def bind(place: Place, leaving: Sequence[socket.socket] = ()) -> socket.socket:
    """Return a socket that listens where the listener is to listen. Raises ConfigError.

    leaving  sockets of ours that will be closed: they may still have the port
    """
    try:
        if place.is_ipc:
            return bind_ipc(ipc_path(place.url))
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
    # The kernel lets sockets share a port if all of them ask for it.
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


def bind_ipc(path: str) -> socket.socket:
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
    """Return whether the listener could use such a socket; for TLS nng makes its own."""
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
