"""Clients judged by an HTTP server: auth.http, against a real broker and a real server."""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import raw
from tests.answering import NO, OK, Answering, Asked, Says, answering, status
from tests.conformance.flows import closed_with, give, take
from tests.conftest import ROOT, START_S, Process, StartBroker, free_port, nanomq
from tests.control.test_restart import restart_and_then
from tests.raw import CONNACK, SUBACK, Raw

REFUSED = {4: 5, 5: 0x87}
DENIED = {4: 0x80, 5: 0x87}
GONE = {4: 3, 5: 0x88}
AUTH = "clientid=%c,username=%u,password=%P,ipaddress=%a"
ACL = "access=%A,topic=%t,clientid=%c,username=%u"


def judges(says: dict[str, bytes]) -> Says:
    """Answer by the user name, then by ``access:topic``, then by the path."""

    def answer(asked: Asked, sock: socket.socket) -> bytes:
        form = asked.form
        topic = f"{form.get('access')}:{form.get('topic')}"
        return says.get(topic) or says.get(form.get("username", "")) or says[asked.path]

    return answer


@pytest.fixture
def server() -> Iterator[Answering]:
    with answering(judges({"/auth": OK, "/acl": OK, "bad": NO})) as made:
        yield made


def asks(
    server: Answering, *, auth: bool = True, acl: bool = False, **more: str
) -> dict[str, str]:
    keys = {
        "auth__http__enable": "true",
        "auth__http__timeout": "10s",
        "answer_timeout": "20s",
    }
    if auth:
        keys["auth__http__auth_req__url"] = f"{server.url}/auth"
        keys["auth__http__auth_req__params"] = AUTH
    if acl:
        keys["auth__http__acl_req__url"] = f"{server.url}/acl"
        keys["auth__http__acl_req__params"] = ACL
    return keys | {
        name.replace("__auth__", "auth__http__"): value for name, value in more.items()
    }


def tries(
    process: Process, client_id: str = "c", version: int = 5, **options: object
) -> int:
    """Return what CONNECT is answered with."""
    with process.raw(version) as c:
        c.send(raw.connect(client_id, version, **options))  # type: ignore[arg-type]
        return c.expect(CONNACK).reason


@pytest.mark.parametrize("version", [4, 5])
def test_server_decides_who_comes_in(
    start_broker: StartBroker, server: Answering, version: int
) -> None:
    process = start_broker(**asks(server))
    assert tries(process, version=version, user="ann", password=b"hunter2") == 0
    assert (
        tries(process, version=version, user="bad", password=b"hunter2") == REFUSED[version]
    )
    assert tries(process, version=version) == 0  # without a name it is asked as well
    assert [asked.form for asked in server.asked] == [
        {
            "clientid": "c",
            "username": "ann",
            "password": "hunter2",
            "ipaddress": "127.0.0.1",
        },
        {
            "clientid": "c",
            "username": "bad",
            "password": "hunter2",
            "ipaddress": "127.0.0.1",
        },
        {"clientid": "c", "ipaddress": "127.0.0.1"},
    ]
    assert server.connections == 1
    assert "hunter2" not in "".join(process.lines)


def test_users_of_the_configuration_are_not_asked_about(
    start_broker: StartBroker, server: Answering
) -> None:
    process = start_broker(**asks(server), auth__1__login="own", auth__1__password="p")
    assert tries(process, user="own", password=b"p") == 0
    assert tries(process, user="own", password=b"x") == 0x86
    assert server.asked == []
    assert tries(process, user="ann", password=b"x") == 0


@pytest.mark.parametrize(("anonymous", "code"), [("true", 0), ("false", 0x87)])
def test_server_without_an_opinion_leaves_it_to_others(
    start_broker: StartBroker, server: Answering, anonymous: str, code: int
) -> None:
    server.says = lambda asked, sock: status(200, b"ignore")
    process = start_broker(**asks(server), allow_anonymous=anonymous)
    assert tries(process) == code
    assert tries(process, user="ann") == 0x86


