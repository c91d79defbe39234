"""Listening sockets that came with the process: from systemd, or from the one before it."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence

from nanomq_py.listen.places import Place
from nanomq_py.listen.sockets import duplicate, fits, may_serve, serves

Bound = Sequence[tuple[str, socket.socket]]  # sockets, by name


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
        self.is_last_resort = False  # the broker starts even if a listener cannot be had

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
        """Let every socket be taken again, after a start that has failed."""
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
