"""One listener: as a configuration wants it, and as the core has opened it."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field, replace

from nanomq_py.config import Config, ConfigError
from nanomq_py.core import binding
from nanomq_py.core.records import ListenerOptions, ListenerStats, TlsOptions
from nanomq_py.core.tls import Tls
from nanomq_py.listen.places import Place, options_of
from nanomq_py.listen.tls import load_tls

_FAULTS = {
    binding.EADDRINUSE: "the port is taken by another program",
    binding.EADDR: "the address cannot be used on this machine",
    binding.EACCESS: "the system does not let this user listen there",
    binding.ECRYPTO: "nng's TLS cannot use this certificate and key",
}


def _error(place: Place, fault: binding.CoreError | OSError) -> ConfigError:
    if isinstance(fault, OSError):
        why = fault.strerror or str(fault)
    else:
        why = _FAULTS.get(fault.status, str(fault))
    return place.error(f"cannot listen: {why}")


@dataclass(frozen=True)
class OpenListener:
    """One listener as it is open, or is to be."""

    place: Place
    options: ListenerOptions
    allow_anonymous: bool
    tls_options: TlsOptions | None = field(default=None, repr=False)
    tls: Tls | None = None
    good_until: float | None = None  # its certificate, in seconds since 1970
    number: int = 0  # the core's name for it
    port: int = 0  # in use
    sock: socket.socket | None = None  # our hold on it, to hand over; None: nng's own
    foreign: bool = False  # the socket is systemd's: its file stays
    inherited: bool = False  # it was there before us: after a failure its file stays


@dataclass(frozen=True)
class Listening:
    """Where a listener listens, and what it has done so far.

    port             in use; 0: it is no TCP port
    connections_max  its own bound; 0: it has none
    """

    url: str
    port: int
    connections_max: int
    stats: ListenerStats


def _good_until(pem: str) -> float | None:
    from nanomq_py.listen.expiry import not_after  # without TLS nobody needs it

    return not_after(pem)


def wanted(config: Config, place: Place, *, ask_auth: bool) -> OpenListener:
    """Return one listener of a configuration. Raises ConfigError. Blocks.

    ask_auth  Python decides about each of its clients
    """
    anonymous = place.allows_anonymous(config)
    options = options_of(place, config, ask_auth=ask_auth)
    if not place.has_tls:
        return OpenListener(place, options, anonymous)
    tls_options = load_tls(config, place.settings)
    try:
        tls = Tls(tls_options)
    except binding.CoreError as fault:
        raise _error(place, fault) from None
    until = None if tls_options.cert is None else _good_until(tls_options.cert)
    return OpenListener(place, options, anonymous, tls_options, tls, until)


def opened(
    core: binding.Core, wanted: OpenListener, sock: socket.socket | None
) -> OpenListener:
    """Have the core listen. It takes a descriptor of its own; ours is for a successor.

    Raises   ConfigError; the socket is closed then
    """
    fd = -1
    try:
        fd = -1 if sock is None else os.dup(sock.fileno())
        number, port = core.listen(wanted.options, fd=fd, tls=wanted.tls)
    except (binding.CoreError, OSError) as fault:
        if fd >= 0:
            os.close(fd)
        if sock is not None:
            sock.close()
        raise _error(wanted.place, fault) from None
    return replace(wanted, number=number, port=port, sock=sock)