@pytest.mark.parametrize("version", [4, 5])
def test_server_that_is_gone_refuses_until_it_is_back(
    start_broker: StartBroker, server: Answering, version: int
) -> None:
    process = start_broker(**asks(server, acl=True))
    with process.raw(version) as inside:
        inside.connect("in")
        server.close()
        for n in range(3):
            assert tries(process, f"c{n}", version, user="ann") == GONE[version]
        assert inside.subscribe(("t", 0)) == [DENIED[version]]
        server.open()
        assert tries(process, "c0", version, user="ann") == 0
        assert inside.subscribe(("t", 0)) == [0]
    process.waits_for(f"{server.url} answers again")
    lines = [line for line in process.lines if server.url in line]
    assert len(lines) == 2
    assert "cannot be asked about clients: cannot connect" in lines[0]


@pytest.mark.parametrize("version", [4, 5])
def test_server_decides_about_topics(
    start_broker: StartBroker, server: Answering, version: int
) -> None:
    server.says = judges({"/auth": OK, "/acl": OK, "1:b,c": NO, "2:no": NO, "2:will": NO})
    process = start_broker(**asks(server, acl=True))
    no = DENIED[version]
    with process.raw(version) as c:
        c.connect("c", user="ann")
        filters = [("a/#", 1), ("b,c", 0), ("$share/g/d", 2)]
        assert c.subscribe(*filters) == [1, no, 2]
        seen = [(a.form["access"], a.form["topic"]) for a in server.asked[1:]]
        assert sorted(seen) == [("1", "a/#"), ("1", "b,c"), ("1", "d")]
        c.publish("a/no", b"x")
        assert take(c)[:2] == ("a/no", b"x")
        assert give(c, "no", b"x", 1) == (0x87 if version == 5 else 0)
    will = ("will", b"x", 0, False)
    assert tries(process, "w", version, will=will) == REFUSED[version]
    assert tries(process, "w", version, will=("other", b"x", 0, False)) == 0


def test_decided_topic_is_not_asked_about_again(
    start_broker: StartBroker, server: Answering
) -> None:
    process = start_broker(**asks(server, acl=True))
    with process.raw(5) as c:
        c.connect("c")
        for _ in range(20):
            give(c, "t", b"x", 1)
    assert [a.path for a in server.asked] == ["/auth", "/acl"]


def test_rules_come_before_the_server(start_broker: StartBroker, server: Answering) -> None:
    rule = {"permit": "deny", "action": "publish", "topics": ["no"]}
    server.says = judges({"/auth": OK, "/acl": status(200, b"ignore")})
    process = start_broker(
        **asks(server, acl=True), acl__rule__1=json.dumps(rule), acl_nomatch="deny"
    )
    with process.raw(5) as c:
        c.connect("c")
        assert give(c, "no", b"x", 1) == 0x87
        assert len(server.asked) == 1
        assert give(c, "other", b"x", 1) == 0x87  # nobody has an opinion: acl_nomatch
        assert len(server.asked) == 2


@pytest.mark.parametrize(("user", "allowed"), [("root", True), ("ann", False)])
def test_no_rule_counts_for_a_superuser_and_nobody_is_asked(
    start_broker: StartBroker, server: Answering, user: str, allowed: bool
) -> None:
    def says(asked: Asked, sock: socket.socket) -> bytes:
        is_root = asked.form.get("username") == "root"
        return OK if asked.path == "/auth" or (is_root and asked.path == "/super") else NO

    server.says = says
    rule = {"permit": "deny", "topics": ["no"]}
    process = start_broker(
        **asks(server, acl=True),
        auth__http__super_req__url=f"{server.url}/super",
        auth__http__super_req__params="username=%u",
        acl__rule__1=json.dumps(rule),
    )
    with process.raw(5) as c:
        c.connect("c", user=user)
        codes = c.subscribe(("no", 0), ("other", 0))
        assert (codes == [0, 0]) == allowed
        assert (give(c, "else", b"x", 1) == 0x87) != allowed
    assert ("/acl" in [asked.path for asked in server.asked]) != allowed


