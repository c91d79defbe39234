"""A client that makes the broker hold as much as it can: ``python -m tests.faults.hoard``.

Arguments: KIND PORT. It goes on until it is killed, whatever the broker says.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import sys
import threading
from collections.abc import Callable, Iterator

from tests import raw
from tests.conformance.flows import kept
from tests.raw import Closed, Raw

PAYLOAD = 20_000
PREPARED = 16  # sessions that are there before it begins


def _drain(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while sock.recv(1 << 16):
            pass


def _flood(port: int, version: int, packets: Iterator[bytes]) -> None:
    """Send without waiting for answers until the broker closes the connection."""
    with Raw(port, version) as c:
        c.connect("", clean=True)
        threading.Thread(target=_drain, args=(c.sock,), daemon=True).start()
        for packet in packets:
            c.send(packet)


def prepare(port: int) -> None:
    """Make the sessions that are away and take what the floods send."""
    for n in range(PREPARED):
        with Raw(port, 5) as c:
            c.connect(f"hoard-{n}", **kept(5))
            c.subscribe((f"hoard/{n}", 2), ("hoard/all", 1))
            c.leave()


def _ids() -> Iterator[int]:
    return itertools.cycle(range(1, 65_536))


def queue(port: int, version: int = 5) -> None:
    topics = itertools.cycle([f"hoard/{n}" for n in range(PREPARED)] + ["victim"])
    _flood(
        port,
        version,
        (
            raw.publish(t, bytes(PAYLOAD), version, qos=1, packet_id=n)
            for t, n in zip(topics, _ids(), strict=False)
        ),
    )


def small(port: int) -> None:
    """Messages of a few bytes for many sessions at once."""
    _flood(port, 5, (raw.publish("hoard/all", b"x", 5, qos=1, packet_id=n) for n in _ids()))


def old(port: int) -> None:
    queue(port, 4)


def retain(port: int) -> None:
    _flood(
        port,
        5,
        (
            raw.publish(f"r/{n}", bytes(2000), 5, qos=1, packet_id=n, retain=True)
            for n in _ids()
        ),
    )


def subscribe(port: int) -> None:
    names = (f"filter/{n}/" + "x" * 200 for n in itertools.count())
    _flood(port, 5, (raw.subscribe(1, (name, 0), version=5) for name in names))


def wills(port: int) -> None:
    """Connect with a large will, and stay."""
    stay = []
    for n in itertools.count():
        c = Raw(port, 5)
        c.connect(f"will-{n}", will=(f"w/{n}", bytes(60_000), 1, True), **kept(5))
        stay.append(c)


def halves(port: int) -> None:
    """Announce a large packet, send half of it, and stay."""
    stay = []
    packet = raw.publish("half", bytes(1 << 20), 5)
    while True:
        c = Raw(port, 5)
        c.connect("", clean=True, keep_alive=0)
        c.send(packet[: 1 << 19])
        stay.append(c)


def deaf(port: int) -> None:
    """Ask for answers, and never read them."""
    stay = []
    ping = raw.packet(raw.PINGREQ) * 30_000
    while True:
        c = Raw(port, 5, timeout=1)
        c.connect("", clean=True)
        with contextlib.suppress(TimeoutError):
            for _ in range(100):
                c.send(ping)
        stay.append(c)


KINDS: dict[str, Callable[[int], None]] = {
    act.__name__: act for act in (queue, small, old, retain, subscribe, wills, halves, deaf)
}


def main(kind: str, port: int) -> None:
    while True:
        with contextlib.suppress(OSError, Closed, AssertionError):
            KINDS[kind](port)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
