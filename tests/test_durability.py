"""What is acknowledged outlives the process, its kill and a restart: ``durability``."""

from __future__ import annotations

import contextlib
import resource
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import raw
from tests.conftest import Process, conf_text, nanomq, running_broker
from tests.raw import (
    CONNACK,
    DISCONNECT,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    Raw,
)

KEPT = b"\x11\x00\x00\x0e\x10"  # a session of an hour

Start = Callable[..., contextlib.AbstractContextManager[Process]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of one broker, its configuration and what it keeps."""
    made = tmp_path / "broker"
    made.mkdir()
    return made


@pytest.fixture
def start(folder: Path) -> Start:
    """Start the broker, again and again, with what it has kept."""

    def start(**keys: str) -> contextlib.AbstractContextManager[Process]:
        return running_broker(folder, **{"durability": "always", **keys})

    return start


def come(
    process: Process, name: str, *, will: tuple[str, bytes, int, bool] | None = None
) -> Raw:
    client = process.raw(5)
    # 3.1.2.11.2 - the will goes out 1 h after the connection
    delay = b"\x18\x00\x00\x0e\x10" if will else b""
    client.send(
        raw.connect(name, 5, clean=False, properties=KEPT, will=will, will_properties=delay)
    )
    assert client.expect(CONNACK).reason == 0
    return client


def subscriber(process: Process, name: str, *filters: tuple[str, int]) -> None:
    with come(process, name) as client:
        client.send(raw.subscribe(1, *filters, version=5))
        assert client.expect(SUBACK).codes == [qos for _, qos in filters]


def publish(process: Process, *payloads: bytes, topic: str = "t", qos: int = 1) -> None:
    with process.raw(5) as client:
        client.connect("by")
        for packet_id, payload in enumerate(payloads, start=1):
            client.publish(topic, payload, qos=qos, packet_id=packet_id)
            client.expect(PUBACK if qos == 1 else PUBREC)
            if qos == 2:
                client.send(raw.ack(PUBREL, packet_id))
                client.expect(PUBCOMP)


def taken(process: Process, name: str, count: int) -> list[bytes]:
    """Take what waits for that session, and nothing more comes."""
    with come(process, name) as client:
        payloads, unreleased = [], 0
        while len(payloads) < count or unreleased:
            got = client.read()
            if got.kind == PUBREL:
                client.send(raw.ack(PUBCOMP, got.packet_id))
                unreleased -= 1
                continue
            assert got.kind == PUBLISH
            payloads.append(got.payload)
            unreleased += got.qos == 2
            if got.qos:
                client.send(raw.ack(PUBACK if got.qos == 1 else PUBREC, got.packet_id))
        client.ping()
        return payloads


@pytest.mark.parametrize("qos", [1, 2])
def test_messages_come_back_after_a_kill(start: Start, qos: int) -> None:
    sent = [b"%d" % n for n in range(20)]
    with start() as process:
        subscriber(process, "to", ("t", qos))
        publish(process, *sent, qos=qos)
        process.kill()
    with start() as process:
        assert taken(process, "to", len(sent)) == sent
        assert process.stop() == 0  # what was acknowledged last is on the disk
    with start() as process:
        assert taken(process, "to", 0) == []


def test_what_else_is_kept_comes_back_after_a_kill(start: Start) -> None:
    with start() as process:
        subscriber(process, "to", ("a/+", 1), ("will", 1))
        publish(process, b"kept", topic="x")
        with process.raw(5) as client:
            client.connect("r")
            client.publish("x", b"retained", qos=1, packet_id=1, retain=True)
            client.expect(PUBACK)
        willing = come(process, "willing", will=("will", b"died", 1, False))
        process.kill()
        willing.close()
    with start() as process:
        process.waits_for("2 sessions")
        with process.raw(5) as client:
            client.connect("c")
            client.subscribe(("x", 1))
            got = client.expect(PUBLISH)
            assert (got.payload, got.retain) == (b"retained", True)
        publish(process, b"1", topic="a/b")
        with process.raw(5) as client:  # the session, and so its will, ends (3.1.3.2.2)
            client.connect("willing")
        assert taken(process, "to", 2) == [b"1", b"died"]


def test_a_stop_loses_nothing(start: Start) -> None:
    with start() as process:
        subscriber(process, "to", ("t", 1))
        publish(process, b"1")
        assert process.stop() == 0
    with start() as process:
        assert taken(process, "to", 1) == [b"1"]


def test_the_folder_is_the_users_alone(start: Start, folder: Path) -> None:
    with start():
        kept = folder / "nanomq.journal"
        assert stat.S_IMODE(kept.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in kept.iterdir()} == {0o600}


def test_off_makes_nothing(start: Start, folder: Path) -> None:
    with start(durability="off") as process:
        subscriber(process, "to", ("t", 1))
        publish(process, b"1")
        process.kill()
    assert not (folder / "nanomq.journal").exists()


def refusal(folder: Path, **keys: str) -> str:
    conf = folder / "other.conf"
    conf.write_text(conf_text(**{"durability": "always", **keys}))
    failed = nanomq("start", "--conf", str(conf), XDG_RUNTIME_DIR=str(folder))
    assert failed.returncode == 2
    return failed.stderr


def test_one_broker_has_the_folder(start: Start, folder: Path) -> None:
    where = str(folder / "kept")
    with start(durability__location=where):
        assert f"durability.location={where}: another broker uses it" in refusal(
            folder, durability__location=where
        )


def test_sizes_that_do_not_fit_are_refused(folder: Path) -> None:
    text = refusal(folder, durability__max_size="100MB")
    assert "durability.max_size=104857600: expected 8 times durability.segment_size" in text


def break_disk(process: Process) -> None:
    """Have every write fail from now on, as that of a broken disk does."""
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def test_a_disk_that_fails_is_told_and_what_is_not_kept_goes_on(start: Start) -> None:
    with start() as process:
        subscriber(process, "to", ("t", 1))
        break_disk(process)
        with process.raw(5) as client:
            client.connect("by")
            client.publish("t", b"1", qos=1, packet_id=1)
            assert client.expect(DISCONNECT).reason == 0x83
        process.waits_for("(durability.on_error = refuse)")
        with process.raw(5) as client:
            client.connect("by")
            client.publish("t", b"1", qos=1, packet_id=1)
            assert client.expect(PUBACK).reason == 0x83
            client.publish("free", b"1", qos=1, packet_id=1)
            assert client.expect(PUBACK).reason == 0x10
        assert process.stop() == 0


def test_a_broker_may_stop_where_the_disk_fails(start: Start) -> None:
    with start(durability__on_error="stop") as process:
        subscriber(process, "to", ("t", 1))
        publish(process, b"kept")
        break_disk(process)
        with process.raw(5) as client:
            client.connect("by")
            client.publish("t", b"lost", qos=1, packet_id=1)
            assert [p.kind for p in client.read_until_closed()] == [DISCONNECT]
        process.waits_for("the broker stops")
        assert process.ends() == 0
    with start() as process:
        assert taken(process, "to", 1) == [b"kept"]
