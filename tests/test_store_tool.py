"""``nanomq store stat|check|repair|backup`` over a journal: what they say of each damage."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import struct
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import Mock

import pytest

from nanomq_py.cli import main
from nanomq_py.core.log_look import KINDS, LogError
from nanomq_py.store import journal as store_journal
from nanomq_py.store.faults import StoreError
from nanomq_py.store.folder import Places
from nanomq_py.store.folder_backup import back_up_all
from tests import journal, raw
from tests._core_test import ffi, lib
from tests.eventually import eventually
from tests.stores import broker_on, come, fill, numbers_in, publish, subscribe
from tests.unit.clib import slice_of
from tests.wal import make_newer

pytestmark = pytest.mark.plain

PAGE = 4096
NOBODY = 65534
COUNT = 60


@dataclass
class Done:
    code: int
    out: str
    err: str


def back_up(folder: Path, to: Path) -> list[str]:
    return back_up_all(Places(None, folder), to)


class Store:
    """A journal in a folder, and the commands over it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def run(self, command: str, *args: str) -> Done:
        self._capsys.readouterr()
        code = main(["store", command, str(self.folder), *args])
        said = self._capsys.readouterr()
        return Done(code, said.out, said.err)

    def stat(self) -> dict[str, object]:
        done = self.run("stat", "--json")
        assert (done.code, done.err) == (0, "")
        found = json.loads(done.out)["journal"]
        assert isinstance(found, dict)
        return found

    def segments(self) -> list[Path]:
        return sorted(self.folder.glob("*.seg"))

    def blocks(self) -> list[tuple[Path, int]]:
        """Return where each block begins."""
        return [
            (path, at)
            for path in self.segments()
            for at in range(0, path.stat().st_size, PAGE)
            if path.read_bytes()[at : at + 4] == b"NMQL"
        ]

    def spoil(self, path: Path, at: int, data: bytes = b"\xff\0\xff") -> None:
        with path.open("r+b") as file:
            file.seek(at)
            file.write(data)

    def image(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled") / "nanomq.journal"
    fill(folder, COUNT)
    return folder


@pytest.fixture
def store(filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Store:
    folder = tmp_path / "nanomq.journal"
    shutil.copytree(filled, folder)
    return Store(folder, capsys)


# --- what is in it


def test_kinds_have_the_names_of_the_declaration() -> None:
    assert {n: name for n, (name, _) in journal.KINDS.items()}.items() <= KINDS.items()
    assert len(KINDS) == len(journal.KINDS)


def test_stat_says_what_is_in_it(store: Store) -> None:
    before = store.image()
    found = store.stat()
    live = found["live"]
    assert isinstance(live, dict)
    assert {
        k: live[k] for k in ("sessions", "subscriptions", "messages", "deliveries")
    } == {
        "sessions": 1,
        "subscriptions": 1,
        "messages": COUNT,
        "deliveries": COUNT - 1,
    }
    assert (live["retained"], live["unreleased"], live["wills"]) == (1, 0, 0)
    assert found["in_use"] is False
    assert found["newest_numbers"]["message"] >= COUNT  # type: ignore[index, call-overload]
    assert found["damage"] == []
    segments = found["segments"]
    assert isinstance(segments, list)
    assert [one["file"] for one in segments] == [path.name for path in store.segments()]
    assert sum(one["blocks"] for one in segments) == len(store.blocks())
    assert found["last_ms"] >= found["first_ms"] > 0  # type: ignore[operator]
    text = store.run("stat").out
    assert f"  messages      {COUNT}\n" in text
    assert store.image() == before


def test_check_of_a_good_one(store: Store) -> None:
    before = store.image()
    done = store.run("check")
    assert (done.code, done.err) == (0, "")
    assert ": good: " in done.out
    assert store.image() == before


def test_a_folder_without_a_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = Store(tmp_path, capsys)
    for command in ("stat", "check", "repair"):
        done = empty.run(command)
        assert done.code == 2
        assert "nothing has been kept yet" in done.err
    assert Store(tmp_path / "none", capsys).run("check").code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_journal_that_was_never_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lock").touch(0o600)
    done = Store(tmp_path, capsys).run("check")
    assert (done.code, done.err) == (0, "")


def test_a_store_that_is_used_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path / "nanomq.journal", capsys)
    with broker_on(store.folder) as home:
        subscribe(come(home, "away"), "t")
        by = home.client()
        by.connect("by")
        for n in range(20):
            publish(by, n)
        done = store.run("check")
        assert (done.code, done.err) == (0, "")
        assert "a broker uses it" in done.out
        assert store.stat()["in_use"] is True
        done = store.run("repair")
        assert done.code == 1
        assert "a broker uses it: stop it first" in done.err
        publish(by, 20)


def test_to_look_at_it_keeps_no_broker_from_it(store: Store) -> None:
    """The lock is asked for, and never taken."""
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            look_out, error = ffi.new("nmq_wal_look **"), ffi.new("int32_t *")
            name = str(store.folder).encode()
            assert lib.nmq_wal_look_open(name, look_out, error) == 0
            lib.nmq_wal_look_close(look_out[0])

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(5):
            with broker_on(store.folder):
                pass
    finally:
        stop.set()
        thread.join()


# --- damage


def spoil_block(n: int) -> Callable[[Store], str]:
    def act(store: Store) -> str:
        path, at = store.blocks()[n]
        store.spoil(path, at + 66)
        return f"{path.name}: damaged at byte {at}"

    return act


def spoil_head(n: int) -> Callable[[Store], str]:
    def act(store: Store) -> str:
        path, at = store.blocks()[n]
        store.spoil(path, at, bytes(64))
        return f"{path.name}: damaged at byte {at}"

    return act


def spoil_crc(store: Store) -> str:
    path, at = store.blocks()[20]
    store.spoil(path, at + 4, b"\1\2\3\4")
    return f"{path.name}: damaged at byte {at}"


def remove_segment(store: Store) -> str:
    path = store.segments()[1]
    path.unlink()
    return f"{path.name}: there is no such file"


def remove_first(store: Store) -> str:
    path = store.segments()[0]
    path.unlink()
    return f"{path.name}: there is no such file"


def cut_segment(store: Store) -> str:
    path = store.segments()[1]
    os.truncate(path, 0)
    return "damaged at byte 0"


def shorten_segment(store: Store) -> str:
    path = store.segments()[1]
    os.truncate(path, 3 * PAGE + 17)
    return "commit"


DAMAGE = {
    "the first block": spoil_block(0),
    "the second block": spoil_block(1),
    "one in the middle": spoil_block(20),
    "a head": spoil_head(25),
    "a checksum": spoil_crc,
    "the last but one": spoil_block(-3),
    "a file is gone": remove_segment,
    "the first file is gone": remove_first,
    "a file is empty": cut_segment,
    "a file is short": shorten_segment,
}


@pytest.mark.parametrize("how", DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_named_and_repaired(store: Store, how: Callable[[Store], str]) -> None:
    where = how(store)
    before = store.image()
    done = store.run("check")
    assert done.code == 1, done
    assert where in done.err
    assert "lies behind it, at byte" in done.err
    assert f"nanomq store repair {store.folder}" in done.err
    assert "durability.on_corruption=skip" in done.err
    assert store.image() == before
    assert store.stat()["damage"] != []
    done = store.run("repair")
    assert (done.code, done.err) == (0, "")
    assert where in done.out
    kept = {path.name: path.read_bytes() for path in store.folder.glob("damaged-*/*.seg")}
    assert kept == {name: data for name, data in before.items() if name.endswith(".seg")}
    done = store.run("check")
    assert (done.code, done.err) == (0, ""), done
    assert store.run("repair").out.endswith("there is nothing to repair\n")
    left = numbers_in(store.folder)
    assert left == sorted(left)
    if "first" not in str(how):
        assert set(left) <= {*range(1, COUNT)}


def test_only_what_was_in_the_bad_block_is_lost(store: Store) -> None:
    """Two pages for a message: its commit is one block, and holds nothing else."""
    spoil_block(20)(store)
    assert store.run("repair").code == 0
    left = numbers_in(store.folder)
    lost = {*range(1, COUNT)} - {*left}
    assert len(lost) == 1
    assert 1 < lost.pop() < COUNT - 1


def test_a_torn_tail_is_normal(store: Store) -> None:
    path, at = store.blocks()[-1]
    store.spoil(path, at + 100)
    before = store.image()
    done = store.run("check")
    assert (done.code, done.err) == (0, "")
    assert "the last write was cut short" in done.out
    assert "nothing that was acknowledged is lost" in done.out
    assert "there is nothing to repair" in store.run("repair").out
    assert store.image() == before


def test_a_newer_format_cannot_be_read(store: Store) -> None:
    path, at = store.blocks()[0]
    make_newer(path, at)
    for command in ("check", "stat"):
        done = store.run(command)
        assert done.code == 2
        assert "a later version wrote what is there" in done.err
    assert store.run("repair").code == 1


def test_a_file_that_may_not_be_read_is_named(store: Store) -> None:
    assert store.run("check").code == 0
    path = store.segments()[1]
    path.chmod(0)
    root = os.geteuid() == 0
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # others may go there
    try:
        shutil.move(store.folder, folder / "nanomq.journal")
        store.folder = folder / "nanomq.journal"
        for each in (folder, *folder.rglob("*")):
            os.chown(each, *((NOBODY, NOBODY) if root else (-1, -1)))
        if root:
            os.seteuid(NOBODY)
        done = store.run("check")
    finally:
        if root:
            os.seteuid(0)
        shutil.rmtree(folder)
    assert done.code == 2
    assert done.err.endswith(f"Permission denied ({path.name})\n")


def make_link(path: Path) -> None:
    other = path.with_name("elsewhere")
    path.rename(other)
    path.symlink_to(other)


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("make", [make_link, make_pipe, make_folder])
def test_what_is_no_file_cannot_be_read(store: Store, make: Callable[[Path], None]) -> None:
    path = store.segments()[1]
    make(path)
    for command in ("check", "stat"):
        done = store.run(command)
        assert done.code == 2, done
        assert f"({path.name}: not a file)" in done.err


def test_other_files_in_the_folder_do_not_matter(store: Store) -> None:
    (store.folder / "README").write_text("mine")
    (store.folder / "7.seg").write_text("no number of ours")
    (store.folder / "new.seg").write_bytes(bytes(PAGE))
    (store.folder / "sub").mkdir()
    assert store.run("check").code == 0
    assert (store.folder / "new.seg").exists()


def test_a_file_of_another_store_is_damage(store: Store, tmp_path: Path) -> None:
    other = tmp_path / "other"
    fill(other, COUNT)
    name = store.segments()[1].name
    shutil.copy(other / name, store.folder / name)
    assert store.run("check").code == 1
    assert store.run("repair").code == 0
    assert store.run("check").code == 0


@pytest.mark.parametrize("stop", range(1, 12))
def test_a_repair_that_is_killed_goes_on(
    store: Store, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each rename: no broker starts on what is between, and the next repair ends it."""
    spoil_block(20)(store)
    rename, count = os.rename, 0

    def killed(old: str | Path, new: str | Path) -> None:
        nonlocal count
        count += 1
        if count == stop:
            raise OSError(4, "killed")
        rename(old, new)

    monkeypatch.setattr(os, "rename", killed)
    done = store.run("repair")
    monkeypatch.setattr(os, "rename", rename)
    if count < stop:
        assert done.code == 0
        return
    assert done.code == 1
    assert store.run("check").code == 1  # a broker refuses it, too
    assert store.run("repair").code == 0
    done = store.run("check")
    assert (done.code, done.err) == (0, "")
    assert len(numbers_in(store.folder)) == COUNT - 2


# --- anything


@pytest.mark.parametrize("seed", range(12))
def test_no_folder_crashes_the_commands(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(chance.randrange(1, 12)):
        path = chance.choice(store.segments())
        size = path.stat().st_size
        what = chance.randrange(6)
        if what == 0:
            os.truncate(path, chance.randrange(size + 1))
        elif what == 1 and len(store.segments()) > 1:
            path.unlink()
        elif what == 2:
            path.write_bytes(chance.randbytes(chance.randrange(3 * PAGE)))
        elif size:
            data = chance.randbytes(chance.randrange(1, 300))
            store.spoil(path, chance.randrange(size), data)
    assert store.run("check").code in (0, 1)
    assert store.run("stat").code == 0
    assert store.run("repair").code == 0
    assert store.run("check").code == 0
    with broker_on(store.folder):
        pass


@pytest.mark.parametrize("seed", range(12))
def test_no_records_crash_the_commands(store: Store, seed: int) -> None:
    """Blocks that are whole, with records that nobody wrote."""
    chance = random.Random(seed)
    for path, at in chance.sample(store.blocks(), 10):
        block = bytearray(path.read_bytes()[at : at + 64 + 64 * PAGE])
        length = struct.unpack_from("<I", block, 56)[0]
        for _ in range(chance.randrange(1, 5)):
            block[64 + chance.randrange(min(length, 200))] = chance.randrange(256)
        whole = bytes(block[8 : 64 + length])
        struct.pack_into("<I", block, 4, lib.nmq_crc32c(0, slice_of(whole)))
        store.spoil(path, at, bytes(block[: 64 + length]))
    assert store.run("check").code in (0, 1)
    assert store.run("stat").code == 0
    assert store.run("repair").code == 0
    assert store.run("check").code == 0
    with broker_on(store.folder):
        pass


# --- a copy


def test_a_backup_is_a_store(store: Store, tmp_path: Path) -> None:
    to = tmp_path / "copy"
    lines = back_up(store.folder, to)
    assert lines[0].startswith(f"{store.folder}: up to commit ")
    copy = Store(to, store._capsys)
    done = copy.run("check")
    assert (done.code, done.err) == (0, "")
    assert to.stat().st_mode & 0o777 == 0o700
    inside = to / "nanomq.journal"
    assert inside.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in inside.iterdir()} == {0o600}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert copy.stat()["live"] == store.stat()["live"]
    assert numbers_in(inside) == numbers_in(store.folder)
    with pytest.raises(StoreError, match="it is there already: name a new folder"):
        back_up(store.folder, to)


def test_a_damaged_journal_is_not_copied(store: Store, tmp_path: Path) -> None:
    spoil_block(20)(store)
    with pytest.raises(StoreError, match="nanomq store repair"):
        back_up(store.folder, tmp_path / "copy")
    assert sorted(path.name for path in tmp_path.iterdir()) == [store.folder.name]


def test_a_torn_tail_is_not_in_a_backup(store: Store, tmp_path: Path) -> None:
    path, at = store.blocks()[-1]
    store.spoil(path, at + 66)
    back_up(store.folder, tmp_path / "copy")
    done = Store(tmp_path / "copy", store._capsys).run("check")
    assert "cut short" not in done.out


def test_a_backup_while_a_broker_is_busy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All that was acknowledged before it began is in it, and nothing that has a gap."""
    folder = tmp_path / "nanomq.journal"
    acknowledged = 0
    stop = threading.Event()
    with broker_on(folder) as home:
        away, by = come(home, "away"), home.client()
        subscribe(away, "t")
        away.send(raw.disconnect(5))
        by.connect("by")

        def load() -> None:
            nonlocal acknowledged
            while not stop.is_set():
                publish(by, acknowledged)  # its number is the next one's
                acknowledged += 1

        thread = threading.Thread(target=load)
        thread.start()
        ranges = []
        try:
            for n in range(6):
                eventually(
                    lambda least=acknowledged + 30: acknowledged >= least, within_s=60
                )  # type: ignore[misc]
                before = acknowledged
                back_up(folder, tmp_path / f"{n}")
                ranges.append((before, acknowledged + 1))
                assert Store(folder, capsys).run("check").code == 0
        finally:
            stop.set()
            thread.join()
    for n, (least, most) in enumerate(ranges):
        assert Store(tmp_path / f"{n}", capsys).run("check").code == 0
        found = numbers_in(tmp_path / f"{n}" / "nanomq.journal")
        assert found == [*range(len(found))]
        assert least <= len(found) <= most


def test_a_backup_while_files_are_used_again(tmp_path: Path) -> None:
    """What a log needs no more is freed and written over: not under who copies it."""
    folder = tmp_path / "nanomq.journal"
    stop = threading.Event()
    with broker_on(folder) as home:
        here, by = come(home, "here"), home.client()
        subscribe(here, "t")
        by.connect("by")
        count = 0

        def load() -> None:
            nonlocal count
            while not stop.is_set():
                publish(by, count % 60_000)
                packet = here.expect(raw.PUBLISH)
                here.send(raw.ack(raw.PUBACK, packet.packet_id or 0))
                count += 1

        thread = threading.Thread(target=load)
        thread.start()
        try:
            eventually(lambda: home.rounds() > 1, within_s=60)
            for n in range(5):
                rounds = home.rounds()
                back_up(folder, tmp_path / f"{n}")
                eventually(lambda least=rounds: home.rounds() > least, within_s=60)  # type: ignore[misc]
        finally:
            stop.set()
            thread.join()
    for n in range(5):
        assert len(numbers_in(tmp_path / f"{n}" / "nanomq.journal", "here")) <= 2


def test_a_second_look_that_fails_leaves_no_first_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker writes: what looks damaged is looked at again, and the disk fails then."""
    first = Mock(facts=Mock(in_use=True), damages=["a block that is half written"])
    fault = LogError(lib.NMQ_EIO, errno.EIO)
    monkeypatch.setattr(store_journal, "LogLook", Mock(side_effect=[first, fault]))
    with (
        pytest.raises(StoreError, match="Input/output error"),
        store_journal.looked_at(store.folder),
    ):
        pass
    first.close.assert_called_once_with()
