"""Records that make one change are taken together or not at all (csrc/store/journal.h)."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest

from tests import journal, raw
from tests._core_test import lib
from tests.journaled import Journaled, journaled
from tests.raw import CONNACK, PUBACK, SUBACK, Raw


@pytest.fixture
def home() -> Iterator[Journaled]:
    with journaled() as made:
        yield made


@pytest.fixture
def by(home: Journaled) -> Raw:
    home.take()
    client = home.client()
    client.connect("by")
    return client


def retain(by: Raw, payload: str) -> None:
    by.publish("t", payload.encode(), retain=True)
    by.ping()


def payloads(home: Journaled) -> list[object]:
    return [v["payload"] for name, v in journal.read(home.log()) if name == "message"]


def test_what_a_group_has_begun_is_taken_when_it_is_whole(home: Journaled, by: Raw) -> None:
    retain(by, "1")
    retain(by, "2")
    before = home.take()
    lib.test_journal_open(home.journal, 0)
    retain(by, "3")
    assert payloads(home) == [b"1", b"2"]
    assert home.take() == before
    retain(by, "4")
    assert payloads(home) == [b"1", b"2"]
    lib.test_journal_close(home.journal, 0)
    assert home.take() > before
    assert payloads(home) == [b"1", b"2", b"3", b"4"]


def test_each_of_several_groups_is_whole(home: Journaled, by: Raw) -> None:
    lib.test_journal_open(home.journal, 0)
    retain(by, "1")
    lib.test_journal_open(home.journal, 1)
    retain(by, "2")
    assert payloads(home) == []
    lib.test_journal_close(home.journal, 0)
    assert payloads(home) == [b"1"]
    lib.test_journal_open(home.journal, 2)
    retain(by, "3")
    lib.test_journal_close(home.journal, 2)
    assert payloads(home) == [b"1"]
    lib.test_journal_close(home.journal, 1)
    assert payloads(home) == [b"1", b"2", b"3"]


def test_the_writer_is_called_for_what_was_held_back(home: Journaled, by: Raw) -> None:
    lib.test_journal_open(home.journal, 0)
    retain(by, "1")
    home.take()
    lib.test_journal_is_wanted(home.journal)
    lib.test_journal_close(home.journal, 0)
    assert lib.test_journal_is_wanted(home.journal)
    lib.test_journal_open(home.journal, 0)
    lib.test_journal_close(home.journal, 0)
    assert not lib.test_journal_is_wanted(home.journal)


def test_a_journal_does_not_begin_anew_within_a_group(home: Journaled, by: Raw) -> None:
    lib.test_journal_open(home.journal, 0)
    retain(by, "1")
    assert [kind for kind, _ in journal.read(home.log())].count("begin") == 1
    home.begin_anew()
    lib.test_journal_close(home.journal, 0)
    assert home.kinds().count("begin") == 1
    home.begin_anew()
    assert home.kinds().count("begin") == 2


@contextlib.contextmanager
def again_and_again(do: Callable[[], object], threads: int = 1) -> Iterator[None]:
    """Do it on other threads meanwhile."""
    is_over = threading.Event()

    def go_on() -> None:
        while not is_over.is_set():
            do()

    busy = [threading.Thread(target=go_on) for _ in range(threads)]
    for one in busy:
        one.start()
    yield
    is_over.set()
    for one in busy:
        one.join()


def test_a_journal_begins_anew_though_some_group_is_always_open(home: Journaled) -> None:
    mine, free = threading.local(), [0, 1, 2]
    rest = threading.Event()

    def hold() -> None:
        if not hasattr(mine, "number"):
            mine.number = free.pop()
        lib.test_journal_open(home.journal, mine.number)
        rest.wait(0.001)
        lib.test_journal_close(home.journal, mine.number)

    with again_and_again(hold, threads=len(free)):
        for _ in range(40):
            home.begin_anew()
    assert home.kinds().count("begin") > 10


KEPT = b"\x11\xff\xff\xff\xff"


def come(home: Journaled, name: str, will: bytes) -> Raw:
    client = home.client()
    packet = raw.connect(name, 5, clean=False, properties=KEPT, will=("w", will, 1, True))
    client.send(packet)
    return client


def test_what_names_a_message_is_on_its_side_of_a_beginning(home: Journaled) -> None:
    """Whoever reads from any BEGIN on knows each message that is named behind it."""
    away = come(home, "away", b"")
    away.send(raw.subscribe(1, ("#", 1), version=5))
    home.commit()
    with again_and_again(lambda: home.settle(home.take_anew())):
        away.expect(CONNACK)
        away.expect(SUBACK)
        away.close()
        for n in range(60):
            by = come(home, f"by{n % 3}", b"%d" % n)
            by.expect(CONNACK)
            packets = [
                raw.publish(f"t/{n % 7}", b"x", 5, qos=1, packet_id=k, retain=k % 2 == 0)
                for k in range(1, 101)
            ]
            by.send(b"".join(packets))
            for _ in packets:
                by.expect(PUBACK)
            by.close()
    begins, named = 0, set()
    for name, v in journal.read(home.log()):
        if name == "begin":
            begins, given = begins + 1, v["messages"]
        elif name in ("retained", "delivery", "dropped", "will"):
            assert v["message"] > given, name  # type: ignore[operator]
            named.add(name)
    assert begins > 20
    assert named >= {"retained", "delivery", "will"}
