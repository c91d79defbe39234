"""A reload adds, moves and takes away listeners, and replaces their certificates."""

from __future__ import annotations

import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import raw
from tests.certs import Certs
from tests.conformance.flows import give, kept, take
from tests.conftest import Process, StartBroker, free_port
from tests.eventually import eventually
from tests.http.v4 import get
from tests.raw import Closed, Raw

PLAIN = {"listener__plain__url": "nmq-tcp://127.0.0.1:0"}


@contextmanager
def mounted_pair(start_broker: StartBroker) -> Iterator[tuple[Process, Raw, Raw]]:
    """Yield a broker, a client below ``old/`` before its CONNECT, and one without a mount."""
    process = start_broker(listener__tcp__mountpoint="old/", **PLAIN)
    with process.raw(5) as c, process.raw(5, "listener.plain.url") as p:
        p.connect("p")
        yield process, c, p


def url(port: int, host: str = "127.0.0.1", scheme: str = "nmq-tcp") -> str:
    return f"{scheme}://{host}:{port}"


def is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 20).close()
    except ConnectionRefusedError:
        return True
    return False


def test_listener_is_added_and_taken_away_with_its_clients(
    start_broker: StartBroker,
) -> None:
    process, port = start_broker(), free_port()
    with process.raw(5) as stays:
        stays.connect("stays")
        assert process.reload(listener__a__url=url(port))["applied"] == ["listener.a.url"]
        with Raw(port, 5) as leaves:
            leaves.connect("leaves")
            process.reload(listener__a__url=None)
            assert leaves.expect(raw.DISCONNECT).reason == 0x98
            with pytest.raises(Closed):
                leaves.read()
        assert is_refused(port)
        stays.ping()


