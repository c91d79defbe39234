"""What is acknowledged outlives the process, its kill and a restart: ``durability``."""

from __future__ import annotations

import contextlib
import resource
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import raw
from tests.conftest import Process, conf_text, free_port, nanomq, running_broker
from tests.eventually import eventually
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


@pytest.mark.usefixtures("uncounted")
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


@pytest.mark.usefixtures("uncounted")
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
        process.expected = 1
        assert process.ends() == 1  # so that whoever supervises it starts it again
    with start() as process:
        assert taken(process, "to", 1) == [b"kept"]


# --- a start that cannot be


def test_what_is_no_folder_is_refused(folder: Path) -> None:
    place = folder / "file"
    place.write_text("")
    for where, why in ((place, "Not a directory"), (place / "below", "File exists")):
        text = refusal(folder, durability__location=str(where))
        assert (
            f"durability.location={where}: cannot be used: {why}: expected a folder" in text
        )
        assert "durability=off starts without it" in text
    assert place.read_text() == ""


def broken(folder: Path) -> Path:
    """Damage what is on the disk, in front of what is good, of a broker that has ended."""
    kept = folder / "nanomq.journal" / "000001.seg"
    held = bytearray(kept.read_bytes())
    held[held.index(b"victim")] ^= 1
    kept.write_bytes(held)
    return kept


def test_damage_stops_the_start(start: Start, folder: Path) -> None:
    with start() as process:
        subscriber(process, "to", ("t", 1))
        publish(process, b"victim")
        publish(process, b"good")
        process.kill()
    before = broken(folder).read_bytes()
    text = refusal(folder, durability__location=str(folder / "nanomq.journal"))
    assert "000001.seg is damaged at byte" in text
    assert "`nanomq store check`" in text
    assert "`nanomq store repair`" in text
    assert "durability.on_corruption=skip" in text
    assert (folder / "nanomq.journal" / "000001.seg").read_bytes() == before


def test_a_missing_file_stops_the_start(start: Start, folder: Path) -> None:
    small = {"durability__segment_size": "1MB", "durability__max_size": "64MB"}
    with start(**small) as process:
        subscriber(process, "to", ("t", 1))
        publish(process, *[bytes(1 << 16)] * 40)
        process.kill()
    segments = sorted((folder / "nanomq.journal").glob("*.seg"))
    assert len(segments) > 2
    segments[1].rename(folder / "away.seg")
    text = refusal(folder, durability__location=str(folder / "nanomq.journal"), **small)
    assert f"the file {segments[1].name} is missing" in text


def test_a_torn_write_is_told(start: Start, folder: Path) -> None:
    with start() as process:
        subscriber(process, "to", ("t", 1))
        publish(process, b"whole")
        publish(process, b"victim")
        process.kill()
    broken(folder)  # nothing is behind it
    with start() as process:
        process.waits_for("the last write was cut short, in 000001.seg at byte")
        assert taken(process, "to", 1) == [b"whole"]


def test_files_of_another_size_stay(start: Start, folder: Path) -> None:
    with start(durability__segment_size="1MB") as process:
        subscriber(process, "to", ("t", 1))
        publish(process, b"1")
        process.kill()
    with start(durability__segment_size="2MB") as process:
        publish(process, b"2")
        process.kill()
    with start(durability__segment_size="1MB") as process:
        assert taken(process, "to", 2) == [b"1", b"2"]
        assert (folder / "nanomq.journal" / "000001.seg").stat().st_size == 1 << 20


def test_a_bound_below_what_is_there_is_told(start: Start) -> None:
    with start() as process:  # segments of 16 MiB
        subscriber(process, "to", ("t", 1))
        publish(process, b"1")
        process.kill()
    with start(durability__max_size="8MB", durability__segment_size="1MB") as process:
        process.waits_for("durability.max_size=8388608:")
        assert taken(process, "to", 1) == [b"1"]


def test_an_opening_that_takes_long_is_told(folder: Path) -> None:
    constants = {"nanomq_py.durability_part.SLOW_S": 0.0}
    with running_broker(folder, constants=constants, durability="always") as process:
        process.waits_for("it takes long to open. If its disk is out of reach")


# --- the interval


def is_written(folder: Path, payload: bytes) -> bool:
    files = (folder / "nanomq.journal").glob("[0-9]*.seg")
    return any(payload in file.read_bytes() for file in files)


@pytest.mark.parametrize("qos", [1, 2])
def test_with_an_interval_replies_leave_before_it_is_over(
    start: Start, folder: Path, qos: int
) -> None:
    with start(durability="interval", durability__interval="60s") as process:
        subscriber(process, "to", ("t", qos))
        publish(process, b"payload", qos=qos)
        assert taken(process, "to", 1) == [b"payload"]  # QoS 2 goes all the way
        publish(process, b"rest", qos=qos)
        assert not is_written(folder, b"payload")
        assert process.stop() == 0  # a stop writes it
    with start() as process:
        assert taken(process, "to", 1) == [b"rest"]


