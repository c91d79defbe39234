"""A program that consumes what its broker keeps, and is killed: docs/api/python.md."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests import raw
from tests.conftest import ROOT, conf_text
from tests.faults.consuming import UNTIL
from tests.raw import PUBACK, Raw


@contextlib.contextmanager
def program(conf: Path) -> Iterator[tuple[int, Iterator[str]]]:
    """Run it until it is killed; yield its port, and what it tells from then on."""
    command = [sys.executable, "-m", "tests.faults.consuming", str(conf)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            told = (line.strip() for line in process.stdout)
            port = int(next(told).removeprefix("port "))
            yield port, told
        finally:
            process.kill()


def publish(port: int, numbers: range, qos: int = 1) -> None:
    """Publish them; return when all are acknowledged."""
    with Raw(port, 5) as client:
        client.connect("by")
        packets = (
            raw.publish("n/x", b"%d" % n, 5, qos=qos, packet_id=n + 1) for n in numbers
        )
        client.send(b"".join(packets))
        for _ in numbers:
            client.expect(PUBACK)


def messages(told: Iterator[str], count: int) -> list[tuple[int, bool]]:
    """Return so many that come next: the number of each, and whether it came before."""
    made: list[tuple[int, bool]] = []
    while len(made) < count:
        if (line := next(told)) != "acked":
            number, again = line.split()
            made.append((int(number), again == "1"))
    return made


def acked(told: Iterator[str], until: int) -> None:
    """Return when all up to there have come and were acknowledged."""
    while next(told) != f"{until - 1} 0":
        pass
    assert next(told) == "acked"


def test_what_a_program_has_not_acknowledged_comes_again_after_its_kill(
    tmp_path: Path,
) -> None:
    """And only that: what it acknowledged before the last commit does not."""
    conf = tmp_path / "nanomq.conf"
    conf.write_text(conf_text(durability="always"))
    left = range(UNTIL, UNTIL + 50)
    with program(conf) as (port, told):
        publish(port, range(UNTIL))
        acked(told, UNTIL)
        publish(port, left)
        assert messages(told, len(left)) == [(n, False) for n in left]
    for _ in range(2):  # it stays so, however often
        with program(conf) as (port, told):
            assert messages(told, len(left)) == [(n, True) for n in left]
    with program(conf) as (port, told):
        publish(port, range(0, 1))
        last = messages(told, len(left) + 1)[-1]
        assert last == (0, False)