@pytest.mark.parametrize("hosts", [("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "127.0.0.1")])
def test_listener_moves_to_another_address_of_the_same_port_and_keeps_its_clients(
    start_broker: StartBroker, hosts: tuple[str, str]
) -> None:
    port = free_port()
    process = start_broker(url=url(port, hosts[0]))
    with Raw(port, 5) as c:
        c.connect("before")
        process.reload(url=url(port, hosts[1]))
        c.ping()
        with Raw(port, 5) as d:
            d.connect("after")
        c.ping()


def test_listener_moves_to_another_port(start_broker: StartBroker) -> None:
    process, port = start_broker(), free_port()
    with process.raw(5) as c:
        c.connect("before")
        process.reload(url=url(port))
        with Raw(port, 5) as d:
            d.connect("after")
        assert is_refused(process.port)
        c.ping()


def test_two_listeners_change_places(start_broker: StartBroker) -> None:
    a, b = free_port(), free_port()
    process = start_broker(
        url=url(a), listener__x__url=url(b), listener__x__mountpoint="x/"
    )
    with Raw(a, 5) as plain, Raw(b, 5) as mounted:
        plain.connect("plain")
        plain.subscribe(("#", 0))
        mounted.connect("mounted")
        process.reload(url=url(b), listener__x__url=url(a))
        with Raw(a, 5) as c:
            c.connect("c")
            c.publish("t", b"1")
        assert plain.expect(raw.PUBLISH).topic == "x/t"
        mounted.ping()


@pytest.mark.parametrize("first", ["nmq-tcp", "tls+nmq-tcp"])
def test_port_passes_between_a_listener_with_tls_and_one_without(
    start_broker: StartBroker, certs: Certs, first: str
) -> None:
    port = free_port()
    second = "tls+nmq-tcp" if first == "nmq-tcp" else "nmq-tcp"
    process = start_broker(
        listener__a__url=url(port, scheme=first),
        tls__certfile=str(certs.server.certfile),
        tls__keyfile=str(certs.server.keyfile),
    )
    process.reload(listener__a__url=url(port, scheme=second))
    context = ssl.create_default_context(cafile=str(certs.ca.certfile))
    plain = socket.create_connection(("127.0.0.1", port), 20)
    with Raw(
        context.wrap_socket(plain, server_hostname="localhost")
        if "tls" in second
        else plain
    ) as c:
        c.connect("c")


def test_unix_socket_moves_and_leaves_no_file(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    process = start_broker(listener__a__url=f"nmq-ipc://{old}")
    process.reload(listener__a__url=f"nmq-ipc://{new}")
    assert (old.exists(), new.exists()) == (False, True)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(new))
        Raw(sock, 5).connect("c")
    process.reload(listener__a__url=None)
    assert not new.exists()


def test_rules_of_a_listener_count_for_connections_from_now_on(
    start_broker: StartBroker,
) -> None:
    process = start_broker()
    with process.raw(5) as c, process.raw(5) as all_:
        all_.connect("all")
        all_.subscribe(("#", 0))
        c.connect("before")
        process.reload(
            listener__tcp__mountpoint="m/%c/", listener__tcp__max_connections="3"
        )
        c.publish("t", b"")
        assert all_.expect(raw.PUBLISH).topic == "t"
        with process.raw(5) as d, process.raw(5) as over:
            d.connect("after")
            d.publish("t", b"")
            assert all_.expect(raw.PUBLISH).topic == "m/after/t"
            with pytest.raises(Closed):
                over.connect("over")


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize(
    ("old", "new"), [("old/", "new/"), ("", "m/%c/"), ("m/", ""), ("a/", "a/b/")]
)
def test_kept_sessions_move_with_their_mount_point(
    start_broker: StartBroker, version: int, old: str, new: str
) -> None:
    process = start_broker(listener__tcp__mountpoint=old, **PLAIN)
    below_old, below_new = old, new.replace("%c", "c")
    with process.raw(version) as c:
        c.connect("c", **kept(version))
        assert c.subscribe(("q/+", 1), ("$share/g/s/#", 1), ("x", 2)) == [1, 1, 2]
        c.leave()
    with process.raw(version, "listener.plain.url") as p:
        p.connect("p")
        give(p, below_old + "q/before", b"waits", 1)
        process.reload(listener__tcp__mountpoint=new)
        for topic in ("q/1", "s/1", "x"):
            give(p, below_new + topic, topic.encode(), 1)
        with process.raw(version) as c:
            assert c.connect("c", **kept(version)).flags == 1
            got = [take(c)[:2] for _ in range(4)]
            assert got == [
                ("q/before", b"waits"), ("q/1", b"q/1"), ("s/1", b"s/1"), ("x", b"x")
            ]  # fmt: skip
            give(p, below_old + "x", b"of no interest", 1)
            c.assert_silent()
            c.send(raw.unsubscribe(3, "q/+", "x", version=version))
            assert c.expect(raw.UNSUBACK).codes == ([0, 0] if version == 5 else [])
            give(p, below_new + "q/1", b"", 1)
            c.assert_silent()


@pytest.mark.parametrize("together", [True, False])
def test_session_follows_a_listener_to_another_address(
    start_broker: StartBroker, together: bool
) -> None:
    process = start_broker(
        listener__m__url="nmq-tcp://127.0.0.1:0", listener__m__mountpoint="old/"
    )
    with process.raw(5, "listener.m.url") as c:
        c.connect("c", **kept(5))
        c.subscribe(("a/+", 1))
        c.leave()
    port = free_port()
    moved = {"listener__m__url": f"nmq-tcp://127.0.0.1:{port}"}
    if together:
        process.reload(**moved, listener__m__mountpoint="new/")
    else:
        process.reload(**moved)
        process.reload(listener__m__mountpoint="new/")
    with process.raw(5) as p:
        p.connect("p")
        assert give(p, "new/a/1", b"x", 1) == 0
    with Raw(port, 5) as c:
        assert c.connect("c", **kept(5)).flags == 1
        assert take(c)[:2] == ("a/1", b"x")


def test_session_of_a_connected_client_moves_when_it_leaves(
    start_broker: StartBroker,
) -> None:
    with mounted_pair(start_broker) as (process, c, p):
        c.connect("c", **kept(5))
        c.subscribe(("t", 1))
        process.reload(listener__tcp__mountpoint="new/")
        assert give(p, "old/t", b"still here", 1) == 0
        assert take(c)[:2] == ("t", b"still here")
        c.leave()
        assert give(p, "new/t", b"while it is away", 1) == 0
        with process.raw(5) as again:
            assert again.connect("c", **kept(5)).flags == 1
            assert take(again)[:2] == ("t", b"while it is away")


COMERS, SUBSCRIPTIONS, RELOADS = 6, 200, 25


def test_sessions_lose_nothing_while_mount_points_change_and_they_come_back(
    start_broker: StartBroker,
) -> None:
    process = start_broker(
        listener__tcp__mountpoint="m/", auth__1__login="u", auth__1__password="p"
    )
    filters = [f"f/{n}" for n in range(SUBSCRIPTIONS)]
    ends = threading.Event()
    missing: list[str] = []

    def come(name: str) -> Raw:
        c = process.raw(5)
        got = c.connect(name, user="u", password=b"p", **kept(5))
        if got.flags != 1 and not ends.is_set() and name in known:
            missing.append(f"the session of {name}")
        known.add(name)
        return c

    def come_and_go(name: str) -> None:
        while not ends.is_set():
            come(name).leave()

    known: set[str] = set()
    names = [f"c{n}" for n in range(COMERS)]
    for name in names:
        with come(name) as c:
            c.subscribe(*((f, 1) for f in filters))
            c.leave()
    threads = [threading.Thread(target=come_and_go, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for n in range(RELOADS):
        process.reload(listener__tcp__mountpoint=f"m{n}/")
    ends.set()
    for thread in threads:
        thread.join(30)
    for name in names:
        with come(name) as c:
            c.send(raw.unsubscribe(1, *filters, version=5))
            codes = c.expect(raw.UNSUBACK).codes
            missing += [
                f"{name}: {f}" for f, code in zip(filters, codes, strict=True) if code
            ]
    assert missing == []


@pytest.mark.parametrize("away", [True, False])
def test_bound_that_sank_takes_no_subscription_of_a_moved_session(
    start_broker: StartBroker, away: bool
) -> None:
    with mounted_pair(start_broker) as (process, c, p):
        c.connect("c", **kept(5))
        c.subscribe(*((f"t/{n}", 1) for n in range(6)))
        if away:
            c.leave()
        process.reload(listener__tcp__mountpoint="new/", max_subscriptions="4")
        with process.raw(5) as again:
            assert again.connect("c", **kept(5)).flags == 1
            assert [give(p, f"new/t/{n}", b"x", 1) for n in range(6)] == [0] * 6


def test_session_of_a_connected_client_moves_when_it_connects_again(
    start_broker: StartBroker,
) -> None:
    with mounted_pair(start_broker) as (process, c, p):
        c.connect("c", **kept(5))
        c.subscribe(("x", 1))
        process.reload(listener__tcp__mountpoint="new/")
        give(p, "old/x", b"old", 1)
        assert c.expect(raw.PUBLISH).payload == b"old"  # and it is not acknowledged
        with process.raw(5) as again:
            assert again.connect("c", **kept(5)).flags == 1
            assert take(again)[:2] == ("x", b"old")
            give(p, "new/x", b"new", 1)
            assert take(again)[:2] == ("x", b"new")


def test_will_that_waits_moves_with_the_mount_point(start_broker: StartBroker) -> None:
    with mounted_pair(start_broker) as (process, c, p):
        p.subscribe(("#", 0x2A))
        c.connect(
            "c",
            will=("gone", b"bye", 1, True),
            will_properties=b"\x18\x00\x00\x00\x02",
            **kept(5),
        )
        c.send(raw.disconnect(5, 4))  # with its will
        c.read_until_closed()
        process.reload(listener__tcp__mountpoint="new/")
        got = p.expect(raw.PUBLISH)
        assert (got.topic, got.payload, got.retain) == ("new/gone", b"bye", True)


def test_certificates_are_replaced_by_content_and_by_name(
    start_broker: StartBroker, certs: Certs, tmp_path: Path
) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    shutil.copyfile(certs.server.certfile, cert)
    shutil.copyfile(certs.server.keyfile, key)
    process = start_broker(
        tls__enable="true",
        tls__url=url(0, scheme="tls+nmq-tcp"),
        tls__certfile=str(cert),
        tls__keyfile=str(key),
    )
    context = ssl.create_default_context(cafile=str(certs.ca.certfile))
    context.check_hostname = False

    def shown() -> bytes | None:
        plain = socket.create_connection(("127.0.0.1", process.ports["tls.url"]), 20)
        with context.wrap_socket(plain) as sock:
            return sock.getpeercert(binary_form=True)

    before = shown()
    shutil.copyfile(certs.client.certfile, cert)
    shutil.copyfile(certs.client.keyfile, key)
    assert process.reload()["applied"] == ["tls.certfile", "tls.keyfile"]
    renewed = shown()
    assert renewed not in (before, None)
    process.reload(
        tls__certfile=str(certs.server.certfile), tls__keyfile=str(certs.server.keyfile)
    )
    assert shown() == before


def connections_of(process: Process) -> int:
    """Return how many connections the first listener has accepted that are open."""
    (node,) = get(process, "/listeners")["data"]
    count: int = node["listeners"][0]["current_conns"]
    return count


def test_connection_of_before_a_move_may_still_log_in(start_broker: StartBroker) -> None:
    process = start_broker(auth__1__login="u", auth__1__password="p")
    with process.raw(5) as early, process.raw(5) as user:
        eventually(lambda: connections_of(process), 2)  # one that only waits is cut
        process.reload(url=url(free_port()))
        assert early.connect("early").reason == 0
        assert user.connect("user", user="u", password=b"p").reason == 0