def test_with_an_interval_it_is_written_within_it(start: Start, folder: Path) -> None:
    with start(durability="interval", durability__interval="10ms") as process:
        subscriber(process, "to", ("t", 1))
        publish(process, b"payload")
        eventually(lambda: is_written(folder, b"payload"), within_s=30)
        process.kill()
    with start() as process:
        assert taken(process, "to", 1) == [b"payload"]


def test_with_an_interval_much_is_written_before_it_is_over(
    start: Start, folder: Path
) -> None:
    with start(durability="interval", durability__interval="60s") as process:
        subscriber(process, "to", ("t", 1))
        publish(process, b"first", *[bytes(1 << 20)] * 24)
        eventually(lambda: is_written(folder, b"first"), within_s=30)
        process.kill()


def test_a_reload_changes_the_interval_at_once(tmp_path: Path, folder: Path) -> None:
    with running_broker(
        folder,
        durability="interval",
        durability__interval="60s",
        http_server__port=str(free_port()),
    ) as process:
        subscriber(process, "to", ("t", 1))
        publish(process, b"payload")
        assert not is_written(folder, b"payload")
        changed = process.reload(durability__interval="10ms")
        eventually(lambda: is_written(folder, b"payload"), within_s=30)
        assert "durability.interval" in str(changed)


def test_a_reload_says_what_waits_for_a_restart(folder: Path) -> None:
    with running_broker(
        folder, durability="always", http_server__port=str(free_port())
    ) as process:
        said = process.reload(
            durability__gather="5ms",
            durability__max_size="512MB",
            durability__on_error="stop",
            durability__hold="1s",
            durability__segment_size="1MB",
            durability__location=str(folder / "other"),
            durability__on_corruption="skip",
        )
        assert set(said["applied"]) == {
            f"durability.{name}" for name in ("gather", "max_size", "on_error", "hold")
        }
        assert set(said["restart"]) == {
            f"durability.{name}" for name in ("location", "segment_size", "on_corruption")
        }
        assert not (folder / "other").exists()


# --- a restart


def restart(process: Process) -> None:
    served = sum("serving:" in line for line in process.lines)
    assert process.api(req=10, action="restart").status == 200
    eventually(
        lambda: sum("serving:" in line for line in process.lines) > served, within_s=30
    )


def hold_much(process: Process) -> None:
    """Have it keep a session with messages in flight and in its queue, and what is retained."""
    subscriber(process, "to", ("t", 1), ("u", 2))
    publish(process, b"1", b"2")
    publish(process, b"3", topic="u", qos=2)
    with process.raw(5) as client:
        client.connect("r")
        for packet_id, topic in enumerate(("r/b", "r/a"), start=1):
            client.publish(topic, topic.encode(), qos=1, packet_id=packet_id, retain=True)
            client.expect(PUBACK)


def assert_much(process: Process) -> None:
    with process.raw(5) as client:
        client.connect("c")
        client.subscribe(("r/+", 1))
        assert {client.expect(PUBLISH).payload for _ in range(2)} == {b"r/a", b"r/b"}
    assert taken(process, "to", 3) == [b"1", b"2", b"3"]


@pytest.mark.parametrize("mode", ["always", "interval"])
def test_a_restart_keeps_all_and_so_does_a_kill_behind_it(start: Start, mode: str) -> None:
    keys = {"durability": mode, "http_server__port": str(free_port())}
    with start(**keys) as process:
        hold_much(process)
        restart(process)
        restart(process)
        if mode == "interval":
            assert process.stop() == 0
        else:
            publish(process, b"nobody", topic="x")
            process.kill()
    with start(**keys) as process:
        assert_much(process)


def test_what_is_taken_after_a_restart_is_not_sent_again(start: Start) -> None:
    with start(http_server__port=str(free_port())) as process:
        hold_much(process)
        restart(process)
        assert_much(process)
        publish(process, b"4")
        process.stop()
    with start() as process:
        assert taken(process, "to", 1) == [b"4"]


def test_a_restart_that_switches_it_on_keeps_what_was_in_memory(
    start: Start, folder: Path
) -> None:
    with start(durability="off", http_server__port=str(free_port())) as process:
        hold_much(process)
        process.set_keys(durability="always")
        restart(process)
        # something that waits for the disk, and so for what was taken over
        subscriber(process, "other", ("x", 1))
        process.kill()
    with start() as process:
        assert_much(process)


# --- NanoMQ's keys


def test_nanomq_s_sqlite_is_read_as_durability(start: Start, folder: Path) -> None:
    keys = {
        "durability": "off",
        "sqlite__enable": "true",
        "sqlite__mounted_file_path": str(folder / "db"),
    }
    with start(**keys) as process:
        place = folder / "db" / "nanomq.journal"
        process.waits_for(f"sqlite.enable=true: read as durability=always, in {place}")
        subscriber(process, "to", ("t", 1))
        publish(process, b"1")
        process.kill()
    with start(**keys) as process:
        assert taken(process, "to", 1) == [b"1"]