def test_chain_says_when_the_server_is_asked(
    start_broker: StartBroker, server: Answering
) -> None:
    process = start_broker(
        **asks(server),
        auth__1__login="own",
        auth__1__password="p",
        auth__chain="http,users",
    )
    assert tries(process, user="own", password=b"x") == 0
    assert len(server.asked) == 1


def test_reload_forgets_what_was_said(start_broker: StartBroker, server: Answering) -> None:
    process = start_broker(**asks(server, acl=True), http_server__port="0")
    with answering(judges({"/auth": NO, "/acl": NO})) as other, process.raw(5) as c:
        c.connect("c")
        assert give(c, "t", b"x", 1) in (0, 0x10)
        process.reload(
            auth__http__auth_req__url=f"{other.url}/auth",
            auth__http__acl_req__url=f"{other.url}/acl",
        )
        assert give(c, "t", b"x", 1) == 0x87
        assert tries(process, "new") == 0x87
        assert [a.path for a in other.asked] == ["/acl", "/auth"]
        process.reload(auth__http__enable="false")
        assert closed_with(c) == 0x87  # nobody stands for it any more
        assert tries(process, "new") == 0
        assert len(other.asked) == 2
        process.reload(auth__http__enable="true")
        assert tries(process, "new") == 0x87


def test_switched_on_at_a_reload_names_have_to_be_proved(
    start_broker: StartBroker, server: Answering
) -> None:
    process = start_broker(http_server__port="0")
    with process.raw(5) as named, process.raw(5) as nameless:
        named.connect("named", user="ann")
        nameless.connect("nameless")
        process.reload(**asks(server))
        assert named.read_until_closed()[-1].reason == 0x87
        nameless.ping()


def test_reload_that_names_no_server_changes_nothing(
    start_broker: StartBroker, server: Answering
) -> None:
    process = start_broker(**asks(server), http_server__port="0")
    process.set_keys(auth__http__auth_req__url=None)
    answer = process.api(req=10, action="reload")
    assert answer.status != 200
    assert tries(process, user="bad") == 0x87


def test_many_who_wait_do_not_hold_up_others(
    start_broker: StartBroker, server: Answering
) -> None:
    """Clients that are in go on, also while the server does not answer about any other."""
    go_on = threading.Event()

    def says(asked: Asked, sock: socket.socket) -> bytes:
        if asked.form["clientid"] != "in":
            assert go_on.wait(60)
        return OK

    server.says = says
    process = start_broker(**asks(server), auth__http__pool_size="4")
    waiting: list[Raw] = []
    try:
        with process.raw(5) as c:
            c.connect("in")
            c.subscribe(("t", 1))
            for n in range(200):
                one = process.raw(5)
                one.send(raw.connect(f"c{n}", 5))
                waiting.append(one)
            server.until(4)
            for n in range(50):
                c.publish("t", b"%d" % n, qos=1, packet_id=1)
                assert {p.kind for p in (c.read(), c.read())} == {raw.PUBLISH, raw.PUBACK}
            assert process.api(req=2).status == 200
            go_on.set()
            assert [one.expect(CONNACK).reason for one in waiting] == [0] * 200
        assert server.connections <= 5
    finally:
        go_on.set()
        for one in waiting:
            one.close()


def test_client_that_goes_away_while_it_waits_leaves_nothing(
    start_broker: StartBroker, server: Answering
) -> None:
    go_on = threading.Event()
    server.says = lambda asked, sock: OK if go_on.wait(60) else None
    process = start_broker(**asks(server))
    with process.raw(5) as c:
        c.send(raw.connect("c", 5))
        server.until(1)
    go_on.set()
    assert tries(process) == 0


def test_broker_that_stops_does_not_wait_for_the_server(
    start_broker: StartBroker, server: Answering
) -> None:
    go_on = threading.Event()
    server.says = lambda asked, sock: OK if go_on.wait(60) else None
    process = start_broker(**asks(server))
    with process.raw(5) as c:
        c.send(raw.connect("c", 5))
        server.until(1)
        assert process.stop() == 0
    go_on.set()
    assert "Traceback" not in "".join(process.lines)
    assert "never" not in "".join(process.lines)


