"""A restart keeps retained messages and sessions (http-dialects.md, req 10)."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nanomq_py import Broker, Config
from nanomq_py.config.keys.access import AclRule, User
from nanomq_py.config.keys.bridges import Bridge, BridgeSubscription
from nanomq_py.config.keys.listeners import Listener, WebSocket
from nanomq_py.config.reader import from_texts
from nanomq_py.config.settings import settings_of
from nanomq_py.run.systemd import CONFIG, config_of, keep_config
from tests import journal, raw
from tests.certs import Certs
from tests.conformance.flows import give, pass_time, take, u16, u32
from tests.conftest import Process, StartBroker, free_port
from tests.raw import Raw
from tests.unit.clib import ffi, lib

MALFORMED, NO_MEMORY = -2, -1
NEVER = b"\x11\xff\xff\xff\xff"  # Session Expiry Interval


def restart(process: Process) -> None:
    served = sum("serving:" in line for line in process.lines)
    assert process.api(req=10, action="restart").status == 200
    until = time.monotonic() + 30
    while sum("serving:" in line for line in process.lines) == served:
        assert time.monotonic() < until, "".join(process.lines)
        time.sleep(0.01)


@pytest.fixture
def process(start_broker: StartBroker) -> Process:
    return start_broker(http_server__port=str(free_port()), qos_duration="0")


def test_retained_messages_stay(process: Process) -> None:
    content = b"\x03\x00\x04text\x26\x00\x01k\x00\x01v"  # Content Type, User Property
    with process.raw(5) as c:
        c.connect("c")
        c.publish("a/b", b"one", retain=True, properties=content)
        c.publish("$x/y", b"two", retain=True, qos=1, packet_id=1)
        c.expect(raw.PUBACK)
        c.publish("soon", b"gone", retain=True, properties=b"\x02\x00\x00\x00\x01")
        c.publish("later", b"here", retain=True, properties=b"\x02\x00\x00\x03\xe8")
        c.ping()
    restart(process)
    until = time.monotonic() + 20
    while soon_is_there(process):
        assert time.monotonic() < until
    with process.raw(5) as c:
        c.connect("c")
        c.subscribe(("#", 2), ("$x/#", 2))
        got = {}
        for _ in range(3):
            packet = c.expect(raw.PUBLISH)
            got[packet.topic] = (packet.payload, packet.retain, packet.properties)
            if packet.qos:
                c.send(raw.ack(raw.PUBACK, packet.packet_id))
        assert got["a/b"] == (b"one", True, content)
        assert got["$x/y"][:2] == (b"two", True)
        assert got["later"][2][:4] == b"\x02\x00\x00\x03"
        c.assert_silent()


def soon_is_there(process: Process) -> bool:
    with process.raw(5) as c:
        c.connect("c")
        c.subscribe(("soon", 0))
        c.send(raw.packet(raw.PINGREQ))
        return c.read().kind == raw.PUBLISH


@pytest.mark.parametrize("version", [4, 5])
def test_session_goes_on_where_it_was(process: Process, version: int) -> None:
    keep: dict[str, Any] = {"properties": NEVER} if version == 5 else {}
    with process.raw(version) as sub, process.raw(5) as pub:
        sub.connect("sub", clean=False, **keep)
        identifier = b"\x0b\x07" if version == 5 else b""
        assert sub.subscribe(("a/+", 2), ("$share/g/s", 1), properties=identifier) == [2, 1]
        pub.connect("pub")
        pub.publish("a/1", b"sent", qos=1, packet_id=1)
        pub.expect(raw.PUBACK)
        pub.publish("a/2", b"halfway", qos=2, packet_id=2)
        pub.expect(raw.PUBREC)
        sent, halfway = sub.expect(raw.PUBLISH), sub.expect(raw.PUBLISH)
        sub.send(raw.ack(raw.PUBREC, halfway.packet_id))
        sub.expect(raw.PUBREL)
        sub.publish("b", b"", qos=2, packet_id=77)  # its PUBREL comes after the restart
        sub.expect(raw.PUBREC)
        sub.leave()
        for n in range(3, 6):
            pub.publish("a/x", b"%d" % n, qos=1 + n % 2, packet_id=n)
            pub.read()
        pub.publish("s", b"shared", qos=1, packet_id=9)
        pub.expect(raw.PUBACK)
    restart(process)
    with process.raw(version) as sub, process.raw(5) as pub:
        assert sub.connect("sub", clean=False, **keep).flags == 1  # Session Present
        again, rel = sub.expect(raw.PUBLISH), sub.expect(raw.PUBREL)
        assert (again.payload, again.dup, again.packet_id) == (
            b"sent",
            True,
            sent.packet_id,
        )
        assert again.properties == sent.properties == identifier
        assert rel.packet_id == halfway.packet_id
        sub.send(raw.ack(raw.PUBACK, again.packet_id), raw.ack(raw.PUBCOMP, rel.packet_id))
        waiting = [sub.expect(raw.PUBLISH) for _ in range(4)]
        assert [p.payload for p in waiting] == [b"3", b"4", b"5", b"shared"]
        assert [p.qos for p in waiting] == [2, 1, 2, 1]
        assert len({p.packet_id for p in waiting} - {sent.packet_id}) >= 3
        sub.publish("b", b"", qos=2, packet_id=77, dup=True)  # known: not passed on
        assert sub.expect(raw.PUBREC).packet_id == 77
        sub.send(raw.ack(raw.PUBREL, 77))
        sub.expect(raw.PUBCOMP)
        pub.connect("pub")
        pub.publish("a/9", b"new")
        assert sub.expect(raw.PUBLISH).payload == b"new"


def test_session_that_was_not_to_be_kept_is_gone(process: Process) -> None:
    with process.raw(4) as c:
        c.connect("c", clean=True)
        c.subscribe(("t", 1))
        restart(process)
    with process.raw(4) as c:
        assert c.connect("c", clean=False).flags == 0


def test_session_expires_at_its_time(process: Process) -> None:
    with process.raw(5) as c:
        c.connect("c", properties=b"\x11\x00\x00\x00\x01")
        c.leave()
    restart(process)
    until = time.monotonic() + 20
    while process.api(req=5).json["data"]:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_will_that_waits_goes_out_at_its_time(process: Process) -> None:
    with process.raw(5) as c, process.raw(5) as watch:
        watch.connect("watch", clean=False, properties=NEVER)
        watch.subscribe(("gone", 1))
        c.connect(
            "c",
            will=("gone", b"bye", 1, False),
            will_properties=b"\x18\x00\x00\x00\x02",
            properties=NEVER,
        )
        c.close()
        restart(process)
    with process.raw(5) as watch:
        watch.connect("watch", clean=False, properties=NEVER)
        assert watch.expect(raw.PUBLISH).payload == b"bye"


def test_expiry_of_a_will_that_waits_begins_with_its_publication(process: Process) -> None:
    with process.raw(5) as c, process.raw(5) as watch:
        watch.connect("watch", clean=False, properties=NEVER)
        watch.subscribe(("gone", 1))
        c.connect(
            "c",
            will=("gone", b"bye", 1, False),
            will_properties=u32(0x18, 1000) + u32(2, 2),
            properties=NEVER,
        )
        c.close()
        restart(process)
    with process.raw(5) as c, process.raw(5) as watch:
        watch.connect("watch", clean=False, properties=NEVER)
        pass_time(process, "other", 2)  # as long as it is to live
        c.connect("c", clean=True)  # the session ends, and the will is sent
        got = watch.expect(raw.PUBLISH)
        assert (got.payload, got.properties) == (b"bye", u32(2, 2))


def test_publisher_of_a_retained_message_is_known(process: Process) -> None:
    with process.raw(5) as c:
        c.connect("c")
        give(c, "t", b"own", 1, retain=True)
    restart(process)
    with process.raw(5) as c, process.raw(5) as other:
        c.connect("c")
        c.subscribe(("t", 0x05))  # No Local
        c.assert_silent()
        other.connect("other")
        other.subscribe(("t", 0x05))
        assert take(other)[1] == b"own"


def test_message_of_a_shared_group_goes_to_another_member(process: Process) -> None:
    with process.raw(5) as c, process.raw(5) as pub:
        pub.connect("pub")
        c.connect("c", clean=False, properties=NEVER)
        c.subscribe(("$share/other/s", 1))
        c.subscribe(("$share/g/s", 1))
        give(pub, "s", b"sent", 1)
        for _ in range(2):
            c.expect(raw.PUBLISH)
        c.leave()
        give(pub, "s", b"queued", 1)
    restart(process)
    with process.raw(5) as c, process.raw(5) as heir:
        heir.connect("heir")
        heir.subscribe(("$share/new/t", 1), ("$share/g/s", 1))
        c.connect("c", clean=True)  # its session ends
        assert {take(heir)[1] for _ in range(2)} == {b"sent", b"queued"}
        heir.assert_silent()


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_retained_messages_that_a_session_is_owed_come_once(
    process: Process, qos: int
) -> None:
    topics = [f"r/{n % 7}/{n}" for n in range(200)]
    window = {"clean": False, "properties": NEVER + u16(0x21, 1)}  # Receive Maximum
    with process.raw(5) as c, process.raw(5) as pub:
        pub.connect("pub")
        for topic in topics:
            give(pub, topic, b"old", 2, retain=True)
        c.connect("c", **window)
        c.subscribe(("r/#", 1), properties=b"\x0b\x07")
        first = c.expect(raw.PUBLISH)
        c.subscribe(("r/3/+", 1))
        c.send(raw.ack(raw.PUBACK, first.packet_id))
        got = [first.topic, *(take(c)[0] for _ in range(20))]
        last = c.expect(raw.PUBLISH)  # sent, and not acknowledged
        c.leave()
        give(pub, topics[-1], b"new", qos, retain=True)  # it comes as a live one
    restart(process)
    restart(process)
    with process.raw(5) as c:
        c.connect("c", **window)
        first = c.expect(raw.PUBLISH)
        assert (first.topic, first.dup) == (last.topic, True)
        c.send(raw.ack(raw.PUBACK, first.packet_id))
        got.append(first.topic)
        own = [t for t in topics[:-1] if t.startswith("r/3/")]
        while len(got) < len(topics) - 1 + len(own):
            packet = c.expect(raw.PUBLISH)
            assert (packet.retain, packet.payload) == (True, b"old")
            assert (packet.properties == b"\x0b\x07") == (len(got) < len(topics) - 1)
            c.send(raw.ack(raw.PUBACK, packet.packet_id))
            got.append(packet.topic)
        if qos:
            assert take(c)[1] == b"new"
        c.assert_silent()
        assert sorted(got) == sorted(topics[:-1] + own)


@pytest.mark.parametrize("when", ["by the restart", "after it"])
def test_session_moves_with_a_mount_point_that_changes(
    start_broker: StartBroker, when: str
) -> None:
    plain, mounted = free_port(), free_port()
    process = start_broker(
        url=f"nmq-tcp://127.0.0.1:{plain}",
        listener__m__url=f"nmq-tcp://127.0.0.1:{mounted}",
        listener__m__mountpoint="old/",
        http_server__port=str(free_port()),
    )
    with Raw(mounted, 5) as c:
        c.connect("c", clean=False, properties=NEVER)
        c.subscribe(("a/+", 1))
        c.leave()
    if when == "after it":
        restart(process)
        process.reload(listener__m__mountpoint="new/")
    else:
        process.set_keys(listener__m__mountpoint="new/")
        restart(process)
    with Raw(plain, 5) as p:
        p.connect("p")
        assert give(p, "new/a/1", b"while it is away", 1) == 0
        with Raw(mounted, 5) as c:
            assert c.connect("c", clean=False, properties=NEVER).flags == 1
            assert take(c)[:2] == ("a/1", b"while it is away")
            assert give(p, "new/a/2", b"while it is here", 1) == 0
            assert take(c)[:2] == ("a/2", b"while it is here")


def test_restart_twice_keeps_everything(process: Process) -> None:
    with process.raw(4) as c:
        c.connect("c", clean=False)
        c.subscribe(("t", 1))
        c.publish("r", b"kept", retain=True)
        c.leave()
    restart(process)
    restart(process)
    assert any("1 sessions of the process before go on" in line for line in process.lines)
    with process.raw(4) as c:
        assert c.connect("c", clean=False).flags == 1
        c.subscribe(("r", 0))
        assert c.expect(raw.PUBLISH).payload == b"kept"


# --- a file that is gone or wrong when the next process reads it


def restart_and_then(process: Process, spoil: Callable[[], object]) -> None:
    """Restart, and have that happen after the file was checked and before it is read."""
    served = sum("serving:" in line for line in process.lines)
    os.kill(process.pid, signal.SIGUSR2)
    process.waits_for("restarting")
    spoil()
    until = time.monotonic() + 30
    while sum("serving:" in line for line in process.lines) == served:
        assert process.popen.poll() is None, "".join(process.lines)
        assert time.monotonic() < until, "".join(process.lines)
        time.sleep(0.01)


def keep_a_session(process: Process) -> None:
    with process.raw(4) as c:
        c.connect("kept", user="user", password=b"pass word", clean=False)
        c.subscribe(("t", 1))
        c.leave()


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("gone", "nanomq.conf: cannot be read: No such file"),
        ("wrong", "msq_len='many': expected"),
        ("unsupported", "auth.http.enable: no server to ask"),
        ("listener", "url=nmq-tcp://192.0.2.1:1883: cannot listen"),
        ("http", "cannot listen on 192.0.2.1"),
        ("log", "log.dir='/dev/null/no'"),
    ],
)
def test_restart_goes_on_with_what_ran(
    start_broker: StartBroker, tmp_path: Path, fault: str, says: str
) -> None:
    ipc = tmp_path / "broker.sock"
    process = start_broker(
        http_server__port=str(free_port()), msq_len="77", auth__1__login="user",
        auth__1__password="pass word", acl__rule__1='{"permit":"allow","topics":["t"]}',
        allow_anonymous="false", listener__a__url=f"nmq-ipc://{ipc}",
    )  # fmt: skip
    text = process.conf.read_text()
    keep_a_session(process)
    spoilt = {
        "gone": None,
        "wrong": text.replace("msq_len=77", "msq_len=many"),
        "unsupported": f"{text}auth.http.enable=true\n",
        "listener": text.replace("127.0.0.1:0", "192.0.2.1:1883"),
        "http": f"{text}http_server.host=192.0.2.1\n",
        "log": f"{text}log.to=file\nlog.dir=/dev/null/no\n",
    }[fault]
    restart_and_then(
        process,
        process.conf.unlink if spoilt is None else lambda: process.conf.write_text(spoilt),
    )
    process.waits_for(says)
    process.waits_for("1 sessions of the process before go on")
    if fault != "log":
        process.waits_for("the broker goes on with what ran before the restart")
        assert process.api(req=11).json["data"]["msq_len"] == 77
    with process.raw(4) as c:
        c.send(raw.connect("kept", 4, user="user", password=b"pass word", clean=False))
        assert c.expect(raw.CONNACK).flags == 1
    with process.raw(4) as c:
        c.send(raw.connect("other", 4, user="user", password=b"wrong"))
        assert c.expect(raw.CONNACK).reason != 0
    with socket.socket(socket.AF_UNIX) as over:
        over.connect(str(ipc))
    if fault == "log":
        return
    changed = process.api(req=12, data={"msq_len": 5})
    assert (changed.status, "reload it first" in changed.json["message"]) == (400, True)
    process.conf.write_text(text.replace("msq_len=77", "msq_len=78"))
    assert process.nanomq("reload", "--conf", str(process.conf)).returncode == 0
    assert process.api(req=12, data={"msq_len": 5}).status == 200
    restart(process)  # and the next one is an ordinary one
    assert process.api(req=11).json["data"]["msq_len"] == 5


def test_restart_goes_on_without_what_nobody_can_have(
    start_broker: StartBroker, certs: Certs, tmp_path: Path
) -> None:
    """A certificate that is gone, and a port that another program has by then."""
    cert = tmp_path / "server.pem"
    cert.write_bytes(Path(certs.server.certfile).read_bytes())
    process = start_broker(
        http_server__port=str(free_port()), tls__enable="true", tls__certfile=str(cert),
        tls__url="tls+nmq-tcp://127.0.0.1:0", tls__keyfile=str(certs.server.keyfile),
    )  # fmt: skip
    with process.raw(4) as c:
        c.connect("kept", clean=False)
        c.leave()

    def take_away() -> None:
        cert.unlink()
        until = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError):
                taken.append(socket.create_server(("127.0.0.1", process.http_port)))
                return
            assert time.monotonic() < until

    taken: list[socket.socket] = []
    restart_and_then(process, take_away)
    taken[0].close()
    process.waits_for("server.pem")
    process.waits_for("in use; the broker goes on without it")
    with process.raw(4) as c:
        c.send(raw.connect("kept", 4, clean=False))
        assert c.expect(raw.CONNACK).flags == 1
    cert.write_bytes(Path(certs.server.certfile).read_bytes())
    assert process.nanomq("reload", "--conf", str(process.conf)).returncode == 0
    assert process.api(req=2).status == 200


def test_every_value_is_handed_over_as_it_was() -> None:
    """Also those that no flat file could hold."""
    config = Config(
        msq_len=77,
        users=(User(login=" a=b", password=" pass\u202e word "),),
        acl_rules=(AclRule(permit="deny", username=" x", topics=("a b", "#")),),
        listeners=(Listener(name="more", url="nmq-tcp://127.0.0.1:0", max_connections=3),),
        bridges=(Bridge(name="b", subscription=(BridgeSubscription(topic=" t ", qos=1),)),),
    )
    fd = os.memfd_create("test")
    keep_config({name: s.text for name, s in settings_of(config).items()}, fd)
    environ = {CONFIG: f"{os.getpid()}:{fd}"}
    texts = config_of(environ)
    assert texts is not None
    assert from_texts(texts, "before") == config
    assert environ == {}


# --- the bytes


@pytest.fixture
async def saved() -> bytes:
    """What a broker with something of everything leaves."""
    config = Config(
        url="nmq-tcp://127.0.0.1:0", websocket=WebSocket(enable=False), sys_interval=0
    )
    broker = Broker(config)
    await broker.start()
    with Raw(broker.ports["url"], 5) as c, Raw(broker.ports["url"], 5) as pub:
        will = ("gone", b"bye", 1, False)
        c.connect("c", user="u", clean=False, properties=NEVER + u16(0x21, 8), will=will,
                  will_properties=u32(0x18, 65535) + u32(2, 60))  # fmt: skip
        c.subscribe(("a/+", 2), ("$share/g/s", 1), properties=b"\x0b\x07")
        c.subscribe(("a/#", 2), properties=b"\x0b\x08")
        pub.connect("pub")
        for n in range(1, 6):
            pub.publish(f"a/{n}", b"x" * n, qos=1 + n % 2, packet_id=n, retain=n < 3)
            pub.read()
        for n in range(40):
            pub.publish(f"r/{n % 3}/{n}", b"kept", qos=1, packet_id=n + 1, retain=True)
            pub.read()
        # more than its Receive Maximum, and than go out with the SUBACK
        c.send(raw.subscribe(11, ("r/#", 1), ("r/1/+", 0x21), version=5))
        while c.read().kind != raw.SUBACK:
            pass
        c.publish("b", b"", qos=2, packet_id=9)
        c.close()
        pub.publish(
            "a/6", b"queued", qos=1, packet_id=9, properties=b"\x02\x00\x00\x03\xe8"
        )
        pub.expect(raw.PUBACK)
    handed_over = broker.hand_over()
    await broker.stop()
    for _, sock in handed_over.sockets:
        sock.close()
    size = os.fstat(handed_over.state).st_size
    data = os.pread(handed_over.state, size, 0)
    os.close(handed_over.state)
    return data


@pytest.fixture
def empty() -> Iterator[Any]:
    """Make brokers of the test build, which count what they allocate."""
    made = []

    def make() -> Any:
        options = ffi.new("nmq_options *", {
            "window": 20, "queue_max": 100, "packet_max_bytes": 65536,
            "send_packet_max_bytes": 65536, "topic_levels_max": 10, "receive_maximum": 20,
            "qos_max": 2, "retain_available": True, "outbox_max_bytes": 4096,
            "expiry_max_s": 0xFFFFFFFF, "log_level": 50,
        })  # fmt: skip
        out = ffi.new("nmq_broker **")
        assert lib.nmq_broker_new(options, out) == 0
        made.append(out[0])
        return out[0]

    yield make
    for broker in made:
        lib.nmq_broker_free(broker)


def saved_again(broker: Any) -> bytes:
    fd = os.memfd_create("again")
    assert lib.nmq_broker_save(broker, fd) >= 0
    data = os.pread(fd, os.fstat(fd).st_size, 0)
    os.close(fd)
    return data


def resolved(data: bytes) -> list[str]:
    """Return the records, sorted, each with the objects that it names in place of numbers.

    Without what each process has of its own, and how many times a record is there.
    """
    told: list[str] = []
    objects: dict[tuple[str, journal.Value], str] = {}
    for name, values in journal.read(data):
        if name == "begin":
            continue
        for field in [name for name in values if name.endswith("_at_ms")]:
            values[field] = bool(values[field])  # clocks are read again
        for field in values.keys() & {"origin", "message", "session"}:
            values[field] = objects.get((field, values[field]), "none").encode()
        number = values.pop("number", None)
        told.append(f"{name} {sorted(values.items())}")
        objects[name, number] = told[-1]
    return sorted(told)


async def test_what_is_restored_is_saved_as_it_was(saved: bytes, empty: Any) -> None:
    broker = empty()
    assert lib.nmq_broker_restore(broker, saved, len(saved)) == 1
    stats = ffi.new("nmq_stats *")
    lib.nmq_broker_stats(broker, stats)
    assert (stats.clients, stats.subscriptions, stats.retained) == (1, 5, 42)
    assert [name for name, _ in journal.read(saved)].count("owed") == 1
    # topics of one level come in any order, and numbers with them
    assert resolved(saved_again(broker)) == resolved(saved)


async def test_records_and_fields_of_a_later_version_are_passed_over(
    saved: bytes, empty: Any
) -> None:
    later = b"".join(
        journal.write(record, b"new") + struct.pack("<IB", 4, 200) + b"new"
        for record in journal.read(saved)
    )
    broker = empty()
    assert lib.nmq_broker_restore(broker, later, len(later)) == 1
    assert resolved(saved_again(broker)) == resolved(saved)


async def test_fields_that_an_earlier_version_did_not_know_are_zero(
    saved: bytes, empty: Any
) -> None:
    begin = next(journal.read(saved))
    short = (
        journal.write(begin)
        + struct.pack("<IBQ", 9, 6, 1)  # a session that has only a number
        + journal.write(("end", {"sessions": 1}))
    )
    broker = empty()
    assert lib.nmq_broker_restore(broker, short, len(short)) == 1


async def test_format_of_a_later_version_is_refused(saved: bytes, empty: Any) -> None:
    begin, *others = journal.read(saved)
    begin[1]["format"] = 2
    data = b"".join(map(journal.write, (begin, *others)))
    assert lib.nmq_broker_restore(empty(), data, len(data)) == MALFORMED


DAY_MS = 86_400_000


def remaining_s(data: bytes) -> dict[str, float]:
    """Return for how long the queued message lives on, and the will waits."""
    found = {}
    for name, values in journal.read(data):
        if name == "begin":
            now = values["wall_ms"]
        if name == "message" and values["payload"] == b"queued":
            found["message"] = (values["expires_at_ms"] - now) / 1000
        if name == "will":
            found["will"] = (values["due_at_ms"] - now) / 1000
    return found


def shifted(data: bytes, by_ms: int, **begin: journal.Value) -> bytes:
    """Return what a process would have left whose wall clock was that far ahead."""
    made = []
    for name, values in journal.read(data):
        for field in values:
            if (field.endswith("_at_ms") or field == "wall_ms") and values[field]:
                values[field] += by_ms
        made.append(journal.write((name, values | begin if name == "begin" else values)))
    return b"".join(made)


@pytest.mark.parametrize(
    ("by_ms", "begin", "gone_s"),
    [
        (DAY_MS, {}, 0),  # the wall clock was set back in between
        (-DAY_MS, {}, 0),  # and forth
        (0, {"boot": b"another start"}, 0),
        (-400_000, {"boot": b"another start"}, 400),  # the machine was off
        (10 * 365 * DAY_MS, {"boot": b"another start"}, 0),  # and has woken up in 1970
        (-400_000, {"boot": None}, 400),  # it cannot tell its starts apart
        (-400_000, {"clock_ms": 1 << 50}, 400),  # a container with a clock of its own
    ],
)
async def test_time_goes_on_over_a_restart_whatever_the_clocks_do(
    saved: bytes, empty: Any, by_ms: int, begin: dict[str, journal.Value], gone_s: int
) -> None:
    data = shifted(saved, by_ms, **begin)
    broker = empty()
    assert lib.nmq_broker_restore(broker, data, len(data)) == 1
    before, after = remaining_s(saved), remaining_s(saved_again(broker))
    assert before.keys() == {"message", "will"}
    for name, left_s in before.items():
        assert after[name] == pytest.approx(left_s - gone_s, abs=60)


async def test_bytes_that_end_early_are_malformed(saved: bytes, empty: Any) -> None:
    for end in range(len(saved)):
        assert lib.nmq_broker_restore(empty(), saved[:end], end) == MALFORMED, end


async def test_any_flipped_byte_is_an_error_or_something_else(
    saved: bytes, empty: Any
) -> None:
    rng = random.Random(7)
    for _ in range(200):
        spoiled = bytearray(saved)
        for _ in range(rng.randint(1, 4)):
            spoiled[rng.randrange(len(spoiled))] = rng.randrange(256)
        broker = empty()
        lib.nmq_broker_restore(broker, bytes(spoiled), len(spoiled))


async def test_out_of_memory_leaves_nothing_behind(saved: bytes, empty: Any) -> None:
    for n in range(2000):
        broker = empty()
        lib.nmq_mem_fail_after(n)
        status = lib.nmq_broker_restore(broker, saved, len(saved))
        lib.nmq_mem_fail_after(-1)
        if status == 1:
            break
        assert status == NO_MEMORY, n
    else:
        raise AssertionError("it never succeeded")


def test_state_of_another_process_is_not_looked_at(tmp_path: Path) -> None:
    from nanomq_py.run.systemd import STATE, state_of

    for value in ("", "x", "1:2", f"{os.getpid()}:x"):
        environ = {STATE: value}
        with state_of(environ) as state:
            assert state is None
        assert environ == {}
