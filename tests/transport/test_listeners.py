"""Listeners: any number, of any kind, each with rules of its own."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import time
from pathlib import Path

import pytest

from nanomq_py import Broker
from nanomq_py.config import Config, ConfigError, parse
from nanomq_py.listen.places import places_of
from tests import raw
from tests.certs import Certs
from tests.conformance.flows import kept, modern, take
from tests.conftest import Process, StartBroker
from tests.raw import Closed, Raw
from tests.transport.test_tls import keys as tls_keys

pytestmark = pytest.mark.timeout(60)
KEEP_ALIVE = 2  # of a TCP socket's timers, in /proc/net/tcp


def unix(path: Path | str, version: int = 5) -> Raw:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(str(path))
    return Raw(sock, version)


@modern
def test_clients_of_all_listeners_meet(
    start_broker: StartBroker, tmp_path: Path, version: int
) -> None:
    path = tmp_path / "broker.sock"
    process = start_broker(
        listener__more__url="nmq-tcp://127.0.0.1:0",
        listener__six__url="nmq-tcp://[::1]:0",
        listener__local__url=f"nmq-ipc://{path}",
    )
    six = socket.create_connection(("::1", process.ports["listener.six.url"]), 20)
    with (
        process.raw(version) as a,
        process.raw(version, "listener.more.url") as b,
        unix(path, version) as c,
        Raw(six, version) as d,
    ):
        for n, client in enumerate((a, b, c, d)):
            client.connect(f"c{n}")
            client.subscribe(("t", 0))
        d.publish("t", b"hello")
        for client in (a, b, c, d):
            assert take(client)[1] == b"hello"


def server_side(client: socket.socket) -> tuple[int, int]:
    """The timer of the broker's end of a connection: its kind, and seconds until it is due."""
    near, far = client.getpeername()[1], client.getsockname()[1]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        ports = [int(end.rpartition(":")[2], 16) for end in fields[1:3]]
        if ports == [near, far]:
            kind, ticks = (int(n, 16) for n in fields[5].split(":"))
            return kind, ticks // os.sysconf("SC_CLK_TCK")
    raise AssertionError("no such connection")


@pytest.mark.parametrize("key", ["url", "tls.url"])
def test_tcp_looks_for_a_peer_that_is_silent(
    start_broker: StartBroker, certs: Certs, key: str
) -> None:
    process = start_broker(**tls_keys(certs))
    sock = socket.create_connection(("127.0.0.1", process.ports[key]), 20)
    if key == "tls.url":
        made = ssl.create_default_context(cafile=str(certs.ca.certfile))
        sock = made.wrap_socket(sock, server_hostname="localhost")
    with Raw(sock, 5) as c:
        c.connect("c", keep_alive=0)
        until = time.monotonic() + 20
        kind, due_s = server_side(c.sock)
        while kind != KEEP_ALIVE or due_s < 1:  # first, data may have an answer due
            assert time.monotonic() < until, (kind, due_s)
            time.sleep(0.01)
            kind, due_s = server_side(c.sock)
        assert due_s <= 60


def test_ipc_file_goes_with_the_broker_and_a_left_over_one_is_replaced(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    path = tmp_path / "broker.sock"
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(path))
    process = start_broker(listener__local__url=f"nmq-ipc://{path}")
    with unix(path) as c:
        c.connect("c")
    process.stop()
    assert not path.exists()


async def test_ipc_file_of_another_broker_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "broker.sock"
    text = f"url=\nwebsocket.enable=false\nlistener.l.url=nmq-ipc://{path}\n"
    async with Broker(parse(text, "x.conf")):
        with pytest.raises(ConfigError, match=r"listener\.l\.url=.*Address already in use"):
            await Broker(parse(text, "x.conf")).start()
        assert path.exists()


