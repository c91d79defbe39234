"""One acl_file, given to mosquitto and to this broker: the same clients may do the same."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conformance.flows import give
from tests.conftest import FOREIGN_ENV, StartBroker, free_port
from tests.raw import PUBLISH, Raw
from tests.transport.test_dial_mosquitto import wait_for

MOSQUITTO = shutil.which("mosquitto") or ""
pytestmark = pytest.mark.skipif(not MOSQUITTO, reason="no mosquitto here")

ACL = """\
topic read a/#
topic deny a/secret
topic readwrite last
user boss
topic #
topic $x/#
user ann
topic write b/+
topic deny b/no
topic b/both
topic literal/%c
topic read #
topic last
pattern readwrite own/%c/#
pattern write %u/x-%c
pattern deny own/c/no
pattern read last
"""
USERS = (None, "ann", "boss")
TOPICS = ["a", "a/b", "a/secret", "b", "b/x", "b/no", "b/both", "b/x/y", "literal/c", "own/c/1",
          "literal/%c", "own/c", "own/c/no", "own/d/1", "ann/x-c", "ann/x-d",
          "$x/y", "z"]  # fmt: skip


@contextmanager
def mosquitto(folder: Path) -> Iterator[int]:
    folder.chmod(0o755)  # it gives up the rights of root, if it has them
    port = free_port()
    conf = folder / "mosquitto.conf"
    conf.write_text(
        f"allow_anonymous true\nuser root\nacl_file {folder / 'acl'}\n"
        f"listener {port} 127.0.0.1\n"
    )
    popen = subprocess.Popen([MOSQUITTO, "-c", str(conf)], env=FOREIGN_ENV)
    try:
        wait_for(lambda: socket.create_connection(("127.0.0.1", port)).close(), popen)
        yield port
    finally:
        popen.terminate()
        popen.wait(20)


def come(port: int, user: str | None, client_id: str) -> Raw:
    c = Raw(port, 5)
    given = {} if user is None else {"user": user, "password": b"p"}
    assert c.connect(client_id, **given).reason == 0
    return c


def rights(port: int, user: str | None) -> tuple[set[str], set[str]]:
    """Return what the user may publish to, and what it hears of what it may subscribe to."""
    writes, reads = set(), set()
    with come(port, user, "c") as c, come(port, "boss", "boss") as boss:
        for topic in TOPICS:
            if give(c, topic, b"", 1) < 0x80:
                writes.add(topic)
            granted = c.subscribe((topic, 0), ("last", 0))[0] < 0x80
            boss.publish(topic, b"1")
            boss.publish("last", b"2")
            heard = c.expect(PUBLISH).topic
            if heard != "last":
                assert (heard, c.expect(PUBLISH).topic) == (topic, "last")
                assert granted
                reads.add(topic)
    return writes, reads


def test_the_same_clients_may_do_the_same(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    (tmp_path / "acl").write_text(ACL)
    process = start_broker(
        acl_file=str(tmp_path / "acl"),
        auth__1__login="ann", auth__1__password="p",
        auth__2__login="boss", auth__2__password="p",
    )  # fmt: skip
    with mosquitto(tmp_path) as port:
        for user in USERS:
            assert rights(process.port, user) == rights(port, user), user
