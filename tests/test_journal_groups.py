"""Records that make one change are taken together or not at all (csrc/store/journal.h)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import journal
from tests._core_test import lib
from tests.journaled import Journaled, journaled
from tests.raw import Raw


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
