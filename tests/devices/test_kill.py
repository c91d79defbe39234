"""The platform of a broker that is killed while ``durability=always``.

What a device was told is kept comes to message routes and to commands, and an answer is known
to be of a device, or not, as before.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.devices.commands.platform import answer
from tests.devices.http import Caller, logged_in
from tests.lives import Lives
from tests.raw import PUBACK
from tests.webhook.flood import CONSTANTS, InThread, Mood

pytestmark = pytest.mark.plain

WITHIN_S = 30.0
MESSAGES = 500
KEYS = {"plugins__load": "devices", "durability": "always", "sys_interval": "1"}
COMMANDS = "/remotectl/commands"


@pytest.fixture
def receiver() -> Iterator[InThread]:
    made = InThread(Mood())
    yield made
    made.end()


@contextlib.contextmanager
def nothing_is_written(lives: Lives) -> Iterator[None]:
    """Have the store locked: what comes waits in the broker."""
    with contextlib.closing(sqlite3.connect(store_of(lives), timeout=WITHIN_S)) as store:
        store.execute("BEGIN IMMEDIATE")
        yield


def store_of(lives: Lives) -> Path:
    return lives.process.conf.with_suffix(".db")


def when(look: Callable[[], Any], fits: Callable[[Any], bool]) -> Any:
    until = time.monotonic() + WITHIN_S
    while not fits(found := look()):
        assert time.monotonic() < until, found
        time.sleep(0.01)
    return found


def state(caller: Caller, number: int) -> int:
    said = caller.call("GET", f"{COMMANDS}?id={number}")
    return int(said.data["state"])


def made(lives: Lives, caller: Caller, *sns: str) -> list[int]:
    """Make a command to each; return their numbers once all were published.

    An answer to one that was not is nobody's: it would count no more.
    """
    body = {
        "from": "test",
        "to": [{"sn": sn} for sn in sns],
        "command": "sh",
        "body": {"shcmd": "whoami"},
        "expires": 3600,
    }
    numbers = [each["id"] for each in caller.call("POST", COMMANDS, body).data["to"]]
    when(lambda: published(lives), lambda it: it >= set(numbers))
    return numbers


def published(lives: Lives) -> set[int]:
    with contextlib.closing(sqlite3.connect(store_of(lives), timeout=WITHIN_S)) as store:
        rows = store.execute("SELECT id FROM device_commands WHERE published_at > 0")
        return {number for (number,) in rows}


def say(
    lives: Lives,
    client_id: str,
    said: bytes,
    *,
    topic: str = "resp/cmd",
    retain: bool = False,
) -> None:
    """Publish an answer; return when it is acknowledged."""
    with lives.process.raw() as client:
        client.connect(client_id)
        client.publish(f"dma/{topic}", said, qos=1, packet_id=1, retain=retain)
        client.expect(PUBACK)


def test_messages_of_a_route_that_wait_at_a_kill_are_posted(
    tmp_path: Path, receiver: InThread
) -> None:
    with Lives(tmp_path, CONSTANTS, **KEYS) as lives:
        caller = logged_in(lives.process)
        route = {"name": "all", "topic": "t/#", "url": receiver.receiver.url}
        assert caller.call("POST", "/msgroute/configs", route).status == 200
        for n in range(2):
            with nothing_is_written(lives):
                with lives.process.raw() as client:
                    client.connect("device")
                    numbered = range(n * MESSAGES, (n + 1) * MESSAGES)
                    for number in numbered:
                        client.publish("t/d", b"%d" % number, qos=1, packet_id=1)
                        client.expect(PUBACK)
                lives.process.kill()
            lives.end()
            lives.start()
        tally = receiver.mood.tally
        when(lambda: len(tally.count), lambda it: it == 2 * MESSAGES)
    assert tally.out_of_order == 0


def test_answers_that_wait_at_a_kill_are_who_published_them(tmp_path: Path) -> None:
    """That of the device is taken, a stranger's is refused, and nothing is lost."""
    with Lives(tmp_path, **KEYS) as lives:
        caller = logged_in(lives.process)
        mine, others = made(lives, caller, "D1", "D2")
        with nothing_is_written(lives):
            say(lives, "D1", answer(mine, "D1"))
            say(lives, "stranger", answer(others, "D2"))
            say(lives, "D1", answer(mine, "D1", "err"))  # behind, so that the other is seen
            lives.process.kill()
        lives.end()
        lives.start()
        caller = Caller(lives.process.http_port, caller.token)
        when(lambda: state(caller, mine), lambda it: it == 2)
        when(lambda: refused(lives), lambda it: it == 1)
        assert state(caller, others) < 2


def test_retained_answers_are_who_published_them(tmp_path: Path) -> None:
    """Kept by a broker without the plugin, which is killed and goes on with it."""
    with Lives(tmp_path, **KEYS) as lives:
        caller = logged_in(lives.process)
        mine, others = made(lives, caller, "D1", "D2")
        lives.end()
        lives.keys["plugins__load"] = ""
        lives.start()
        say(lives, "D1", answer(mine, "D1"), retain=True)
        say(lives, "stranger", answer(others, "D2"), topic="cmd/resp", retain=True)
        lives.keys["plugins__load"] = "devices"
        lives.kill()
        caller = Caller(lives.process.http_port, caller.token)
        when(lambda: state(caller, mine), lambda it: it == 2)
        when(lambda: refused(lives), lambda it: it == 1)
        assert state(caller, others) < 2


def refused(lives: Lives) -> int:
    """Return how many answers were refused, as the broker tells below $SYS."""
    with lives.process.raw() as client:
        client.connect("looks")
        client.subscribe(("$SYS/broker/devices/commands/refused", 0))
        return int(client.read().payload)