def test_subscription_of_many_filters(start_broker: StartBroker, server: Answering) -> None:
    server.says = lambda asked, sock: (
        NO if asked.form.get("topic", "").endswith("7") else OK
    )
    process = start_broker(**asks(server, acl=True))
    filters = [(f"f/{n}", 0) for n in range(150)]
    with process.raw(5) as c:
        c.connect("c")
        c.send(raw.subscribe(1, *filters, version=5))
        codes = c.expect(SUBACK).codes
    assert codes == [0x87 if topic.endswith("7") else 0 for topic, _ in filters]


def test_password_is_in_no_error(tmp_path: Path) -> None:
    conf = tmp_path / "nanomq.conf"
    conf.write_text(
        "auth.http.enable=true\nauth.http.auth_req.url=http://u:hunter2@h/\n"
        "auth.http.acl_req.params=k=hunter2%z\nauth.http.acl_req.url=http://h/\n"
    )
    for command in ("check", "show"):
        done = nanomq("conf", command, str(conf))
        assert "hunter2" not in done.stdout + done.stderr
        assert "without a user name and password" in done.stderr


def test_restart_keeps_sessions_of_those_who_were_let_in(
    start_broker: StartBroker, server: Answering
) -> None:
    process = start_broker(**asks(server), http_server__port=str(free_port()))
    options: dict[str, object] = {"user": "ann", "password": b"p", "clean": False}
    with process.raw(4) as c:
        c.connect("kept", **options)
        c.subscribe(("t", 1))
        c.leave()
    restart_and_then(process, lambda: None)
    with process.raw(4) as c:
        c.send(raw.connect("kept", 4, **options))  # type: ignore[arg-type]
        assert c.expect(CONNACK).flags == 1


def test_check_reads_certificates(tmp_path: Path) -> None:
    conf = tmp_path / "nanomq.conf"
    conf.write_text(
        "auth.http.enable=true\nauth.http.auth_req.url=https://h/\n"
        "auth.http.ssl.cacertfile=/no/ca.pem\n"
    )
    done = nanomq("conf", "check", str(conf))
    assert (done.returncode, done.stderr) == (
        2,
        f"nanomq: {conf}:3: auth.http.ssl.cacertfile=/no/ca.pem: cannot be read: No such"
        " file or directory\n",
    )


# --- the example of docs/http-auth.md

PAGE = (ROOT / "docs" / "http-auth.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.S)
    assert found is not None
    return found[1]


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def example() -> Iterator[int]:
    """Run the server of the page; return its port."""
    port = free_port()
    code = block("python").replace("8991", str(port))
    server = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + START_S
        while not answers(port):
            assert time.monotonic() < until
            time.sleep(0.01)
        yield port
    finally:
        server.kill()
        server.wait()


def test_example_of_the_page_does_what_it_says(
    start_broker: StartBroker, example: int
) -> None:
    lines = [line for line in block("ini").splitlines() if not line.startswith("#")]
    keys = dict(line.replace("8991", str(example)).split("=", 1) for line in lines)
    process = start_broker(**{name.replace(".", "__"): keys[name] for name in keys})
    assert tries(process, user="pump", password=b"oil") == 0x87
    with process.raw(5) as c:
        c.connect("c", user="pump", password=b"water")
        assert give(c, "pumps/1", b"x", 1) in (0, 0x10)
        assert give(c, "other", b"x", 1) == 0x87
        assert c.subscribe(("pumps/1", 0)) == [0x87]


def test_requests_of_the_page_are_those_of_the_broker(
    start_broker: StartBroker, server: Answering
) -> None:
    process = start_broker(**asks(server, acl=True))
    with process.raw(5) as c:
        c.connect("c1", user="pump", password=b"water")
        give(c, "pumps/1", b"x", 1)
    asked = [dict(sorted(a.form.items())) for a in server.asked]
    del asked[0]["ipaddress"]
    bodies = [shlex.split(line)[3] for line in block("sh").splitlines()]
    shown = [dict(sorted(p.split("=") for p in body.split("&"))) for body in bodies]
    assert asked == shown