def test_all_that_came_before_a_hang_up_counts(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    path = tmp_path / "broker.sock"
    process = start_broker(listener__local__url=f"nmq-ipc://{path}")
    will = ("will", b"gone", 0, False)
    with process.raw() as sub:
        sub.connect("sub")
        sub.subscribe(("t", 0), ("will", 0))
        with unix(path, 4) as c:
            count = 2000
            c.send(
                raw.connect("c", will=will),
                *(raw.publish("t", b"%05d" % n) for n in range(count)),
                raw.disconnect(),
            )
        assert [sub.read().payload for _ in range(count)] == [
            b"%05d" % n for n in range(count)
        ]
        sub.assert_silent()  # the DISCONNECT was heard: no will


def test_bound_of_a_listener_is_its_own(start_broker: StartBroker) -> None:
    process = start_broker(
        listener__tcp__max_connections="2", listener__more__url="nmq-tcp://127.0.0.1:0"
    )
    with process.raw() as a, process.raw() as b, process.raw() as c:
        a.connect("a")
        b.connect("b")
        assert c.read_until_closed() == []
        with process.raw(4, "listener.more.url") as d:
            d.connect("d")
        b.leave()
        with process.raw() as again:
            assert again.connect("again").reason == 0


def test_anonymous_clients_by_listener(start_broker: StartBroker) -> None:
    process = start_broker(
        allow_anonymous="false",
        auth__1__login="u",
        auth__1__password="p",
        listener__inside__url="nmq-tcp://127.0.0.1:0",
        listener__inside__allow_anonymous="true",
    )
    with process.raw(5) as outside, process.raw(5, "listener.inside.url") as inside:
        assert outside.connect("a").reason == 0x87
        assert inside.connect("b").reason == 0
    with process.raw(5, "listener.inside.url") as wrong:
        assert wrong.connect("c", user="u", password=b"x").reason == 0x86


# --- mount points


def mounted(start_broker: StartBroker, mount: str, **more: str) -> Process:
    return start_broker(
        listener__site__url="nmq-tcp://127.0.0.1:0",
        listener__site__mountpoint=mount,
        **more,
    )


@modern
def test_mount_point_is_invisible_inside_and_seen_outside(
    start_broker: StartBroker, version: int
) -> None:
    process = mounted(start_broker, "site/%c/%u/")
    will = ("bye", b"w", 1, False)
    with process.raw(version) as out, process.raw(version, "listener.site.url") as c:
        out.connect("out")
        out.subscribe(("#", 1))
        c.connect("pump", user="ann", will=will)
        assert c.subscribe(("a/+", 2), ("$share/g/s", 1)) == [2, 1]
        c.publish("a/b", b"1")
        assert take(out) == ("site/pump/ann/a/b", b"1", 0)
        assert take(c) == ("a/b", b"1", 0)
        out.publish("site/pump/ann/a/x", b"2")
        out.publish("a/x", b"3")
        out.publish("site/pump/ann/s", b"4")
        assert [take(c)[:2] for _ in range(2)] == [("a/x", b"2"), ("s", b"4")]
        for _ in range(3):
            take(out)
        c.send(raw.unsubscribe(3, "a/+", version=version))
        assert c.expect(raw.UNSUBACK).packet_id == 3
        out.publish("site/pump/ann/a/x", b"5")
        take(out)
        c.assert_silent()
        c.close()
        assert take(out) == ("site/pump/ann/bye", b"w", 1)


@modern
def test_retained_and_queued_messages_below_a_mount_point(
    start_broker: StartBroker, version: int
) -> None:
    process = mounted(start_broker, "m/")
    options = kept(version)
    with process.raw(version, "listener.site.url") as c:
        c.connect("c", **options)
        c.subscribe(("q/#", 1))
        c.leave()
    with process.raw(version) as out:
        out.connect("out")
        out.publish("m/q/1", b"queued", qos=1, packet_id=1)
        out.expect(raw.PUBACK)
        out.publish("m/kept", b"retained", retain=True)
        out.ping()
    with process.raw(version, "listener.site.url") as c:
        c.connect("c", **options)
        assert take(c) == ("q/1", b"queued", 1)
        c.send(raw.subscribe(1, ("kept", 0), version=version))
        got = [c.read() for _ in range(2)]
        assert [(p.topic, p.retain) for p in got if p.kind == raw.PUBLISH] == [
            ("kept", True)
        ]


@modern
def test_names_cannot_climb_out_of_a_mount_point(
    start_broker: StartBroker, version: int
) -> None:
    process = mounted(start_broker, "site/%c/")
    for name in ("+", "#", "a/b", "x#"):
        with process.raw(version, "listener.site.url") as c:
            assert c.connect(name).reason in (2, 0x85)


def test_topics_that_grow_too_long_are_refused(start_broker: StartBroker) -> None:
    process = mounted(start_broker, "site/")
    with process.raw(5, "listener.site.url") as c:
        c.connect("c")
        c.publish("x" * 65533, b"", qos=1, packet_id=1)
        assert c.expect(raw.PUBACK).reason == 0x90
        assert c.subscribe(("x" * 65533, 0)) == [0x8F]


def test_access_rules_are_about_the_clients_own_topics(start_broker: StartBroker) -> None:
    process = mounted(
        start_broker,
        "site/",
        acl_nomatch="deny",
        acl__rule__1='{"permit":"allow","topics":["mine/#"]}',
    )
    with process.raw(5, "listener.site.url") as c:
        c.connect("c")
        assert c.subscribe(("mine/a", 0), ("site/mine/a", 0)) == [0, 0x87]


# --- PROXY protocol


def proxied(process: Process, header: bytes, version: int = 5) -> Raw:
    c = process.raw(version, "listener.lb.url")
    c.send(header)
    return c


V2 = (
    b"\r\n\r\n\x00\r\nQUIT\n\x21\x11"
    + struct.pack(">H", 12)
    + socket.inet_aton("192.0.2.9")
    + socket.inet_aton("10.0.0.1")
    + struct.pack(">HH", 4711, 1883)
)


def test_proxy_header_says_who_comes(start_broker: StartBroker) -> None:
    process = start_broker(
        listener__lb__url="nmq-tcp://127.0.0.1:0",
        listener__lb__proxy_protocol="true",
        max_connections_per_address="1",
        acl__rule__1='{"permit":"deny","ipaddr":"192.0.2.9","topics":["t"]}',
    )
    with (
        proxied(process, V2) as a,
        proxied(process, b"PROXY TCP4 192.0.2.8 10.0.0.1 1 1883\r\n") as b,
        proxied(process, b"PROXY UNKNOWN\r\n") as health,
    ):
        for n, c in enumerate((a, b, health)):
            assert c.connect(f"c{n}").reason == 0
        assert a.subscribe(("t", 0)) == [0x87]
        assert b.subscribe(("t", 0)) == [0]
        with proxied(process, V2) as second:
            assert second.read_until_closed() == []
        a.leave()
        with proxied(process, V2) as again:
            assert again.connect("again").reason == 0


def test_proxy_header_in_pieces_with_the_first_packet(start_broker: StartBroker) -> None:
    process = start_broker(
        listener__lb__url="nmq-tcp://127.0.0.1:0", listener__lb__proxy_protocol="true"
    )
    data = V2 + raw.connect("c", 5)
    with process.raw(5, "listener.lb.url") as c:
        for n in range(len(data)):
            c.send(data[n : n + 1])
        assert c.expect(raw.CONNACK).reason == 0


def test_connection_without_its_proxy_header_is_closed(start_broker: StartBroker) -> None:
    process = start_broker(
        listener__lb__url="nmq-tcp://127.0.0.1:0", listener__lb__proxy_protocol="true"
    )
    with process.raw(5, "listener.lb.url") as c:
        c.send(raw.connect("c", 5))
        assert c.read_until_closed() == []
    process.waits_for("not a PROXY header")


def test_proxy_headers_come_from_trusted_networks_only(start_broker: StartBroker) -> None:
    process = start_broker(
        listener__lb__url="nmq-tcp://127.0.0.1:0",
        listener__lb__proxy_protocol="true",
        proxy__trusted="192.0.2.0/24, 127.0.0.2",
    )
    header = b"PROXY TCP4 198.51.100.8 10.0.0.1 1 1883\r\n"
    for _ in range(3):
        with proxied(process, header) as c:
            assert c.read_until_closed() == []
    process.waits_for("refused: not a proxy that is trusted")
    lines = [line for line in process.lines if "not a proxy" in line]
    assert sum(" warning " in line for line in lines) == 1
    with process.raw(5) as c:  # another listener's clients are no proxies
        assert c.connect("c").reason == 0
    place = ("127.0.0.1", process.ports["listener.lb.url"])
    with raw.Raw(socket.create_connection(place, 5, ("127.0.0.2", 0)), 5) as c:
        c.sock.sendall(header)
        assert c.connect("c").reason == 0
    assert not any("proxy.trusted says" in line for line in process.lines)
    process.reload(proxy__trusted=None)
    with proxied(process, header) as c:
        assert c.connect("c").reason == 0
    process.waits_for("listener.lb.proxy_protocol=true: whoever connects there")


@pytest.mark.parametrize(
    "trusted", ["::ffff:127.0.0.1", "::ffff:127.0.0.0/104", "::ffff:0:0/96"]
)
def test_proxy_that_is_trusted_by_its_mapped_address_may_send_headers(
    start_broker: StartBroker, trusted: str
) -> None:
    process = start_broker(
        listener__lb__url="nmq-tcp://127.0.0.1:0",
        listener__lb__proxy_protocol="true",
        proxy__trusted=trusted,
    )
    with proxied(process, b"PROXY TCP4 198.51.100.8 10.0.0.1 1 1883\r\n") as c:
        assert c.connect("c").reason == 0


# --- faults


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("proxy.trusted=10.0.0.0/33", "proxy.trusted='10.0.0.0/33': expected addresses"),
        ("websocket.path=mqtt", "websocket.path='mqtt': expected a path"),
        (
            "listener.a.url=nmq-tcp://h:1\nlistener.a.websocket.path=/x",
            "listener.a.websocket.path=/x: expected a listener with WebSocket",
        ),
        ("listener.a.max_connections=5", "listener.a.url: missing"),
        ("listener.tcp.url=nmq-tcp://h:1", "expected url to say where the listener tcp"),
        ("listener.a.url=nmq-udp://h:1", "listener.a.url='nmq-udp://h:1': expected a URL"),
        ("listener.a.url=nmq-ipc://", "listener.a.url='nmq-ipc://': expected a URL"),
        (f"listener.a.url=nmq-ipc:///{'x' * 107}", "expected a URL"),
        ("listener.a.url=nmq-tcp://h:1\nlistener.a.nope=1", "listener.a.nope: unknown key"),
        (
            "listener.a.url=nmq-tcp://h:1\nlistener.a.mountpoint=a/+/",
            "mountpoint='a/[+]/': expected the beginning of topics",
        ),
        (
            "listener.a.url=nmq-tcp://h:1\nlistener.a.mountpoint=abc",
            "mountpoint='abc': exp",
        ),
        (
            "listener.a.url=nmq-wss://h:1\nlistener.a.proxy_protocol=true",
            "listener.a.proxy_protocol=true: expected a listener without TLS",
        ),
        (
            "listener.a.url=nmq-tcp://h:1\nlistener.a.cn_as_username=true",
            "listener.a.cn_as_username=true: expected a listener with TLS",
        ),
    ],
)
def test_fault_names_its_key(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        places_of(parse(text, "x.conf"))


async def test_address_that_is_not_ours_is_named() -> None:
    config = parse(
        "url=\nwebsocket.enable=false\nlistener.a.url=nmq-tcp://192.0.2.1:0\n", "x.conf"
    )
    with pytest.raises(
        ConfigError, match=r"listener\.a\.url=nmq-tcp://192\.0\.2\.1:0: cannot"
    ):
        await Broker(config).start()


async def test_listeners_are_counted() -> None:
    config = parse(
        "url=nmq-tcp://127.0.0.1:0\nwebsocket.enable=false\n"
        "listener.tcp.max_connections=1\n",
        "x.conf",
    )
    async with Broker(config) as broker:
        with Raw(broker.ports["url"]) as a, Raw(broker.ports["url"]) as b:
            a.connect("a")
            with pytest.raises(Closed):
                b.read()
        stats = broker.listeners()["tcp"]
        assert (stats.accepted, stats.refused) == (1, 1)
        assert broker.stats().refused_listener == 1


def test_no_plain_listener_by_an_empty_url() -> None:
    assert "tcp" not in [place.name for place in places_of(Config(url=None))]
