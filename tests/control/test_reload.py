"""A reload puts every part of the configuration in force, and cuts nobody off."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest

from tests import raw
from tests.certs import Certs
from tests.conftest import StartBroker, free_port
from tests.raw import Closed, Raw
from tests.traffic import Pair, Tally, Traffic


def url(port: int, host: str = "127.0.0.1", scheme: str = "nmq-tcp") -> str:
    return f"{scheme}://{host}:{port}"


def is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return True
    return False


# --- the four ways


def test_four_ways_have_one_meaning(start_broker: StartBroker) -> None:
    process = start_broker()

    def msq_len() -> int:
        return int(process.api(req=11).json["data"]["msq_len"])

    process.set_keys(msq_len="11")
    os.kill(process.pid, signal.SIGHUP)
    process.waits_for("audit: signal: msq_len: 256 -> 11")
    assert msq_len() == 11

    process.set_keys(msq_len="12")
    done = process.nanomq("reload", "--conf", str(process.conf))
    assert (done.returncode, done.stdout) == (0, "in force now: msq_len\n")
    assert msq_len() == 12

    assert process.reload(msq_len="13")["applied"] == ["msq_len"]
    assert msq_len() == 13

    got = process.api(req=12, data={"msq_len": 14})
    assert got.json["data"] == {
        "applied": ["msq_len"], "restart": [], "unused": [], "saved": True,
    }  # fmt: skip
    assert msq_len() == 14
    assert "msq_len=14\n" in process.conf.read_text()


def test_answer_tells_what_waits_for_a_restart_until_it_came(
    start_broker: StartBroker,
) -> None:
    process = start_broker()
    told = process.reload(num_taskq_thread="2", msq_len="9", parallel="3")
    assert told == {
        "applied": ["msq_len"], "restart": ["num_taskq_thread"], "unused": ["parallel"],
    }  # fmt: skip
    assert process.reload(msq_len="8")["restart"] == ["num_taskq_thread"]
    assert process.reload(num_taskq_thread=None)["restart"] == []


def test_reload_with_nothing_changed_says_so(start_broker: StartBroker) -> None:
    process = start_broker()
    done = process.nanomq("reload", "--conf", str(process.conf))
    assert (done.returncode, done.stdout) == (0, "nothing has changed\n")


def test_refused_reload_says_why_and_changes_nothing(start_broker: StartBroker) -> None:
    process = start_broker()
    process.set_keys(msq_len="7", log__level="loud")
    done = process.nanomq("reload", "--conf", str(process.conf))
    assert done.returncode == 2
    assert "nanomq.conf:" in done.stderr
    assert "log.level='loud': expected trace or debug" in done.stderr
    got = process.api(req=10, action="reload")
    assert (got.status, got.json["code"]) == (400, 108)
    assert "log.level='loud'" in got.json["message"]
    assert process.api(req=11).json["data"]["msq_len"] == 256


# --- listeners


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
    plain = socket.create_connection(("127.0.0.1", port), 5)
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
        plain = socket.create_connection(("127.0.0.1", process.ports["tls.url"]), 5)
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


# --- limits


def test_queue_length_counts_for_sessions_that_exist(start_broker: StartBroker) -> None:
    process = start_broker(msq_len="5")
    with process.raw(4) as away, process.raw(4) as pub:
        away.connect("away", clean=False)
        away.subscribe(("t", 1))
        away.leave()
        pub.connect("pub")

        def send(first: int, last: int) -> None:
            for n in range(first, last):
                pub.publish("t", b"%d" % n, qos=1, packet_id=n)
                pub.expect(raw.PUBACK)

        send(1, 9)  # three too many
        process.reload(msq_len="8")
        send(11, 14)
        process.reload(msq_len="2")  # what waits stays
        send(21, 22)
    with process.raw(4) as again:
        again.connect("away", clean=False)
        got = []
        for _ in range(8):
            packet = again.expect(raw.PUBLISH)
            got.append(int(packet.payload))
            again.send(raw.ack(raw.PUBACK, packet.packet_id))
        assert got == [1, 2, 3, 4, 5, 11, 12, 13]
        again.assert_silent()


def test_window_counts_for_connections_that_exist(start_broker: StartBroker) -> None:
    process = start_broker(msq_len="1")
    with process.raw(4) as sub, process.raw(4) as pub:
        sub.connect("sub")
        sub.subscribe(("t", 1))
        pub.connect("pub")
        process.reload(msq_len="3")
        for n in range(3):
            pub.publish("t", b"%d" % n, qos=1, packet_id=n + 1)
            pub.expect(raw.PUBACK)
        assert [sub.expect(raw.PUBLISH).payload for _ in range(3)] == [b"0", b"1", b"2"]


def test_retry_interval_counts_for_connections_that_exist(
    start_broker: StartBroker,
) -> None:
    process = start_broker(qos_duration="0")
    with process.raw(4) as sub, process.raw(4) as pub:
        sub.connect("sub", keep_alive=0)
        sub.subscribe(("t", 1))
        pub.connect("pub")
        pub.publish("t", b"x", qos=1, packet_id=1)
        assert not sub.expect(raw.PUBLISH).dup
        process.reload(qos_duration="1")
        assert sub.expect(raw.PUBLISH).dup


def test_rate_counts_for_connections_that_exist(start_broker: StartBroker) -> None:
    process = start_broker(sys_interval="1")
    with process.raw(5) as c, process.raw(5) as watch:
        c.connect("c")
        watch.connect("watch")
        watch.subscribe(("$SYS/broker/limits/rate_waits", 0))
        assert watch.expect(raw.PUBLISH).payload == b"0"
        process.reload(max_message_rate="1")
        for n in range(3):
            c.publish("t", b"", qos=1, packet_id=n + 1)
        for _ in range(3):
            c.expect(raw.PUBACK)
        assert int(watch.expect(raw.PUBLISH).payload) > 0
        process.reload(max_message_rate="0")
        c.ping()


def test_what_connack_told_holds_for_the_connection(start_broker: StartBroker) -> None:
    process = start_broker()
    with process.raw(5) as before, process.raw(5) as after:
        before.connect("before")
        process.reload(
            max_qos_allowed="1", retain_available="false", max_packet_size="1",
            wildcard_subscription="false", shared_subscription="false",
            subscription_identifier="false", max_topic_alias="0", receive_maximum="1",
        )  # fmt: skip
        assert before.subscribe(("$share/g/+", 2), properties=b"\x0b\x01") == [2]
        before.publish("t", b"x" * 2000, qos=2, packet_id=1, retain=True)
        before.expect(raw.PUBLISH)
        before.expect(raw.PUBREC)
        alias = b"\x23" + (5).to_bytes(2, "big")
        before.publish("u", b"", qos=2, packet_id=2, properties=alias)
        before.expect(raw.PUBLISH)
        before.expect(raw.PUBREC)
        told = after.connect("after").properties
        for name in (b"\x24\x01", b"\x25\x00", b"\x28\x00", b"\x29\x00", b"\x2a\x00"):
            assert name in told
        after.publish("t", b"x" * 2000)
        assert after.expect(raw.DISCONNECT).reason == 0x95


def test_bound_of_one_address_can_come_and_go(start_broker: StartBroker) -> None:
    process = start_broker()
    with process.raw(5) as before:
        before.connect("before")
        process.reload(max_connections_per_address="1")
        with process.raw(5) as first:
            first.connect("first")  # the one from before is not counted
            with process.raw(5) as second, pytest.raises(Closed):
                second.connect("second")
            process.reload(max_connections_per_address="0")
            with process.raw(5) as third:
                third.connect("third")
            process.reload(max_connections_per_address="1")
            with process.raw(5) as fourth, pytest.raises(Closed):
                fourth.connect("fourth")
            first.leave()
        with process.raw(5) as fifth:
            fifth.connect("fifth")
        before.ping()


# --- who may do what


def test_users_and_anonymous_access(start_broker: StartBroker) -> None:
    process = start_broker()
    with process.raw(5) as c:
        c.connect("c")
        process.reload(allow_anonymous="false", auth__1__login="u", auth__1__password="p")
        with process.raw(5) as stranger, process.raw(5) as wrong, process.raw(5) as right:
            assert stranger.connect("a").reason == 0x87
            assert wrong.connect("b", user="u", password=b"q").reason == 0x86
            assert right.connect("d", user="u", password=b"p").reason == 0
        process.reload(auth__1__password="q")
        with process.raw(5) as old, process.raw(5) as new:
            assert old.connect("e", user="u", password=b"p").reason == 0x86
            assert new.connect("f", user="u", password=b"q").reason == 0
        process.reload(allow_anonymous=None, auth__1__login=None, auth__1__password=None)
        with process.raw(5) as anyone:
            assert anyone.connect("g").reason == 0
        c.ping()


def test_access_rules_count_for_connections_that_exist(start_broker: StartBroker) -> None:
    process = start_broker()
    with process.raw(5) as c:
        c.connect("c")
        assert c.subscribe(("t", 1)) == [1]
        process.reload(acl__rule__1='{"permit":"deny","topics":["t"]}')
        c.publish("t", b"", qos=1, packet_id=1)
        assert c.expect(raw.PUBACK).reason == 0x87
        process.reload(acl__rule__1=None, acl_nomatch="deny")
        c.publish("u", b"", qos=1, packet_id=2)
        assert c.expect(raw.PUBACK).reason == 0x87
        process.reload(acl_nomatch=None)
        c.publish("t", b"", qos=1, packet_id=3)
        assert {c.read().kind, c.read().kind} == {raw.PUBACK, raw.PUBLISH}


# --- the process


def test_http_server_moves_and_the_answer_still_comes(start_broker: StartBroker) -> None:
    process, port = start_broker(), free_port()
    got = process.api(req=12, data={"http_server": {"port": port, "password": "secret"}})
    assert (got.status, got.json["data"]["applied"]) == (
        200,
        ["http_server.port", "http_server.password"],
    )
    assert process.api("admin:secret", port, req=11).status == 200
    assert process.api("admin:public", port, req=11).status == 401
    until = time.monotonic() + 10
    while not is_refused(process.http_port):
        assert time.monotonic() < until
        time.sleep(0.01)
    assert process.api(
        "admin:secret", port, req=12, data={"http_server": {"enable": False}}
    )
    until = time.monotonic() + 10
    while not is_refused(port):
        assert time.monotonic() < until
        time.sleep(0.01)
    process.set_keys(http_server__enable="true")
    os.kill(process.pid, signal.SIGHUP)
    process.waits_for("audit: signal: http_server.enable: false -> true")
    assert process.api("admin:secret", port, req=11).status == 200


def test_another_password_opens_the_port_on_every_address(
    start_broker: StartBroker,
) -> None:
    port = free_port()
    process = start_broker(http_server__port=str(port))
    process.reload(http_server__password="secret")
    with socket.create_connection(("127.0.0.2", port), 5):
        pass
    assert process.api("admin:secret", port, req=2).status == 200


def test_log_goes_elsewhere_and_a_moved_file_is_begun_anew(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    process = start_broker()
    process.reload(log__to="file", log__dir=str(tmp_path), log__file="a.log")
    with process.raw(5) as c:
        c.connect("c", user="u", password=b"p")
    process.reload(msq_len="7")
    assert "msq_len: 256 -> 7" in (tmp_path / "a.log").read_text()
    assert not any("256 -> 7" in line for line in process.lines)
    (tmp_path / "a.log").rename(tmp_path / "a.log.1")
    process.reload(log__level="debug")
    assert "log.level: info -> debug" in (tmp_path / "a.log").read_text()


def test_sys_interval(start_broker: StartBroker) -> None:
    process = start_broker(sys_interval="0")
    with process.raw(5) as c:
        c.connect("c")
        c.subscribe(("$SYS/broker/uptime", 0))
        c.assert_silent()
        process.reload(sys_interval="1")
        first = c.expect(raw.PUBLISH).payload
        assert c.expect(raw.PUBLISH).payload != first
        process.reload(sys_interval="0")


def test_environment_stands_above_the_file(start_broker: StartBroker) -> None:
    process = start_broker(environ={"NANOMQ_MSQ_LEN": "33"}, msq_len="5")
    assert process.api(req=11).json["data"]["msq_len"] == 33
    assert process.reload(msq_len="6", qos_duration="7")["applied"] == ["qos_duration"]
    got = process.api(req=12, data={"msq_len": 34, "qos_duration": 8})
    assert got.status == 400
    assert "NANOMQ_MSQ_LEN in the environment" in got.json["message"]
    assert process.api(req=12, data={"msq_len": 33, "qos_duration": 8}).status == 200
    assert "msq_len=6\n" in process.conf.read_text()


def test_reloads_come_one_after_the_other(start_broker: StartBroker) -> None:
    process = start_broker()
    answers = []

    def change(value: int) -> None:
        answers.append(process.api(req=12, data={"msq_len": value}).status)

    threads = [threading.Thread(target=change, args=(n,)) for n in range(2, 14)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == [200] * 12
    running = process.api(req=11).json["data"]["msq_len"]
    assert f"msq_len={running}\n" in process.conf.read_text()


# --- traffic


async def test_nothing_is_lost_doubled_or_cut_while_everything_changes(
    start_broker: StartBroker, certs: Certs
) -> None:
    tls, tcp = free_port(), free_port()
    process = start_broker(
        url=url(tcp),
        tls__enable="true",
        tls__url=url(tls, scheme="tls+nmq-tcp"),
        tls__certfile=str(certs.server.certfile),
        tls__keyfile=str(certs.server.keyfile),
    )
    context = ssl.create_default_context(cafile=str(certs.ca.certfile))
    tally = Tally()
    pairs = [
        Pair(tally, tcp, n, qos=1 + n % 2) if n % 3 else
        Pair(tally, tls, n, qos=1 + n % 2, context=context)
        for n in range(9)
    ]  # fmt: skip
    changes: list[dict[str, str | None]] = [
        {"url": url(tcp, "0.0.0.0")},
        {"tls__url": url(tls, "0.0.0.0", "tls+nmq-tcp"), "msq_len": "9"},
        {"tls__certfile": str(certs.client.certfile),
         "tls__keyfile": str(certs.client.keyfile)},
        {"acl__rule__1": '{"permit":"deny","topics":["no"]}', "max_connections": "500"},
        {"auth__1__login": "u", "auth__1__password": "p", "qos_duration": "3"},
        {"listener__a__url": url(free_port()), "max_message_rate": "1000"},
    ]  # fmt: skip
    back: dict[str, str | None] = {
        "url": url(tcp), "tls__url": url(tls, scheme="tls+nmq-tcp"), "msq_len": None,
        "tls__certfile": str(certs.server.certfile), "acl__rule__1": None,
        "tls__keyfile": str(certs.server.keyfile), "max_connections": None,
        "auth__1__login": None, "auth__1__password": None, "qos_duration": None,
        "listener__a__url": None, "max_message_rate": None,
    }  # fmt: skip
    async with Traffic(tally, pairs, 0.002):
        for _ in range(3):
            for change in [*changes, back]:
                told = await asyncio.to_thread(process.reload, **change)
                assert told["applied"]
    assert tally.faults == []
    assert tally.sent == tally.received > 100


def test_ten_thousand_access_rules_are_one_change(start_broker: StartBroker) -> None:
    process = start_broker(acl_nomatch="deny")
    rules = {
        f"acl__rule__{n}": json.dumps(
            {"permit": "allow", "clientid": f"client-{n}", "topics": [f"site/{n}/#"]}
        )
        for n in range(10_000)
    }
    with process.raw(5) as c:
        c.connect("client-9999")
        assert process.reload(**rules)["applied"] == ["acl.rule.*"]
        for packet_id, (topic, reason) in enumerate(
            [("site/9999/x", 0x10), ("site/9998/x", 0x87)], start=1
        ):
            c.publish(topic, b"", qos=1, packet_id=packet_id)
            assert c.expect(raw.PUBACK).reason == reason
    process.waits_for("acl.rule.*: 10000 changed")
