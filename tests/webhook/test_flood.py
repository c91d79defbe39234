"""The short form of ``python -m tests.webhook.flood``, and what operators see of it."""

from __future__ import annotations

import json
import urllib.request
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from tests.answering import always, answering, status
from tests.conftest import Process, StartBroker, free_port, running_broker
from tests.control.test_plugins import get
from tests.control.test_restart import restart
from tests.eventually import eventually
from tests.lives import Lives
from tests.raw import PUBACK
from tests.webhook.flood import BACKLOG, CONSTANTS, PUBLISHERS, InThread, Mood, flood, keys

pytestmark = pytest.mark.plain


def test_messages_arrive_in_order_and_once_whatever_the_receiver_does(
    tmp_path: Path,
) -> None:
    """Twice restarted, each message that was acknowledged arrives, few of them twice."""
    receiver = InThread(Mood())
    try:
        with Lives(tmp_path, CONSTANTS, **keys(receiver.receiver.url)) as lives:
            resident = flood(lives, receiver, 4000, 2, each_s=0.4)
    finally:
        receiver.end()
    tally = receiver.mood.tally
    assert len(tally.count) == 4000 // PUBLISHERS * PUBLISHERS
    assert tally.out_of_order == 0
    assert tally.twice <= 4
    assert max(resident) < 2 * resident[0]


def test_two_kills_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """It comes, each topic in its order, with ``durability=always``."""
    receiver = InThread(Mood())
    made = {**keys(receiver.receiver.url), **BACKLOG, "durability": "always"}
    try:
        with Lives(tmp_path, CONSTANTS, **made) as lives:
            flood(lives, receiver, 4000, 1, kills=2, seed=20261130, each_s=0.4)
    finally:
        receiver.end()
    tally = receiver.mood.tally
    assert len(tally.count) == 4000 // PUBLISHERS * PUBLISHERS
    assert tally.out_of_order == 0


def call(process: Process, method: str, path: str, **fields: Any) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{process.http_port}/plugins/webhook/{path}",
        json.dumps(fields).encode() if fields else None,
        {"Authorization": "Basic " + b64encode(b"admin:public").decode()},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        made: dict[str, Any] = json.load(answer)
    return made


def target(process: Process) -> dict[str, Any]:
    (one,) = call(process, "GET", "targets")["targets"]
    return dict(one)


def test_dead_letters_are_shown_and_sent_again(tmp_path: Path) -> None:
    with answering(status(400)) as server:
        given = {**keys(server.url), "web__hook__max_attempts": "2", "sys_interval": "1"}
        with running_broker(tmp_path, constants=CONSTANTS, **given) as process:
            with process.raw() as c:
                c.connect("c")
                c.publish("a/b", b"1", qos=1, packet_id=1)
                c.expect(PUBACK)
            eventually(lambda: target(process)["dead"] == 1)
            (dead,) = call(process, "GET", "dead?target=web.hook")["dead"]
            assert (dead["key"], dead["attempts"]) == ("a/b", 2)
            assert json.loads(dead["body"])["payload"] == "1"
            assert dead["error"] == "its status is 400"

            restart(process)  # it is still there
            server.says = always(status(204))
            numbers = [dead["number"]]
            sent = call(process, "POST", "dead/send", target="web.hook", numbers=numbers)
            assert sent == {"sent": 1}
            eventually(lambda: target(process)["succeeded"] == 1)
            assert target(process)["dead"] == 0
            with process.raw() as c:
                c.connect("c")
                c.subscribe(("$SYS/broker/delivery/web.hook/succeeded", 0))
                assert c.read().payload == b"1"
            ids = {asked.headers["webhook-id"] for asked in server.asked}
            assert len(ids) == 1


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("dead?target=none", b"", '404 {"message":"target=\'none\': there is none'),
        ("dead?target=web.hook&limit=x", b"", '400 {"message":"after, limit: invalid'),
        ("dead?target=web.hook&limit=0", b"", '400 {"message":"after, limit: limit=0'),
        ("dead/send", b"{", '400 {"message":"the body: '),
        ("dead/send", b'{"target":1}', '400 {"message":"the body: Expected `str`'),
        ("dead/send", b'{"target":"x"}', '404 {"message":"target=\'x\': there is none'),
        ("on", b'{"target":"web.hook","x":1}', '400 {"message":"the body: Object contains'),
    ],
)
def test_what_is_asked_badly_is_refused(
    hooked_broker: Process, path: str, body: bytes, expected: str
) -> None:
    assert get(hooked_broker, f"/plugins/webhook/{path}", body=body).startswith(expected)


def test_who_has_not_logged_in_sees_nothing(hooked_broker: Process) -> None:
    assert get(hooked_broker, "/plugins/webhook/targets", "admin:wrong").startswith("401")


@pytest.fixture(scope="module")
def hooked_broker(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("hooked")
    given = keys(f"http://127.0.0.1:{free_port()}/")
    with running_broker(folder, constants=CONSTANTS, **given) as process:
        yield process


def test_hooks_that_cannot_be_used_are_told_and_the_broker_starts(
    start_broker: StartBroker,
) -> None:
    process = start_broker(web__hook__enable="true")
    process.waits_for("web.hook.url: missing")
    with process.raw() as c:
        c.connect("c")
    assert process.nanomq("reload", "--conf", str(process.conf)).returncode != 0
    process.reload(web__hook__url="http://127.0.0.1:9/hook")
    assert target(process)["name"] == "web.hook"
    process.reload(web__hook__enable="false")
    assert get(process, "/plugins/webhook/targets").startswith("404")
