"""A reload puts every part of the configuration in force, and cuts nobody off."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import threading
import time
from pathlib import Path

from tests import raw
from tests.certs import Certs
from tests.conftest import StartBroker, free_port
from tests.control.test_reload_listeners import is_refused, url
from tests.traffic import Pair, Tally, Traffic

# --- the four ways


def test_four_ways_have_one_meaning(start_broker: StartBroker) -> None:
    process = start_broker()

    def msq_len() -> int:
        return int(process.api(req=11).json["data"]["msq_len"])

    process.set_keys(msq_len="11")
    os.kill(process.pid, signal.SIGHUP)
    process.waits_for("audit: signal: msq_len: (none) -> 11")
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
    assert process.api(req=11).json["data"]["msq_len"] == 1024


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
    until = time.monotonic() + 20
    while not is_refused(process.http_port):
        assert time.monotonic() < until
        time.sleep(0.01)
    assert process.api(
        "admin:secret", port, req=12, data={"http_server": {"enable": False}}
    )
    until = time.monotonic() + 20
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
    with socket.create_connection(("127.0.0.2", port), 20):
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
    assert "msq_len: (none) -> 7" in (tmp_path / "a.log").read_text()
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
